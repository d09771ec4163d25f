// SPDX-License-Identifier: GPL-2.0-only

//! What the purgatory asks of its parameters.

use proptest::prelude::*;
use purgatory_digest::{
    abi::{
        DIGEST_SIZE, EngineKind, MAGIC, Params, REGIONS_MAX, Region, RegionKind, Reset, VERSION,
    },
    check::{Fault, check, check_regions},
};

const BLOB: u64 = 0x10_0000;
const BLOB_SIZE: u64 = 0x8000;
const OWN_DIGEST: [u8; 32] = [1; 32];
const PARAMS_DIGEST: [u8; 32] = [2; 32];

fn region(kind: RegionKind, start: u64, len: u64) -> Region {
    Region {
        start,
        len,
        kind: kind as u32,
        ..Region::UNUSED
    }
}

/// Parameters with nothing wrong.
fn sound() -> Params {
    let mut regions = [Region::UNUSED; REGIONS_MAX];

    regions[0] = region(RegionKind::BootParams, 0x9000, 0x1100);
    regions[1] = region(RegionKind::Kernel, 0x100_0000, 0xd0_0001);
    regions[2] = region(RegionKind::Initramfs, 0x1_2000_0000, 5);
    Params {
        magic: MAGIC,
        version: VERSION,
        size: size_of::<Params>() as u32,
        entry: 0x100_0200,
        boot_params: 0x9000,
        blob: BLOB,
        console_mmio32: 0,
        xcr0: EngineKind::Avx2X8.xcr0(),
        console_port: 0x3f8,
        reserved: 0,
        flags: 0,
        engine: EngineKind::Avx2X8 as u32,
        nr_regions: 3,
        reset: Reset::default(),
        tsc_khz: 0,
        reserved2: 0,
        blob_digest: OWN_DIGEST,
        params_digest: PARAMS_DIGEST,
        regions,
    }
}

fn fault_of(params: &Params) -> Option<Fault> {
    check(params, BLOB..BLOB + BLOB_SIZE, &OWN_DIGEST, &PARAMS_DIGEST).err()
}

#[test]
fn sound_parameters_pass() {
    let params = sound();
    let checked = check(&params, BLOB..BLOB + BLOB_SIZE, &OWN_DIGEST, &PARAMS_DIGEST).unwrap();

    assert_eq!(checked.engine, EngineKind::Avx2X8);
    assert_eq!(checked.regions.len(), 3);
    assert_eq!(checked.regions[2].start, 0x1_2000_0000);
}

#[test]
fn every_damage_has_its_fault() {
    type Damage = fn(&mut Params);
    let cases: [(Damage, Fault); 22] = [
        (|p| p.magic ^= 1 << 63, Fault::Magic),
        (|p| p.version += 1, Fault::Version),
        (|p| p.size -= 8, Fault::Size),
        (|p| p.params_digest[31] ^= 1, Fault::ParamsDigest),
        (|p| p.blob_digest[0] ^= 0x80, Fault::BlobDigest),
        (|p| p.blob += 0x1000, Fault::Address),
        (|p| p.engine = 4, Fault::Engine),
        (|p| p.xcr0 = 0, Fault::Engine),
        (|p| p.engine = 0, Fault::Engine),
        (|p| p.nr_regions = 0, Fault::RegionCount),
        (|p| p.nr_regions = 17, Fault::RegionCount),
        (|p| p.nr_regions = u32::MAX, Fault::RegionCount),
        (|p| p.regions[1].kind = 8, Fault::Region),
        (|p| p.regions[1].start = 0, Fault::Region),
        (|p| p.regions[2].len = u64::MAX, Fault::Region),
        (|p| p.regions[2].start = p.regions[1].start, Fault::Region),
        (|p| p.regions[0].len = BLOB, Fault::Region),
        (|p| p.entry = 0xff_ffff, Fault::Entry),
        (|p| p.entry = 0x1_2000_0000, Fault::Entry),
        (|p| p.entry = 0x100_0000 + 0xd0_0001, Fault::Entry),
        (|p| p.boot_params = 0x100_0000, Fault::Entry),
        (|p| p.nr_regions = 1, Fault::Entry),
    ];

    for (i, (damage, fault)) in cases.into_iter().enumerate() {
        let mut params = sound();

        damage(&mut params);
        assert_eq!(fault_of(&params), Some(fault), "case {i}");
    }
}

/// Not just the first byte, or the first half.
#[test]
fn every_bit_of_the_digests_counts() {
    for bit in 0..8 * DIGEST_SIZE {
        let mut params = sound();
        params.blob_digest[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(fault_of(&params), Some(Fault::BlobDigest), "bit {bit}");

        let mut params = sound();
        params.params_digest[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(fault_of(&params), Some(Fault::ParamsDigest), "bit {bit}");
    }
}

#[test]
fn every_fault_has_a_message_of_its_own() {
    let faults = [
        Fault::Magic,
        Fault::Version,
        Fault::Size,
        Fault::ParamsDigest,
        Fault::BlobDigest,
        Fault::Address,
        Fault::Engine,
        Fault::RegionCount,
        Fault::Region,
        Fault::Entry,
    ];

    for (i, a) in faults.iter().enumerate() {
        assert!(a.describe().len() > 10 && a.describe().is_ascii());
        for b in &faults[i + 1..] {
            assert_ne!(a.describe(), b.describe());
        }
    }
}

/// An address space of 12 bytes at its start and 12 at its end, so that every arrangement of two
/// regions and the purgatory can be tried, the ones that wrap among them.
#[test]
fn region_arithmetic_is_right_for_every_small_case() {
    let ends = |start: u64, len: u64| start.checked_add(len);
    let starts = || (0..6).chain(u64::MAX - 5..=u64::MAX);
    let model = |a: (u64, u64), b: (u64, u64)| {
        let bytes = |(start, len): (u64, u64)| (0..len).map(move |i| start.wrapping_add(i));

        bytes(a).any(|byte| bytes(b).any(|other| other == byte))
    };

    for a in starts() {
        for a_len in 0..8 {
            for b in starts() {
                for b_len in 0..8 {
                    let extent = 3..5;
                    let wraps = ends(a, a_len).is_none() || ends(b, b_len).is_none();
                    let extent_bytes = (extent.start, extent.end - extent.start);
                    let sound = !wraps
                        && a != 0
                        && b != 0
                        && !model((a, a_len), (b, b_len))
                        && !model((a, a_len), extent_bytes)
                        && !model((b, b_len), extent_bytes);
                    let regions = [
                        region(RegionKind::Kernel, a, a_len),
                        region(RegionKind::Segment, b, b_len),
                    ];
                    let found = check_regions(&regions, extent).is_ok();

                    // An empty region inside another one takes no byte of it, and does no harm.
                    if a_len != 0 && b_len != 0 {
                        assert_eq!(found, sound, "{a:#x}+{a_len} {b:#x}+{b_len}");
                    } else {
                        assert!(!found || !wraps, "{a:#x}+{a_len} {b:#x}+{b_len}");
                    }
                }
            }
        }
    }
}

proptest! {
    /// Whatever is in the parameters, the answer comes without a panic, and what passes holds what
    /// `Checked` promises.
    #[test]
    fn any_regions_are_judged_soundly(
        parts in prop::collection::vec((any::<u64>(), any::<u64>(), 0..10u32), 0..REGIONS_MAX),
        blob in any::<u64>(),
    ) {
        let regions: Vec<Region> = parts
            .iter()
            .map(|(start, len, kind)| Region {
                start: *start,
                len: *len >> (kind * 7 % 64),
                kind: *kind,
                ..Region::UNUSED
            })
            .collect();
        let extent = blob..blob.saturating_add(BLOB_SIZE);

        if check_regions(&regions, extent.clone()).is_ok() {
            for (i, a) in regions.iter().enumerate() {
                let end = a.start.checked_add(a.len).unwrap();

                prop_assert!(end <= extent.start || a.start >= extent.end);
                for b in &regions[i + 1..] {
                    prop_assert!(end <= b.start || b.start + b.len <= a.start);
                }
            }
        }
    }

    #[test]
    fn any_parameters_are_judged_without_a_panic(
        entry in any::<u64>(), boot_params in any::<u64>(), engine in any::<u32>(),
        xcr0 in any::<u64>(), nr_regions in any::<u32>(), start in any::<u64>(),
        len in any::<u64>(),
    ) {
        let mut params = sound();

        params.entry = entry;
        params.boot_params = boot_params;
        params.engine = engine;
        params.xcr0 = xcr0;
        params.nr_regions = nr_regions;
        params.regions[0].start = start;
        params.regions[0].len = len;
        let _ = fault_of(&params);
    }
}
