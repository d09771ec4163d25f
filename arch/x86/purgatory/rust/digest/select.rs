// SPDX-License-Identifier: GPL-2.0-only

//! The choice of an engine.
//!
//! The kernel's loader decides, and the purgatory does what it is told; so this file is compiled
//! into the loader as well as into this crate. It depends on nothing but the `abi` module at the
//! crate's root.

use crate::abi::EngineKind;

/// Every engine, the fastest one first.
///
/// Two streams in SHA-NI beat eight lanes of AVX2, but not sixteen lanes of AVX-512.
const BEST_FIRST: [EngineKind; 4] = [
    EngineKind::Avx512X16,
    EngineKind::ShaNiX2,
    EngineKind::Avx2X8,
    EngineKind::Scalar,
];

/// An extension of the instruction set that some engine needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Supplemental SSE3.
    Ssse3,
    /// SSE4.1.
    Sse41,
    /// SHA-NI.
    Sha,
    /// AVX.
    Avx,
    /// AVX2.
    Avx2,
    /// AVX-512 Foundation.
    Avx512F,
    /// AVX-512 Byte and Word.
    Avx512Bw,
}

/// A processor, as the system on it sees it.
pub trait Processor {
    /// Whether it has that extension.
    fn has(&self, feature: Feature) -> bool;

    /// Whether these bits may be set in `XCR0`, together. There is at least one.
    fn may_enable(&self, xcr0: u64) -> bool;
}

/// What an engine needs beside [`EngineKind::xcr0`].
fn needs(engine: EngineKind) -> &'static [Feature] {
    match engine {
        EngineKind::Scalar => &[],
        EngineKind::ShaNiX2 => &[Feature::Sha, Feature::Ssse3, Feature::Sse41],
        EngineKind::Avx2X8 => &[Feature::Avx, Feature::Avx2],
        EngineKind::Avx512X16 => &[
            Feature::Avx,
            Feature::Avx2,
            Feature::Avx512F,
            Feature::Avx512Bw,
        ],
    }
}

/// Whether a processor can run an engine, once somebody has set up `CR0`, `CR4` and `XCR0` for it.
///
/// The purgatory sets them itself. `relocate_kernel` has cleared `CR4.OSXSAVE` then, so that the
/// question is what may be enabled, not what is.
pub fn supports(processor: &impl Processor, engine: EngineKind) -> bool {
    let xcr0 = engine.xcr0();

    needs(engine).iter().all(|&feature| processor.has(feature))
        && (xcr0 == 0 || processor.may_enable(xcr0))
}

/// The fastest engine that a processor can run.
pub fn select(processor: &impl Processor) -> EngineKind {
    BEST_FIRST
        .into_iter()
        .find(|&engine| supports(processor, engine))
        .unwrap_or(EngineKind::Scalar)
}
