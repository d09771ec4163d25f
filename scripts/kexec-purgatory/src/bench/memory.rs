// SPDX-License-Identifier: GPL-2.0-only

//! Memory as the identity mapping between two kernels has it: in large pages, and all there.

use std::ops::{Deref, DerefMut};
use std::slice;

use anyhow::{Context, Result};
use memmap2::{Advice, MmapMut, MmapRaw};

/// Size of a page, as the indirection list counts them, in bytes.
pub const PAGE: usize = 4096;

/// Size of the pages that the kernel is asked for.
const LARGE_PAGE: usize = 2 << 20;

/// Bytes at the start of a large page.
///
/// # Invariants
///
/// `start` and `len` are inside of the mapping. Raw pointers into it are only written to while
/// nobody borrows the bytes.
pub struct Memory {
    map: MmapRaw,
    start: usize,
    len: usize,
}

impl Memory {
    /// `len` bytes of zeroes.
    pub fn new(len: usize) -> Result<Self> {
        let map = MmapMut::map_anon(len + LARGE_PAGE)
            .with_context(|| format!("no {} MiB of memory", len >> 20))?;
        // Only slower where the kernel has no large pages.
        let _ = map.advise(Advice::HugePage);
        let start = map.as_ptr().align_offset(LARGE_PAGE);
        // INVARIANT: The mapping has room for the alignment.
        let mut memory = Self {
            map: MmapRaw::from(map),
            start,
            len,
        };
        // So that every page is there.
        memory.fill(0);
        Ok(memory)
    }

    /// The first byte, for code that writes to the memory behind the compiler's back.
    pub fn as_raw(&self) -> *mut u8 {
        // SAFETY: By the type's invariants this is inside of the mapping.
        unsafe { self.map.as_mut_ptr().add(self.start) }
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: By the type's invariants these bytes are mapped, and nobody writes to them
        // while they are borrowed.
        unsafe { slice::from_raw_parts(self.as_raw(), self.len) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: As above; nobody else borrows them.
        unsafe { slice::from_raw_parts_mut(self.as_raw(), self.len) }
    }
}
