// SPDX-License-Identifier: GPL-2.0-only

//! The choice of an engine.
//!
//! The kernel's loader decides, and the blob does what it is told; so this file is compiled into
//! the loader as well as into this crate. It depends on nothing but the `abi` module at the
//! crate's root.

use crate::abi::EngineKind;
use core::arch::x86_64::{__cpuid_count, CpuidResult};

/// Every engine, the fastest one first.
///
/// Two streams in SHA-NI beat eight lanes of AVX2, but not sixteen lanes of AVX-512.
const BEST_FIRST: [EngineKind; 4] = [
    EngineKind::Avx512X16,
    EngineKind::ShaNiX2,
    EngineKind::Avx2X8,
    EngineKind::Scalar,
];

/// The CPUID registers that the choice depends on; 0 for a leaf that the CPU does not have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpuid {
    /// Leaf 1, `ECX`.
    pub leaf_1_ecx: u32,
    /// Leaf 7, subleaf 0, `EBX`.
    pub leaf_7_ebx: u32,
    /// Leaf 0xd, subleaf 0, `EDX:EAX`: the bits that may be set in `XCR0`.
    pub xcr0: u64,
}

/// [`Cpuid::leaf_1_ecx`].
const SSSE3: u32 = 1 << 9;
const SSE4_1: u32 = 1 << 19;
const XSAVE: u32 = 1 << 26;
const AVX: u32 = 1 << 28;

/// [`Cpuid::leaf_7_ebx`].
const AVX2: u32 = 1 << 5;
const AVX512F: u32 = 1 << 16;
const SHA: u32 = 1 << 29;
const AVX512BW: u32 = 1 << 30;

impl Cpuid {
    /// Reads the registers of the CPU that this runs on.
    pub fn read() -> Cpuid {
        let max = cpuid(0).eax;
        let mut regs = Cpuid::default();

        if max >= 0x1 {
            regs.leaf_1_ecx = cpuid(0x1).ecx;
        }
        if max >= 0x7 {
            regs.leaf_7_ebx = cpuid(0x7).ebx;
        }
        if max >= 0xd {
            let leaf = cpuid(0xd);

            regs.xcr0 = u64::from(leaf.edx) << 32 | u64::from(leaf.eax);
        }
        regs
    }
}

/// Subleaf 0 of a CPUID leaf.
fn cpuid(leaf: u32) -> CpuidResult {
    // Newer compilers have this as a safe function.
    #[allow(unused_unsafe)]
    // SAFETY: Every 64-bit CPU has the instruction.
    unsafe {
        __cpuid_count(leaf, 0)
    }
}

/// Whether a CPU can run an engine, once somebody has set up `CR0`, `CR4` and `XCR0` for it.
///
/// What the running system has enabled does not count: the blob sets `CR4.OSXSAVE` and `XCR0`
/// itself, so that the question is only what they may be set to.
pub fn supports(cpuid: &Cpuid, engine: EngineKind) -> bool {
    let (leaf_1_ecx, leaf_7_ebx) = match engine {
        EngineKind::Scalar => (0, 0),
        EngineKind::ShaNiX2 => (SSSE3 | SSE4_1, SHA),
        EngineKind::Avx2X8 => (XSAVE | AVX, AVX2),
        EngineKind::Avx512X16 => (XSAVE | AVX, AVX2 | AVX512F | AVX512BW),
    };

    cpuid.leaf_1_ecx & leaf_1_ecx == leaf_1_ecx
        && cpuid.leaf_7_ebx & leaf_7_ebx == leaf_7_ebx
        && cpuid.xcr0 & engine.xcr0() == engine.xcr0()
}

/// The fastest engine that a CPU can run.
pub fn select(cpuid: &Cpuid) -> EngineKind {
    BEST_FIRST
        .into_iter()
        .find(|&engine| supports(cpuid, engine))
        .unwrap_or(EngineKind::Scalar)
}
