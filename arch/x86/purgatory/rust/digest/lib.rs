// SPDX-License-Identifier: GPL-2.0-only

//! SHA-256 tree digests of memory regions.
//!
//! [`engine`] holds the SHA-256 compression function on whole blocks, once for each instruction
//! set. [`tree`] holds everything else, padding, leaves and the digest over them, once for all
//! engines. [`engines`] is the table of engines, and picks one for a CPU.
//!
//! The purgatory blob runs this crate without an operating system, an allocator or a panic handler:
//! nothing here may panic, and nothing may need a relocation.

#![no_std]

#[path = "../abi.rs"]
pub mod abi;
pub mod check;
mod engine;
pub mod engines;
#[path = "../record.rs"]
pub mod record;
mod tree;

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
/// `regions[i]`, whatever [`Region::digest`] says. Regions behind the last digest get none.
///
/// # Safety
///
/// - No region starts at address 0. The [`Region::len`] bytes from [`Region::start`], at most
///   `isize::MAX`, are initialized, readable, and not written while this function runs.
/// - The CPU supports `engine`, as [`engines::supports`] tells, and is ready for it: `CR0.EM` and
///   `CR0.TS` are clear, `CR4.OSFXSR` is set and, if [`EngineKind::xcr0`] is not 0, so is
///   `CR4.OSXSAVE`, and `XCR0` holds those bits.
// Not a copy in each caller: tests call the code that the purgatory runs.
#[inline(never)]
pub unsafe fn region_digests(
    engine: EngineKind,
    regions: &[Region],
    digests: &mut [Digest; REGIONS_MAX],
) {
    // SAFETY: The caller's obligations are those of the function called.
    unsafe { region_digests_with_leaf::<LEAF_SIZE>(engine, regions, digests) }
}

/// [`region_digests`] for leaves of `LEAF` bytes. Only measurements and tests want leaves of
/// another size than [`LEAF_SIZE`].
///
/// # Safety
///
/// Those of [`region_digests`].
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
