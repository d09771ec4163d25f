// SPDX-License-Identifier: GPL-2.0-only

//! Every engine against the reference implementation.

use proptest::prelude::*;
use purgatory_digest::{
    abi::{
        Region,
        DIGEST_SIZE,
        LEAF_SIZE,
        REGIONS_MAX, //
    },
    engines::{
        EngineKind,
        LANES_MAX, //
    },
    region_digests, //
};
use purgatory_digest_tests::{
    digest,
    digests,
    engines,
    noise,
    reference, //
};

fn check<const LEAF: usize>(region: &[u8]) {
    let expected = reference(LEAF, region);

    for &engine in engines() {
        let digest = digest::<LEAF>(engine, region);

        assert_eq!(
            digest,
            expected,
            "{}: {} bytes at {:p} in leaves of {LEAF}",
            engine.name(),
            region.len(),
            region.as_ptr(),
        );
    }
}

/// With small leaves, the lengths reach all lanes of every engine several times.
#[test]
fn every_length() {
    let data = noise(1, 4096);

    for len in 0..=data.len() {
        check::<64>(&data[..len]);
        check::<128>(&data[..len]);
        check::<192>(&data[..len]);
        check::<1024>(&data[..len]);
        check::<LEAF_SIZE>(&data[..len]);
    }
}

/// Every number of leaves up to two full batches and one leaf, with a last leaf of every kind.
#[test]
fn every_lane_remainder() {
    let data = noise(2, (2 * LANES_MAX + 2) * LEAF_SIZE);
    let tails = [
        0,
        1,
        55,
        56,
        63,
        64,
        65,
        119,
        120,
        128,
        1000,
        LEAF_SIZE / 2,
        LEAF_SIZE - 1,
    ];

    for leaves in 0..=2 * LANES_MAX + 1 {
        for tail in tails {
            check::<LEAF_SIZE>(&data[..leaves * LEAF_SIZE + tail]);
        }
    }
}

/// The alignment of a region makes no difference.
#[test]
fn every_alignment() {
    let data = noise(3, 3 * LANES_MAX * 128 + 64);

    for start in 0..=64 {
        for len in [0, 1, 63, 64, 65, 127, 128, 129, 1024, 2049, data.len() - 64] {
            check::<128>(&data[start..start + len]);
        }
    }
}

/// `region_digests()` uses leaves of the ABI's size.
#[test]
fn leaf_size_of_the_abi() {
    let data = noise(4, 5 * LEAF_SIZE + 77);
    let region = Region {
        start: data.as_ptr().expose_provenance() as u64,
        len: data.len() as u64,
        ..Region::UNUSED
    };

    for &engine in engines() {
        let mut digests = [[0; DIGEST_SIZE]; REGIONS_MAX];

        // SAFETY: `data` is a vector that nobody writes to, and this machine runs `engine`.
        unsafe { region_digests(engine, &[region], &mut digests) };
        assert_eq!(digests[0], reference(LEAF_SIZE, &data), "{}", engine.name());
    }
}

fn check_regions<const LEAF: usize>(regions: &[&[u8]]) {
    let expected: Vec<_> = regions
        .iter()
        .map(|region| reference(LEAF, region))
        .collect();

    for &engine in engines() {
        assert_eq!(
            digests::<LEAF>(engine, regions),
            expected,
            "{}: leaves of {LEAF}, regions of {:?} bytes",
            engine.name(),
            regions
                .iter()
                .map(|region| region.len())
                .collect::<Vec<_>>(),
        );
    }
}

/// Leaves of different regions, and of different lengths, are hashed together.
#[test]
fn several_regions() {
    let data = noise(5, 64 * LEAF_SIZE);

    for count in 1..=REGIONS_MAX {
        let same = |len: usize| vec![&data[..len]; count];
        let growing = |step: usize| {
            (0..count)
                .map(|i| &data[i..i + i * step])
                .collect::<Vec<_>>()
        };

        for len in [0, 1, 64, 128, 129, 1000] {
            check_regions::<128>(&same(len));
        }
        for step in [1, 31, 64, 65, 128, 1000] {
            let mut regions = growing(step);

            check_regions::<128>(&regions);
            regions.reverse();
            check_regions::<128>(&regions);
        }
        check_regions::<LEAF_SIZE>(&same(2 * LEAF_SIZE - 64));
        check_regions::<LEAF_SIZE>(&growing(LEAF_SIZE / 2 + 1));
    }
}

/// The length is part of the digest: one more zero at the end changes the digest.
#[test]
fn zeros_of_every_length_differ() {
    let zeros = [0; 4096];
    let mut seen = std::collections::HashSet::new();

    for len in 0..=zeros.len() {
        assert!(
            seen.insert(digest::<1024>(EngineKind::Scalar, &zeros[..len])),
            "{len} bytes"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any region, at any place.
    #[test]
    fn any_region(seed: u64, start in 0_usize..64, len in 0_usize..40 * LEAF_SIZE) {
        let data = noise(seed, start + len);

        check::<LEAF_SIZE>(&data[start..]);
    }

    /// Any regions, together.
    #[test]
    fn any_regions(
        seed: u64, lens in prop::collection::vec(0_usize..2000, 1..=REGIONS_MAX),
    ) {
        let data = noise(seed, lens.iter().sum());
        let mut rest = data.as_slice();
        let mut regions = Vec::new();

        for len in lens {
            let (region, after) = rest.split_at(len);

            regions.push(region);
            rest = after;
        }
        check_regions::<64>(&regions);
        check_regions::<256>(&regions);
    }

    /// Any flipped bit changes the digest, with every engine.
    #[test]
    fn any_flipped_bit(
        seed: u64, len in 1_usize..20_000, at: prop::sample::Index, bit in 0..8_u32,
    ) {
        let mut data = noise(seed, len);
        let before = reference(512, &data);

        data[at.index(len)] ^= 1_u8 << bit;
        for &engine in engines() {
            prop_assert_ne!(digest::<512>(engine, &data), before, "{}", engine.name());
        }
    }
}
