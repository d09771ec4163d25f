// SPDX-License-Identifier: GPL-2.0-only

//! Memory between two inaccessible pages.

use std::{
    io,
    ptr,
    slice, //
};

const PAGE_SIZE: usize = 4096;

/// Bytes with an inaccessible page on either side, so that any access out of bounds kills the
/// process.
///
/// # Invariants
///
/// `map` is a private mapping of `len + 2 * PAGE_SIZE` bytes that nothing else uses. All but its
/// first and its last page are readable and writable.
pub struct Guarded {
    map: *mut u8,
    len: usize,
}

impl Guarded {
    /// At least `len` bytes, rounded up to whole pages.
    pub fn new(len: usize) -> io::Result<Guarded> {
        let len = len.next_multiple_of(PAGE_SIZE).max(PAGE_SIZE);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

        // SAFETY: A new mapping at an address of the kernel's choice touches no memory in use.
        let map = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len + 2 * PAGE_SIZE,
                libc::PROT_NONE,
                flags,
                -1,
                0,
            )
        };
        if map == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }

        // INVARIANT: The mapping is new, and has the right size. If the inner pages cannot be made
        // accessible, the value is dropped without ever being used.
        let guarded = Guarded {
            map: map.cast(),
            len,
        };

        // SAFETY: The range is part of the mapping, which nothing else uses.
        let err = unsafe {
            libc::mprotect(
                guarded.inner().cast(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        };
        if err != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(guarded)
    }

    fn inner(&self) -> *mut u8 {
        self.map.wrapping_add(PAGE_SIZE)
    }

    /// The bytes between the guard pages.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: By the type invariants, the range is readable. Only `bytes_mut()` lends it for
        // writing, and takes `&mut self`.
        unsafe { slice::from_raw_parts(self.inner(), self.len) }
    }

    /// The bytes between the guard pages.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: By the type invariants, the range is writable, and `&mut self` is the only
        // reference.
        unsafe { slice::from_raw_parts_mut(self.inner(), self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, the mapping has this size and nothing else uses it. All
        // borrows of its bytes have ended.
        unsafe { libc::munmap(self.map.cast(), self.len + 2 * PAGE_SIZE) };
    }
}
