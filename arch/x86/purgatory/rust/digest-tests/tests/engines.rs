// SPDX-License-Identifier: GPL-2.0-only

//! Tests of the table of engines, and of the selection for every combination of what it depends on.

use purgatory_digest::{
    engines::{
        select,
        supports, //
        Core,
        EngineKind::{
            self,
            Avx2X8,
            Avx512X16,
            Scalar,
            ShaNiX4, //
        },
        Feature::{
            self,
            Avx,
            Avx2,
            Avx512Bw,
            Avx512F,
            Sha,
            Sse41,
            Ssse3, //
        },
        Processor, //
        LANES_MAX,
    }, //
};
use purgatory_digest_tests::ThisMachine;
use std::collections::HashSet;

/// Every feature that some engine needs.
fn features() -> Vec<Feature> {
    let mut all = Vec::new();

    for feature in EngineKind::ALL.iter().flat_map(|engine| engine.needs()) {
        if !all.contains(feature) {
            all.push(*feature);
        }
    }
    all
}

/// Bits that may be set in `XCR0`: none; x87; SSE; AVX; all of AVX-512; AVX-512 without one of its
/// three parts; also MPX, PKRU and AMX.
const XCR0: [u64; 12] = [
    0x0, 0x1, 0x3, 0x7, 0xe7, 0xc7, 0xa7, 0x67, 0xe3, 0x1f, 0x207, 0x6_02ff,
];

/// A processor with these features.
#[derive(Debug)]
struct Machine {
    features: Vec<Feature>,
    xcr0: u64,
    core: Option<Core>,
}

impl Processor for Machine {
    fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    fn is(&self, core: Core) -> bool {
        self.core == Some(core)
    }

    fn may_enable(&self, xcr0: u64) -> bool {
        assert_ne!(xcr0, 0);
        self.xcr0 & xcr0 == xcr0
    }
}

/// Whether the machine has what the engine needs according to the table.
fn runs(machine: &Machine, engine: EngineKind) -> bool {
    let has = |feature| machine.features.contains(feature);

    engine.needs().iter().all(has) && machine.xcr0 & engine.xcr0() == engine.xcr0()
}

/// Whether the table says that one of `others` is faster than the engine on a Zen 4.
fn is_slower_on_zen4(engine: EngineKind, others: &[EngineKind]) -> bool {
    let mut faster = engine.slower().iter();

    faster.any(|(core, faster)| *core == Core::Zen4 && others.contains(faster))
}

#[test]
fn every_combination() {
    let all = features();

    for xcr0 in XCR0 {
        for subset in 0..1 << all.len() {
            let features = (0..all.len())
                .filter(|i| subset >> i & 1 != 0)
                .map(|i| all[i])
                .collect();
            let mut machine = Machine {
                features,
                xcr0,
                core: None,
            };
            let fitting: Vec<EngineKind> = EngineKind::ALL
                .iter()
                .copied()
                .filter(|&e| runs(&machine, e))
                .collect();

            assert_eq!(select(&machine), fitting[0], "{machine:x?}");
            machine.core = Some(Core::Zen4);

            let fastest = fitting.iter().find(|e| !is_slower_on_zen4(**e, &fitting));

            assert_eq!(Some(&select(&machine)), fastest, "{machine:x?}");
            for &engine in EngineKind::ALL {
                let expected = runs(&machine, engine);

                assert_eq!(supports(&machine, engine), expected, "{machine:x?}");
            }
        }
    }
}

/// The rows of the table do not contradict each other.
#[test]
fn table() {
    let all = EngineKind::ALL;
    let different = |keys: Vec<String>| keys.iter().collect::<HashSet<_>>().len() == all.len();

    assert!(different(all.iter().map(|e| e.name().into()).collect()));
    assert!(different(
        all.iter().map(|&e| (e as u32).to_string()).collect()
    ));
    assert_eq!(
        all.last(),
        Some(&Scalar),
        "nothing behind it is ever selected"
    );
    assert_eq!(all.iter().map(|e| e.lanes()).max(), Some(LANES_MAX));

    for &engine in all {
        let needs = |feature| engine.needs().contains(&feature);
        // x87, SSE and AVX; the three states of AVX-512 (Intel SDM volume 1, section 13.3).
        let avx = if needs(Avx) { 0x7 } else { 0 };
        let avx512 = if needs(Avx512F) { 0xe0 } else { 0 };

        assert_eq!(EngineKind::from_raw(engine as u32), Some(engine));
        assert_eq!(engine.xcr0(), avx | avx512, "{}", engine.name());
        assert!((1..=LANES_MAX).contains(&engine.lanes()));
        for &(core, faster) in engine.slower() {
            let place = |engine| all.iter().position(|&other| other == engine);

            assert!(place(faster) > place(engine), "{core:?}: {engine:?}");
        }
    }
    assert_eq!(EngineKind::from_raw(u32::MAX), None);
    assert!(is_slower_on_zen4(Avx512X16, all));
    assert!(!is_slower_on_zen4(ShaNiX4, all));
}

/// The engine that known machines would select if only these engines existed. `every_combination()`
/// tests the selection among all engines.
#[test]
fn known_machines() {
    let known = [Avx512X16, ShaNiX4, Avx2X8, Scalar];
    let sse = [Ssse3, Sse41].as_slice();
    let avx = [Ssse3, Sse41, Avx].as_slice();
    let avx2 = [Ssse3, Sse41, Avx, Avx2].as_slice();
    let avx512 = [Ssse3, Sse41, Avx, Avx2, Avx512F, Avx512Bw].as_slice();
    let knl = [Ssse3, Sse41, Avx, Avx2, Avx512F].as_slice();
    let with_sha = |features: &[Feature]| [features, &[Sha]].concat();

    for (machine, features, xcr0, expected) in [
        ("nothing but the baseline", vec![], 0, Scalar),
        ("Nehalem", sse.into(), 0, Scalar),
        ("Sandy Bridge: AVX without AVX2", avx.into(), 0x7, Scalar),
        ("Haswell", avx2.into(), 0x7, Avx2X8),
        ("Skylake-SP: no SHA-NI", avx512.into(), 0x2ff, Avx512X16),
        ("Goldmont: SHA-NI without AVX", with_sha(sse), 0x1b, ShaNiX4),
        ("Zen 3", with_sha(avx2), 0x207, ShaNiX4),
        ("Zen 5", with_sha(avx512), 0x2e7, Avx512X16),
        ("Sapphire Rapids", with_sha(avx512), 0x6_02e7, Avx512X16),
        (
            "TDX guest whose XFAM has AVX-512",
            with_sha(avx512),
            0x6_00e7,
            Avx512X16,
        ),
        (
            "TDX guest whose XFAM has AVX only",
            with_sha(avx512),
            0x7,
            ShaNiX4,
        ),
        ("the same without SHA-NI", avx512.into(), 0x7, Avx2X8),
        (
            "hypervisor that allows SSE only",
            avx512.into(),
            0x3,
            Scalar,
        ),
        ("kernel with noxsave", avx512.into(), 0x0, Scalar),
        ("Knights Landing: no AVX512BW", knl.into(), 0xe7, Avx2X8),
        ("kernel with clearcpuid=sha_ni", avx2.into(), 0x207, Avx2X8),
    ] {
        let features: Vec<Feature> = features;
        let this = Machine {
            features,
            xcr0,
            core: None,
        };
        let mut fitting = EngineKind::ALL
            .iter()
            .filter(|&&engine| known.contains(&engine) && supports(&this, engine));

        assert_eq!(fitting.next(), Some(&expected), "{machine}");
    }
}

/// An engine is selected on this machine only if the standard library says that it can be run.
#[test]
fn this_machine() {
    let selected = select(&ThisMachine);

    assert!(supports(&ThisMachine, selected));
    let faster = [
        is_x86_feature_detected!("avx2"),
        is_x86_feature_detected!("sha"),
    ];

    if faster.contains(&true) {
        assert_ne!(selected, Scalar);
    } else {
        assert_eq!(selected.xcr0(), 0);
    }
}
