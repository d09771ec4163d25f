// SPDX-License-Identifier: GPL-2.0-only

//! SHA-256 tree digests of memory regions.
//!
//! The code is split along two lines. [`engine`] holds the SHA-256 compression function on whole
//! blocks, once per instruction set. [`tree`] holds everything else, padding, leaves and the digest
//! over them, once for all engines. [`select`] picks the engine for a CPU.
//!
//! The purgatory blob runs this crate without an operating system, an allocator or a panic handler:
//! nothing here may panic, and nothing may need a relocation.

#![no_std]

#[path = "../abi.rs"]
pub mod abi;
pub mod check;
mod engine;
pub mod select;
mod tree;

use abi::{
    Digest,
    EngineKind,
    LEAF_SIZE, //
};
use core::slice;
use engine::{
    avx2_x8::Avx2X8,
    avx512_x16::Avx512X16,
    shani_x2::ShaNiX2, //
};

/// Computes the digest of a region as [`LEAF_SIZE`] defines it.
///
/// # Safety
///
/// - `start` is not null, and the `len` bytes from there, at most `isize::MAX`, are initialized,
///   readable, and not written while this function runs.
/// - The CPU supports `engine`, as [`select::supports`] tells, and is ready for it: `CR0.EM` and
///   `CR0.TS` are clear, `CR4.OSFXSR` is set and, if [`EngineKind::xcr0`] is not 0, so is
///   `CR4.OSXSAVE`, and `XCR0` holds those bits.
pub unsafe fn region_digest(engine: EngineKind, start: *const u8, len: usize) -> Digest {
    // SAFETY: The caller's obligations are those of the function called.
    unsafe { region_digest_with_leaf::<LEAF_SIZE>(engine, start, len) }
}

/// Computes the digest of a region for leaves of `LEAF` bytes. Only measurements and tests want
/// leaves of another size than [`LEAF_SIZE`].
///
/// # Safety
///
/// Those of [`region_digest`].
pub unsafe fn region_digest_with_leaf<const LEAF: usize>(
    engine: EngineKind,
    start: *const u8,
    len: usize,
) -> Digest {
    // SAFETY: By the safety requirements, the range is valid for reads and does not change. Bytes
    // need no alignment.
    let region = unsafe { slice::from_raw_parts(start, len) };

    match engine {
        EngineKind::Scalar => tree::region_digest_scalar::<LEAF>(region),
        EngineKind::ShaNiX2 => {
            // SAFETY: By the safety requirements, the CPU is ready for the engine while this
            // function runs. The value does not outlive it.
            let engine = unsafe { ShaNiX2::new() };

            tree::region_digest::<_, 2, LEAF>(engine, region)
        }
        EngineKind::Avx2X8 => {
            // SAFETY: As above.
            let engine = unsafe { Avx2X8::new() };

            tree::region_digest::<_, 8, LEAF>(engine, region)
        }
        EngineKind::Avx512X16 => {
            // SAFETY: As above.
            let engine = unsafe { Avx512X16::new() };

            tree::region_digest::<_, 16, LEAF>(engine, region)
        }
    }
}

/// Computes the SHA-256 of `len` bytes at `start`.
///
/// # Safety
///
/// `start` is not null, and the `len` bytes from there, at most `isize::MAX`, are initialized,
/// readable, and not written while this function runs.
pub unsafe fn sha256(start: *const u8, len: usize) -> Digest {
    // SAFETY: By the safety requirements, the range is valid for reads and does not change. Bytes
    // need no alignment.
    let data = unsafe { slice::from_raw_parts(start, len) };

    tree::sha256(data)
}
