// SPDX-License-Identifier: GPL-2.0-only

//! The choice of an engine, over every combination of what it depends on.

use purgatory_digest::{
    abi::EngineKind::{
        self,
        Avx2X8,
        Avx512X16,
        Scalar,
        ShaNiX2, //
    },
    select::{
        select,
        supports, //
        Cpuid,
    }, //
};

// Bits of CPUID leaf 1, ECX and of leaf 7, EBX (Intel SDM volume 2, CPUID).
const SSSE3: u32 = 9;
const SSE4_1: u32 = 19;
const XSAVE: u32 = 26;
const AVX: u32 = 28;
const AVX2: u32 = 5;
const AVX512F: u32 = 16;
const SHA: u32 = 29;
const AVX512BW: u32 = 30;

const LEAF_1_ECX: [u32; 4] = [SSSE3, SSE4_1, XSAVE, AVX];
const LEAF_7_EBX: [u32; 4] = [AVX2, AVX512F, SHA, AVX512BW];

/// Values of leaf 0xd: x87 and SSE; AVX; all of AVX-512; with one of its three parts missing; with
/// MPX, PKRU and AMX beside them.
const XCR0: [u64; 12] = [
    0x0, 0x1, 0x3, 0x7, 0xe7, 0xc7, 0xa7, 0x67, 0xe3, 0x1f, 0x207, 0x6_02ff,
];

/// What `select()` must return, written as a table of rules rather than of masks.
fn oracle(has: impl Fn(u32) -> bool, leaf_7_has: impl Fn(u32) -> bool, xcr0: u64) -> EngineKind {
    let avx = has(XSAVE) && has(AVX) && leaf_7_has(AVX2) && xcr0 & 7 == 7;
    let avx512 = avx && leaf_7_has(AVX512F) && leaf_7_has(AVX512BW) && xcr0 >> 5 & 7 == 7;
    let shani = leaf_7_has(SHA) && has(SSSE3) && has(SSE4_1);

    if avx512 {
        Avx512X16
    } else if shani {
        ShaNiX2
    } else if avx {
        Avx2X8
    } else {
        Scalar
    }
}

/// The bits of `all` whose positions are set in `subset`.
fn bits(all: [u32; 4], subset: u32) -> u32 {
    all.iter()
        .enumerate()
        .filter(|(i, _)| subset & 1 << i != 0)
        .map(|(_, bit)| 1 << bit)
        .sum()
}

#[test]
fn every_combination() {
    for xcr0 in XCR0 {
        for subset in 0..256 {
            let leaf_1_ecx = bits(LEAF_1_ECX, subset & 0xf);
            let leaf_7_ebx = bits(LEAF_7_EBX, subset >> 4);
            let expected = oracle(
                |bit| leaf_1_ecx >> bit & 1 != 0,
                |bit| leaf_7_ebx >> bit & 1 != 0,
                xcr0,
            );

            // Bits that have nothing to do with the matter must not have any influence.
            let others_1 = !bits(LEAF_1_ECX, 0xf);
            let others_7 = !bits(LEAF_7_EBX, 0xf);

            for (others_1, others_7) in [(0, 0), (others_1, others_7)] {
                let cpuid = Cpuid {
                    leaf_1_ecx: leaf_1_ecx | others_1,
                    leaf_7_ebx: leaf_7_ebx | others_7,
                    xcr0,
                };

                assert_eq!(select(&cpuid), expected, "{cpuid:x?}");
                assert!(supports(&cpuid, expected), "{cpuid:x?}");
                assert!(supports(&cpuid, Scalar), "{cpuid:x?}");
            }
        }
    }
}

#[test]
fn known_machines() {
    let sse = 1 << SSSE3 | 1 << SSE4_1;
    let avx = sse | 1 << XSAVE | 1 << AVX;
    let avx2 = 1 << AVX2;
    let avx512 = avx2 | 1 << AVX512F | 1 << AVX512BW;
    let sha = 1 << SHA;

    for (machine, leaf_1_ecx, leaf_7_ebx, xcr0, expected) in [
        ("nothing but the baseline", 0, 0, 0, Scalar),
        ("Nehalem", sse, 0, 0, Scalar),
        ("Sandy Bridge: AVX without AVX2", avx, 0, 0x7, Scalar),
        ("Haswell", avx, avx2, 0x7, Avx2X8),
        ("Skylake-SP: no SHA-NI", avx, avx512, 0x2ff, Avx512X16),
        ("Goldmont: SHA-NI without AVX", sse, sha, 0x1b, ShaNiX2),
        ("Zen 3", avx, avx2 | sha, 0x207, ShaNiX2),
        ("Zen 4", avx, avx512 | sha, 0x2e7, Avx512X16),
        ("Sapphire Rapids", avx, avx512 | sha, 0x6_02e7, Avx512X16),
        (
            "TDX guest whose XFAM has AVX-512",
            avx,
            avx512 | sha,
            0x6_00e7,
            Avx512X16,
        ),
        (
            "TDX guest whose XFAM has AVX only",
            avx,
            avx512 | sha,
            0x7,
            ShaNiX2,
        ),
        ("the same without SHA-NI", avx, avx512, 0x7, Avx2X8),
        ("hypervisor that allows SSE only", avx, avx512, 0x3, Scalar),
        ("AVX-512 bits without XSAVE", sse, avx512, 0xe7, Scalar),
        (
            "Knights Landing: no AVX512BW",
            avx,
            avx2 | 1 << AVX512F,
            0xe7,
            Avx2X8,
        ),
    ] {
        let cpuid = Cpuid {
            leaf_1_ecx,
            leaf_7_ebx,
            xcr0,
        };

        assert_eq!(select(&cpuid), expected, "{machine}");
    }
}

/// The registers as read agree with what the standard library finds.
#[test]
fn this_machine() {
    let cpuid = Cpuid::read();
    let has = |bit| cpuid.leaf_1_ecx >> bit & 1 != 0;
    let leaf_7_has = |bit| cpuid.leaf_7_ebx >> bit & 1 != 0;

    eprintln!("{cpuid:x?}: {}", select(&cpuid).name());
    assert_eq!(has(SSSE3), is_x86_feature_detected!("ssse3"));
    assert_eq!(has(SSE4_1), is_x86_feature_detected!("sse4.1"));
    assert_eq!(leaf_7_has(SHA), is_x86_feature_detected!("sha"));

    // The standard library reports AVX only where the kernel has enabled it.
    assert!(leaf_7_has(AVX2) || !is_x86_feature_detected!("avx2"));
    assert!(leaf_7_has(AVX512BW) || !is_x86_feature_detected!("avx512bw"));
    assert!(cpuid.xcr0 & 7 == 7 || !is_x86_feature_detected!("avx"));
}
