// SPDX-License-Identifier: GPL-2.0-only

//! Properties that must hold for any input, as functions that panic if one does not.
//!
//! libFuzzer (`fuzz/main.rs`) searches for inputs that violate them. `tests/corpus.rs` replays the
//! inputs that were kept.

use crate::{
    digest,
    engines,
    noise,
    params::{
        has,
        opinion,
        sound, //
        Opinion,
        FAULTS,
        OWN_DIGEST,
        PARAMS_DIGEST,
        PURGATORY,
        PURGATORY_SIZE,
    },
    reference, //
};
use purgatory_digest::{
    abi::{
        Params, //
        LEAF_SIZE,
    },
    check::{
        check, //
        Fault,
    }, //
};

/// A property, and its name on command lines and in the corpus.
#[derive(Clone, Copy)]
pub struct Target {
    /// The name.
    pub name: &'static str,
    /// Panics if the property does not hold for an input.
    pub check: fn(&[u8]),
}

/// All properties.
pub const TARGETS: [Target; 2] = [
    Target {
        name: "params",
        check: params,
    },
    Target {
        name: "digest",
        check: region,
    },
];

/// Bytes of an edit: two that say where, and eight that are written there.
const EDIT: usize = 10;

/// Parameters without a fault pass. Others are refused with the first fault that they have.
///
/// The input is a list of edits of sound parameters, each of [`EDIT`] bytes. The size of the
/// purgatory follows the parameters, and is edited as well.
fn params(input: &[u8]) {
    let mut bytes = to_bytes(&sound());
    let len = bytes.len();

    bytes.extend_from_slice(&PURGATORY_SIZE.to_le_bytes());
    bytes.extend_from_slice(&[0; 8]);
    for edit in input.chunks_exact(EDIT) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % (len + 8);

        bytes[at..at + 8].copy_from_slice(&edit[2..]);
    }

    let params = from_bytes(&bytes[..len]);
    let size = u64::from_le_bytes(std::array::from_fn(|i| bytes[len + i]));
    let extent = PURGATORY..PURGATORY.saturating_add(size);
    let digests = [&OWN_DIGEST, &PARAMS_DIGEST];
    let result = check(&params, extent.clone(), &OWN_DIGEST, &PARAMS_DIGEST);

    let count = params.nr_regions as usize;
    let doubtful = params
        .regions
        .get(..count)
        .is_some_and(|regions| opinion(regions, &extent) == Opinion::Either);
    let first = FAULTS
        .into_iter()
        .filter(|fault| !(*fault == Fault::Region && doubtful))
        .find(|fault| has(*fault, &params, &extent, digests));

    match result {
        Ok(checked) => {
            assert_eq!(first, None);
            assert_eq!(checked.engine() as u32, params.engine);
            assert_eq!(checked.regions().len(), count);
            assert!(std::ptr::eq(checked.regions().as_ptr(), &params.regions[0]));
            assert_eq!(checked.record().unwrap_or(0), params.record);
        }
        Err(Fault::Region) if doubtful => {
            assert!(first.is_none_or(|fault| matches!(fault, Fault::Entry | Fault::Record)));
        }
        Err(fault) => assert_eq!(Some(fault), first),
    }
}

/// Every engine computes the digest as it is defined, and reads nothing outside of the region.
///
/// The first three bytes of the input are the length of a region, the fourth is its alignment, and
/// the others are its contents, repeated.
fn region(input: &[u8]) {
    let [a, b, c, align, content @ ..] = input else {
        return;
    };
    let len = u32::from_le_bytes([*a, *b, *c, 0]) as usize % (20 * LEAF_SIZE);
    let start = usize::from(align % 64);
    let filler = noise(len as u64, 251);
    let content = if content.is_empty() { &filler } else { content };
    let data: Vec<u8> = content.iter().copied().cycle().take(start + len).collect();
    let expected = reference(LEAF_SIZE, &data[start..]);
    let small = reference(128, &data[start..]);

    for &engine in engines() {
        let name = engine.name();

        assert_eq!(
            digest::<LEAF_SIZE>(engine, &data[start..]),
            expected,
            "{name}"
        );
        assert_eq!(digest::<128>(engine, &data[start..]), small, "{name}");
    }
}

fn to_bytes(params: &Params) -> Vec<u8> {
    let bytes = std::ptr::from_ref(params).cast::<u8>();

    // SAFETY: The structure is initialized and has no padding; `tests/abi.rs` compares its size
    // with the sum of its fields.
    unsafe { std::slice::from_raw_parts(bytes, size_of::<Params>()) }.to_vec()
}

fn from_bytes(bytes: &[u8]) -> Params {
    assert_eq!(bytes.len(), size_of::<Params>());

    // SAFETY: There are enough bytes, and all fields are integers, or arrays and structures of
    // them, so that every bit pattern is a value. The read needs no alignment.
    unsafe { bytes.as_ptr().cast::<Params>().read_unaligned() }
}
