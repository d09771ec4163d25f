// SPDX-License-Identifier: GPL-2.0-only

//! Code that the tests of `purgatory_digest` share: the engines of this machine, reference
//! implementations of the digest and of the checks, and memory between guard pages.

pub mod fuzz;
mod guarded;
pub mod params;

pub use guarded::Guarded;

use openssl::sha::{
    sha256,
    Sha256, //
};
use purgatory_digest::{
    abi::{
        Digest,
        Region,
        DIGEST_SIZE,
        REGIONS_MAX, //
    },
    engines::{
        supports, //
        Core,
        EngineKind,
        Feature,
        Processor,
    },
    region_digests_with_leaf, //
};
use std::{
    io::{
        self,
        Write, //
    },
    sync::LazyLock, //
};

/// The engines that this machine can run. For each other engine, prints a line to standard error
/// that says that it is skipped. The tool in `scripts/kexec-purgatory` counts these lines.
pub fn engines() -> &'static [EngineKind] {
    static ENGINES: LazyLock<Vec<EngineKind>> = LazyLock::new(|| {
        let (can, cannot): (Vec<_>, Vec<_>) = EngineKind::ALL
            .iter()
            .copied()
            .partition(|&engine| supports(&ThisMachine, engine));

        for engine in cannot {
            // Not `eprintln!()`: the test harness would swallow it. If standard error is closed,
            // there is nobody to tell.
            let _ = writeln!(
                io::stderr(),
                "SKIP {0}: this CPU does not have what {0} needs",
                engine.name()
            );
        }
        can
    });

    &ENGINES
}

/// The processor that the tests run on, with the extensions that the running system enables.
pub struct ThisMachine;

impl Processor for ThisMachine {
    fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::Ssse3 => is_x86_feature_detected!("ssse3"),
            Feature::Sse41 => is_x86_feature_detected!("sse4.1"),
            Feature::Sha => is_x86_feature_detected!("sha"),
            Feature::Avx => is_x86_feature_detected!("avx"),
            Feature::Avx2 => is_x86_feature_detected!("avx2"),
            Feature::Avx512F => is_x86_feature_detected!("avx512f"),
            Feature::Avx512Bw => is_x86_feature_detected!("avx512bw"),
        }
    }

    fn is(&self, _: Core) -> bool {
        // Which engine is the fastest one here does not matter.
        false
    }

    fn may_enable(&self, xcr0: u64) -> bool {
        // The standard library reports extensions only with their states enabled.
        let avx = is_x86_feature_detected!("avx");
        let avx512 = is_x86_feature_detected!("avx512f");

        (xcr0 & 0x7 == 0 || avx) && (xcr0 & 0xe0 == 0 || avx512)
    }
}

/// The digest of `region`, by the crate under test.
pub fn digest<const LEAF: usize>(engine: EngineKind, region: &[u8]) -> Digest {
    digests::<LEAF>(engine, &[region])[0]
}

/// The digests of `regions`, at most [`REGIONS_MAX`], by the crate under test.
pub fn digests<const LEAF: usize>(engine: EngineKind, regions: &[&[u8]]) -> Vec<Digest> {
    assert!(engines().contains(&engine) && regions.len() <= REGIONS_MAX);

    let memory: Vec<_> = regions
        .iter()
        .map(|region| Region {
            start: region.as_ptr().expose_provenance() as u64,
            len: region.len() as u64,
            ..Region::UNUSED
        })
        .collect();
    let mut digests = [[0; DIGEST_SIZE]; REGIONS_MAX];

    // SAFETY: The regions are shared slices. In user space, CR0, CR4 and XCR0 enable all that the
    // engines in `engines()` need.
    unsafe { region_digests_with_leaf::<LEAF>(engine, &memory, &mut digests) };
    digests[..regions.len()].to_vec()
}

/// The digest of `region` as `abi::LEAF_SIZE` defines it, computed with OpenSSL, which shares no
/// code with the crate under test.
pub fn reference(leaf_size: usize, region: &[u8]) -> Digest {
    let mut outer = Sha256::new();

    for leaf in region.chunks(leaf_size) {
        outer.update(&sha256(leaf));
    }
    outer.update(&(region.len() as u64).to_le_bytes());
    outer.finish()
}

/// `len` pseudo-random bytes, the same ones for the same `seed` (the SplitMix64 generator).
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);

        let mut z = state;

        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    let mut bytes = Vec::with_capacity(len + 8);

    while bytes.len() < len {
        bytes.extend_from_slice(&words.next().unwrap_or_default().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
