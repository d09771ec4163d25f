// SPDX-License-Identifier: GPL-2.0-only

//! A loaded crash image.

use super::{
    Decision,
    RawImage,
    SEGMENT_MAX, //
};
use crate::{
    bindings,
    crypto::sha256::Digest,
    types::Opaque, //
};

/// A loaded crash image, while no crash can enter it.
///
/// # Invariants
///
/// The `struct kimage` is valid, and nothing else changes it. The memory of its segments is
/// reserved for it, lies in the direct map and is writable, and nothing else accesses it.
#[repr(transparent)]
pub struct CrashImage(Opaque<bindings::kimage>);

impl CrashImage {
    /// Creates a reference from a pointer to a `struct kimage`.
    ///
    /// # Safety
    ///
    /// For the duration of `'a`, `image` must be a valid crash image that either system call
    /// loaded, and it must not be `kexec_crash_image`. The caller must hold the kexec lock, and the
    /// memory of the segments must be in the direct map, writable, and not accessed by anything
    /// else.
    pub unsafe fn from_raw_mut<'a>(image: *mut RawImage) -> &'a mut CrashImage {
        // SAFETY: `CrashImage` is a transparent wrapper, the caller promises the rest.
        // INVARIANT: By the safety requirements of this function.
        unsafe { &mut *image.cast() }
    }

    /// The decision about the image; `None` if there is none, as for an image that `kexec_load()`
    /// loaded.
    pub fn decision(&self) -> Option<Decision> {
        // SAFETY: By the type invariant the image is valid, and nothing changes it meanwhile.
        Decision::from_raw(unsafe { (*self.0.get()).arch.purgatory.decision })
    }

    /// Physical address of the image's first instruction.
    pub fn entry(&self) -> u64 {
        // SAFETY: By the type invariant the image is valid, and nothing changes it meanwhile.
        unsafe { (*self.0.get()).start as u64 }
    }

    /// Physical address of the image's ELF core header.
    pub fn elfcorehdr(&self) -> u64 {
        // SAFETY: By the type invariant the image is valid, and nothing changes it meanwhile.
        unsafe { (*self.0.get()).elf_load_addr as u64 }
    }

    /// The recorded digest of the segment at the physical address `start`; `None` if there is none.
    pub fn digest(&self, start: u64) -> Option<Digest> {
        let image = self.0.get();
        // SAFETY: By the type invariant the image is valid, and nothing changes it meanwhile.
        let count = unsafe { (*image).nr_segments };

        (0..count.min(SEGMENT_MAX)).find_map(|index| {
            // SAFETY: As above.
            let (segment, region) = unsafe {
                (
                    (*image).segment[index],
                    (*image).arch.purgatory.regions[index],
                )
            };

            (segment.mem as u64 == start && region.kind != 0).then_some(region.digest)
        })
    }

    /// Records a new digest of the segment at the physical address `start`, over its first `len`
    /// bytes. Does nothing if no digest of the segment is recorded.
    pub fn set_digest(&mut self, start: u64, len: usize, digest: Digest) {
        let image = self.0.get();
        // SAFETY: By the type invariant the image is valid, and nothing changes it meanwhile.
        let count = unsafe { (*image).nr_segments };

        for index in 0..count.min(SEGMENT_MAX) {
            // SAFETY: As above.
            let (segment, region) = unsafe {
                (
                    (*image).segment[index],
                    (*image).arch.purgatory.regions[index],
                )
            };

            if segment.mem as u64 != start || region.kind == 0 {
                continue;
            }
            // SAFETY: The borrow of `self` keeps all other access away.
            let purgatory = unsafe { &mut (*image).arch.purgatory };

            // `verify_bytes` does not count the purgatory, whose length never changes.
            purgatory.verify_bytes = purgatory.verify_bytes + len - region.len;
            purgatory.regions[index] = bindings::kexec_purgatory_region {
                len,
                digest,
                ..region
            };
        }
    }

    /// The first `len` bytes of the segment at the physical address `start`; `None` if no segment
    /// begins there, or if it is smaller.
    pub fn segment_mut(&mut self, start: u64, len: usize) -> Option<&mut [u8]> {
        let image = self.0.get();
        // SAFETY: By the type invariant the image is valid, and nothing changes it meanwhile.
        let count = unsafe { (*image).nr_segments };
        let found = (0..count.min(SEGMENT_MAX)).any(|index| {
            // SAFETY: As above.
            let segment = unsafe { (*image).segment[index] };

            segment.mem as u64 == start && segment.memsz >= len
        });

        if !found {
            return None;
        }
        // SAFETY: By the type invariant the memory at this address is in the direct map.
        let memory = unsafe { bindings::phys_to_virt(start) };
        // SAFETY: By the type invariant the segment's memory is valid for reads and writes, and the
        // borrow of `self` keeps all other access away. Every byte is a value.
        Some(unsafe { core::slice::from_raw_parts_mut(memory.cast(), len) })
    }
}
