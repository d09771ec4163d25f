// SPDX-License-Identifier: GPL-2.0-only

//! SHA-256 tree digests of memory regions.
//!
//! [`engine`] holds the SHA-256 compression function on whole blocks, once for each instruction
//! set. [`tree`] holds everything else, once for all engines: padding, leaves and the digest over
//! them. [`engines`] is the table of engines, and selects one for a CPU.
//!
//! The purgatory runs this crate without an operating system, an allocator or a panic handler:
//! nothing here may panic or need a relocation.

#![no_std]

#[path = "../abi.rs"]
pub mod abi;
pub mod check;
mod engine;
pub mod engines;
#[path = "../record.rs"]
pub mod record;
mod tree;

pub use tree::sha256;

use abi::{
    Digest,
    Region,
    LEAF_SIZE,
    REGIONS_MAX, //
};
use core::{
    ptr,
    slice, //
};
use engine::Engine;
use engines::EngineKind;

/// Computes the digests of regions as [`LEAF_SIZE`] defines them: `digests[i]` gets that of
/// `regions[i]`. [`Region::digest`] is ignored, and so are regions beyond [`REGIONS_MAX`].
///
/// # Safety
///
/// - No region starts at address 0. The [`Region::len`] bytes from [`Region::start`], at most
///   `isize::MAX`, are initialized, readable, and not written while this function runs.
/// - The CPU supports `engine`, see [`engines::supports`], and is ready for it: `CR0.EM` and
///   `CR0.TS` are clear, `CR4.OSFXSR` is set and, if [`EngineKind::xcr0`] is not 0, so is
///   `CR4.OSXSAVE`, and `XCR0` holds those bits.
// Not inlined, so that tests call the same code as the purgatory.
#[inline(never)]
pub unsafe fn region_digests(
    engine: EngineKind,
    regions: &[Region],
    digests: &mut [Digest; REGIONS_MAX],
) {
    // SAFETY: By the safety requirements, which are the same.
    unsafe { region_digests_with_leaf::<LEAF_SIZE>(engine, regions, digests) }
}

/// [`region_digests`] for leaves of `LEAF` bytes. Only measurements and tests use a size other than
/// [`LEAF_SIZE`].
///
/// # Safety
///
/// As for [`region_digests`].
pub unsafe fn region_digests_with_leaf<const LEAF: usize>(
    engine: EngineKind,
    regions: &[Region],
    digests: &mut [Digest; REGIONS_MAX],
) {
    // SAFETY: By the safety requirements, the CPU is ready for the engine while this function runs.
    // The value does not outlive it.
    let engine = unsafe { Engine::new(engine) };
    let memory = regions.iter().map(|region| {
        let start = ptr::with_exposed_provenance(region.start as usize);

        // SAFETY: By the safety requirements, the range is valid for reads and does not change.
        // Bytes need no alignment.
        unsafe { slice::from_raw_parts(start, region.len as usize) }
    });

    tree::region_digests::<LEAF>(engine, memory, digests.iter_mut());
}
