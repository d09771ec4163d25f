// SPDX-License-Identifier: GPL-2.0-only

//! Writes the record for the next kernel.

use crate::{
    params::Refusal,
    record::{
        self,
        LoadFacts,
        Record, //
    }, //
};
use core::fmt::Write;
use kernel::{
    bindings,
    crypto::sha256,
    kexec::{
        self,
        Decision,
        LoadedImage,
        LoadingImage,
        Machine,
        RawImage, //
    },
    prelude::*,
    str::NullTerminatedFormatter,
    transmute::AsBytes, //
};

// `record.c` reserves this size, and `images.c` writes to this offset.
static_assert!(size_of::<Record>() == bindings::KEXEC_RECORD_SIZE as usize);
static_assert!(core::mem::offset_of!(Record, left) == bindings::KEXEC_RECORD_LEFT as usize);

/// Offset of `hdr.setup_data` in `struct boot_params` (Documentation/arch/x86/boot.rst): the
/// physical address of the first node, 8 bytes.
const SETUP_DATA: usize = 0x250;

/// Size of `struct setup_data` without its data: the physical address of the next node (8 bytes),
/// the type (4 bytes), and the size of the data (4 bytes).
const NODE_SIZE: usize = 16;

// SAFETY: The fields leave no padding; `record.rs` asserts the size.
unsafe impl AsBytes for LoadFacts {}
// SAFETY: As above.
unsafe impl AsBytes for Record {}

/// Where the record of an image lies.
pub(crate) struct RecordPlace {
    /// Its offset in the segment with `boot_params`, in bytes.
    pub(crate) offset: usize,
    /// Its physical address when the next kernel is entered.
    pub(crate) address: u64,
}

/// Adds the record of `image` to the `setup_data` list. Returns `None` if
/// `kexec_purgatory_add_record()` reserved no room for it.
pub(crate) fn link(image: &mut LoadingImage) -> Option<RecordPlace> {
    let node = image.record_offset()?;
    let address = image.boot_params() + node as u64;
    let bytes = image.boot_params_mut()?;

    if bytes.len() != node + NODE_SIZE + size_of::<Record>() {
        return None;
    }
    let first = bytes.get_mut(SETUP_DATA..)?.first_chunk_mut::<8>()?;
    let next = core::mem::replace(first, address.to_le_bytes());

    let (to_next, rest) = bytes.get_mut(node..)?.split_first_chunk_mut::<8>()?;
    let (kind, rest) = rest.split_first_chunk_mut::<4>()?;
    *to_next = next;
    *kind = bindings::SETUP_KEXEC_RECORD.to_le_bytes();
    *rest.first_chunk_mut::<4>()? = (size_of::<Record>() as u32).to_le_bytes();

    Some(RecordPlace {
        offset: node + NODE_SIZE,
        address: address + NODE_SIZE as u64,
    })
}

/// What the record says of an image, without `engine`, `regions` and `bytes`.
pub(crate) fn load_facts(image: &LoadingImage, decision: Decision, machine: &Machine) -> LoadFacts {
    let flag = |condition: bool, flag| if condition { flag } else { 0 };
    let mut text = [0; size_of::<LoadFacts>()];
    let mut facts = LoadFacts {
        release: record::text(kexec::release()),
        decision: [0; 96],
        engine: [0; 16],
        bytes: 0,
        regions: 0,
        flags: flag(image.is_crash(), record::FLAG_CRASH)
            | flag(decision.is_verified(), record::FLAG_VERIFIED),
        tsc_khz: machine.tsc_khz,
        reserved: [0; 3],
    };

    if let Some(mut line) = NullTerminatedFormatter::new(&mut text) {
        // A text that does not fit is cut off.
        let _ = line.write_fmt(fmt!("{}", image.decision_text()));
    }
    let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
    facts.decision = record::text(text.to_str().unwrap_or_default());
    facts
}

/// Fills the record of `image` at the `place` that [`link`] returned.
///
/// # Errors
///
/// `EINVAL` if the record is not at that place: the image changed after [`link`].
pub(crate) fn fill(
    image: &mut LoadingImage,
    place: &RecordPlace,
    facts: LoadFacts,
) -> Result<(), Refusal> {
    let record = Record::new(facts, sha256::digest(facts.as_bytes()));

    image
        .boot_params_mut()
        .and_then(|bytes| bytes.get_mut(place.offset..))
        .filter(|bytes| bytes.len() == size_of::<Record>())
        .ok_or(EINVAL)?
        .copy_from_slice(record.as_bytes());
    Ok(())
}

/// C declaration and contract: `arch/x86/include/asm/kexec-loader.h`.
///
/// # Safety
///
/// As for [`LoadedImage::from_raw`].
#[export]
unsafe extern "C" fn kexec_purgatory_source(
    image: *const RawImage,
    destination: bindings::phys_addr_t,
) -> bindings::phys_addr_t {
    // SAFETY: By the safety requirements of this function.
    let image = unsafe { LoadedImage::from_raw(image) };

    image.source(destination).unwrap_or(0)
}
