// SPDX-License-Identifier: GPL-2.0-only

//! Tests of the checks of the purgatory's parameters.

use proptest::prelude::*;
use purgatory_digest::{
    abi::{Params, Region, RegionKind, DIGEST_SIZE, REGIONS_MAX},
    check::{check, check_regions, Fault},
    engines::EngineKind,
};
use purgatory_digest_tests::params::{
    has, opinion, region, sound, Opinion, FAULTS, OWN_DIGEST, PARAMS_DIGEST, PURGATORY,
    PURGATORY_SIZE,
};

fn fault_of(params: &Params) -> Option<Fault> {
    check(
        params,
        PURGATORY..PURGATORY + PURGATORY_SIZE,
        &OWN_DIGEST,
        &PARAMS_DIGEST,
    )
    .err()
}

#[test]
fn sound_parameters_pass() {
    let params = sound();
    let checked = check(
        &params,
        PURGATORY..PURGATORY + PURGATORY_SIZE,
        &OWN_DIGEST,
        &PARAMS_DIGEST,
    )
    .unwrap();

    assert_eq!(checked.engine(), EngineKind::Avx2X8);
    assert_eq!(checked.regions().len(), 3);
    assert_eq!(checked.regions()[2].start, 0x1_2000_0000);
    assert_eq!(checked.record(), Some(0xa100));
}

/// A number that no engine has.
fn no_engine() -> u32 {
    let free = |&number: &u32| EngineKind::from_raw(number).is_none();

    (0..).find(free).unwrap()
}

#[test]
fn every_damage_has_its_fault() {
    type Damage = fn(&mut Params);
    let cases: [(Damage, Fault); 32] = [
        (|p| p.magic ^= 1 << 63, Fault::Magic),
        (|p| p.version += 1, Fault::Version),
        (|p| p.size -= 8, Fault::Size),
        (|p| p.params_digest[31] ^= 1, Fault::ParamsDigest),
        (|p| p.own_digest[0] ^= 0x80, Fault::OwnDigest),
        (|p| p.purgatory += 0x1000, Fault::Address),
        (|p| p.engine = no_engine(), Fault::Engine),
        (|p| (p.engine, p.xcr0) = (no_engine(), 0), Fault::Engine),
        (|p| p.xcr0 = 0, Fault::Engine),
        (|p| p.engine = 0, Fault::Engine),
        (|p| p.nr_regions = 0, Fault::RegionCount),
        (|p| p.nr_regions = 17, Fault::RegionCount),
        (|p| p.nr_regions = u32::MAX, Fault::RegionCount),
        (|p| p.regions[1].kind = 6, Fault::Region),
        (|p| p.regions[1].start = 0, Fault::Region),
        (|p| p.regions[2].len = u64::MAX, Fault::Region),
        (|p| p.regions[2].len = 1 << 63, Fault::Region),
        (|p| p.regions[2].start = p.regions[1].start, Fault::Region),
        (|p| p.regions[0].len = PURGATORY, Fault::Region),
        (|p| p.entry = 0xff_ffff, Fault::Entry),
        (|p| p.entry = 0x1_2000_0000, Fault::Entry),
        (|p| p.entry = 0x100_0000 + 0xd0_0001, Fault::Entry),
        (|p| p.boot_params = 0x100_0000, Fault::Entry),
        (|p| p.nr_regions = 1, Fault::Entry),
        (|p| p.record += 8, Fault::Record),
        (|p| p.record -= 8, Fault::Record),
        (|p| p.record = 0x100_0000 + 0xd0_0001, Fault::Record),
        (|p| p.record = u64::MAX - 7, Fault::Record),
        (
            |p| (p.regions[0].len, p.record) = (0x1101, 0xa101),
            Fault::Record,
        ),
        (|p| p.regions[2].start = p.record + 335, Fault::Record),
        (
            |p| (p.regions[0].len, p.record) = (PURGATORY - 8 - 0x9000, PURGATORY - 8),
            Fault::Record,
        ),
        (|p| p.regions[2].start = p.record - 1, Fault::Region),
    ];

    for (i, (damage, fault)) in cases.into_iter().enumerate() {
        let mut params = sound();

        damage(&mut params);
        assert_eq!(fault_of(&params), Some(fault), "case {i}");
    }
}

/// The whole digest is compared, not only its first byte or half.
#[test]
fn every_bit_of_the_digests_counts() {
    for bit in 0..8 * DIGEST_SIZE {
        let mut params = sound();
        params.own_digest[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(fault_of(&params), Some(Fault::OwnDigest), "bit {bit}");

        let mut params = sound();
        params.params_digest[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(fault_of(&params), Some(Fault::ParamsDigest), "bit {bit}");
    }
}

#[test]
fn every_fault_has_a_message_of_its_own() {
    for (i, a) in FAULTS.iter().enumerate() {
        assert!(a.describe().len() > 10 && a.describe().is_ascii());
        for b in &FAULTS[i + 1..] {
            assert_ne!(a.describe(), b.describe());
        }
    }
}

/// Compares the checks with arithmetic that cannot wrap, for two regions and the purgatory at the
/// edges of the 64-bit and of the physical address space, with lengths of all magnitudes.
#[test]
fn region_arithmetic_is_right_at_every_edge() {
    const PHYSICAL_END: u64 = 1 << 52;

    let starts: Vec<u64> = (0..7)
        .chain(PHYSICAL_END - 4..PHYSICAL_END + 2)
        .chain([1 << 32, 1 << 63])
        .chain(u64::MAX - 4..=u64::MAX)
        .collect();
    let lens: Vec<u64> = (0..6)
        .chain([1 << 32, 1 << 63])
        .chain(PHYSICAL_END - 4..PHYSICAL_END + 2)
        .chain(u64::MAX - 4..=u64::MAX)
        .collect();
    let extents = [3..5, 1 << 32..(1 << 32) + 3, PHYSICAL_END - 2..PHYSICAL_END];
    let (mut accepted, mut refused) = (0_u32, 0_u32);

    for extent in extents {
        for &a in &starts {
            for &a_len in &lens {
                for &b in &starts {
                    for &b_len in &lens {
                        let regions = [
                            region(RegionKind::Kernel, a, a_len),
                            region(RegionKind::Segment, b, b_len),
                        ];
                        let found = check_regions(&regions, &extent).is_ok();

                        match opinion(&regions, &extent) {
                            Opinion::Sound => accepted += 1,
                            Opinion::Unsound => refused += 1,
                            Opinion::Either => continue,
                        }
                        assert_eq!(
                            found,
                            opinion(&regions, &extent) == Opinion::Sound,
                            "{a:#x}+{a_len:#x} {b:#x}+{b_len:#x}, purgatory {extent:#x?}"
                        );
                    }
                }
            }
        }
    }
    // Both answers occur often.
    assert!(accepted > 1000 && refused > 1000, "{accepted} {refused}");
}

/// The same for every arrangement of three regions and the purgatory in a small address space.
#[test]
fn region_arithmetic_is_right_for_every_small_case() {
    let extent = 4..6;
    let ranges = || (1..9).flat_map(|start| (0..9 - start).map(move |len| (start, len)));

    for (a, a_len) in ranges() {
        for (b, b_len) in ranges() {
            for (c, c_len) in ranges() {
                let regions = [
                    region(RegionKind::Kernel, a, a_len),
                    region(RegionKind::BootParams, b, b_len),
                    region(RegionKind::Initramfs, c, c_len),
                ];
                let found = check_regions(&regions, &extent).is_ok();

                match opinion(&regions, &extent) {
                    Opinion::Either => {}
                    expected => assert_eq!(
                        found,
                        expected == Opinion::Sound,
                        "{a}+{a_len} {b}+{b_len} {c}+{c_len}"
                    ),
                }
            }
        }
    }
}

proptest! {
    /// For any regions, the checks do not panic and give the right answer.
    #[test]
    fn any_regions_are_judged_soundly(
        parts in prop::collection::vec((any::<u64>(), any::<u64>(), 0..10u32), 0..REGIONS_MAX),
        purgatory in any::<u64>(),
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
        let extent = purgatory..purgatory.saturating_add(PURGATORY_SIZE);

        match opinion(&regions, &extent) {
            Opinion::Either => {}
            expected => prop_assert_eq!(
                check_regions(&regions, &extent).is_ok(),
                expected == Opinion::Sound
            ),
        }
    }

    /// For any parameters, the checks do not panic, and find a fault only if there is one. If they
    /// find none, there is none.
    #[test]
    fn any_parameters_are_judged_soundly(
        entry in prop_oneof![0xff_ffff..0x100_0002_u64, any::<u64>()],
        boot_params in prop_oneof![0x8fff..0x9002_u64, any::<u64>()],
        engine in prop_oneof![0..5_u32, any::<u32>()],
        xcr0 in prop_oneof![Just(0), Just(0x7), Just(0xe7), any::<u64>()],
        nr_regions in prop_oneof![0..5_u32, REGIONS_MAX as u32 - 1..20, any::<u32>()],
        start in prop_oneof![Just(0x9000), any::<u64>()],
        len in prop_oneof![Just(0x1100), any::<u64>()],
        record in prop_oneof![Just(0), Just(0xa100), any::<u64>()],
    ) {
        let extent = PURGATORY..PURGATORY + PURGATORY_SIZE;
        let mut params = sound();

        params.entry = entry;
        params.boot_params = boot_params;
        params.engine = engine;
        params.xcr0 = xcr0;
        params.nr_regions = nr_regions;
        params.regions[0].start = start;
        params.regions[0].len = len;
        params.record = record;

        let used = &params.regions[..REGIONS_MAX.min(nr_regions as usize)];
        let either = opinion(used, &extent) == Opinion::Either;
        let has = |fault| has(fault, &params, &extent, [&OWN_DIGEST, &PARAMS_DIGEST]);

        match fault_of(&params) {
            Some(fault) => prop_assert!(has(fault), "{fault:?}"),
            None => for fault in FAULTS {
                prop_assert!(!has(fault) || (fault == Fault::Region && either), "{fault:?}");
            }
        }
    }
}
