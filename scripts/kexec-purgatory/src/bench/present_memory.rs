// SPDX-License-Identifier: GPL-2.0-only

//! Memory like that of the identity mapping between two kernels: in large pages, and all present.

use std::arch::x86_64::{_mm_clflush, _mm_mfence};
use std::fs;
use std::ops::{Deref, DerefMut};
use std::slice;

use anyhow::{Context, Result};
use memmap2::{Advice, MmapMut, MmapRaw};

use crate::machine::loaded;

/// Size of a page, as the indirection list counts them, in bytes.
pub const PAGE: usize = loaded::PAGE as usize;

/// Size of a line of the caches, in bytes.
const CACHE_LINE: usize = 64;

/// Size of the pages that the kernel is asked for, in bytes.
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
        // Includes room for the alignment, and for the whole last large page.
        let map = MmapMut::map_anon(len.next_multiple_of(LARGE_PAGE) + LARGE_PAGE)
            .with_context(|| format!("no {} MiB of memory", len >> 20))?;
        // `is_large()` says whether the kernel can do so and did.
        let _ = map.advise(Advice::HugePage);
        let start = map.as_ptr().align_offset(LARGE_PAGE);
        // INVARIANT: The mapping has room for the alignment.
        let mut memory = Self {
            map: MmapRaw::from(map),
            start,
            len,
        };
        // Makes every page present.
        memory.fill(0);
        Ok(memory)
    }

    /// The first byte, for code that writes to the memory behind the compiler's back.
    pub fn as_raw(&self) -> *mut u8 {
        // SAFETY: By the type's invariants this is inside of the mapping.
        unsafe { self.map.as_mut_ptr().add(self.start) }
    }
}

/// Writes back what the caches hold of `memory`, and removes it from the caches.
pub fn flush(memory: &[u8]) {
    for line in memory.chunks(CACHE_LINE) {
        // SAFETY: Every 64-bit processor has the instruction, which changes no memory.
        unsafe { _mm_clflush(line.as_ptr()) };
    }
    // SAFETY: As above. What follows waits for the lines above.
    unsafe { _mm_mfence() };
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

/// Whether all memory for which this process asked for large pages is in such pages.
pub fn is_large() -> Result<bool> {
    Ok(is_large_in(&fs::read_to_string("/proc/self/smaps")?))
}

/// The same, from what the kernel says about each mapping.
fn is_large_in(smaps: &str) -> bool {
    // A kernel without large pages refuses the advice.
    let mut advised = false;
    let (mut resident, mut large) = ("", "");
    for line in smaps.lines() {
        let (field, value) = line.split_once(':').unwrap_or_default();
        match field {
            "Rss" => resident = value.trim(),
            "AnonHugePages" => large = value.trim(),
            "VmFlags" if value.split_whitespace().any(|flag| flag == "hg") => {
                if resident != large {
                    return false;
                }
                advised = true;
            }
            _ => {}
        }
    }
    advised
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_advised_mappings_have_to_be_in_large_pages() {
        let mapping = |large: u32, flags: &str| {
            format!(
                "7f00-7f80 rw-p 00000000 00:00 0 \nRss:  4096 kB\nAnonHugePages:   {large} kB\n\
                 VmFlags: rd wr {flags}\n"
            )
        };
        let other = mapping(0, "ac");
        let whole = other.clone() + &mapping(4096, "ac hg");
        assert!(is_large_in(&whole));
        assert!(!is_large_in(&(whole + &mapping(2048, "hg"))));
        assert!(!is_large_in(&other));
    }
}
