// SPDX-License-Identifier: GPL-2.0-only

//! The image that is copied and verified: its segments, as the kernel's loader would make them.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::present_memory::{Memory, PAGE};
use crate::bzimage::BzImage;
use crate::files;

/// Bytes of initramfs that are loaded with the distribution's kernel.
const INITRAMFS: usize = 30 << 20;

/// `sizeof(struct boot_params)`, the longest `elfcorehdr=`, and `struct setup_data` for the EFI
/// maps and the seed: what `bzImage64_load()` allocates besides the command line.
const BOOT_PARAMS: usize = 4096 + 30 + 16 + 48 + 16 + 32;
const CMDLINE: &str = "root=/dev/sda1 ro quiet console=ttyS0,115200";

/// A segment.
#[derive(Clone, Serialize)]
pub struct Segment {
    pub name: &'static str,
    /// Bytes that were loaded (`bufsz`).
    pub loaded: usize,
    /// Bytes that it occupies (`memsz`), whole pages; the bytes after the loaded ones are zero.
    pub memory: usize,
    /// Where it starts in the memory of the image, in bytes.
    #[serde(skip)]
    pub start: usize,
}

impl Segment {
    /// The bytes that were loaded.
    pub fn loaded_range(&self) -> Range<usize> {
        self.start..self.start + self.loaded
    }

    /// The loaded bytes and the zero tail.
    pub fn memory_range(&self) -> Range<usize> {
        self.start..self.start + self.memory
    }
}

/// Segments in their places, one after the other, each at the start of a page.
pub struct Image {
    pub segments: Vec<Segment>,
    pub memory: Memory,
}

impl Image {
    /// A kernel with 30 MiB of random bytes for its initramfs.
    pub fn of_kernel(bzimage: &Path) -> Result<Self> {
        let file = files::read(bzimage)?;
        let parsed = BzImage::parse(&file).with_context(|| bzimage.display().to_string())?;
        let kernel = parsed.kernel();
        let mut image = Self::of_kernel_size(kernel.len(), parsed.init_size()?)?;
        let [boot_params, place] = [0, 1].map(|i| image.segments[i].loaded_range());
        image.memory[boot_params][..CMDLINE.len()].copy_from_slice(CMDLINE.as_bytes());
        image.memory[place].copy_from_slice(kernel);
        Ok(image)
    }

    /// Segments of a kernel of `kernel` bytes with that `init_size`, and of its initramfs; all
    /// bytes are random.
    pub fn of_kernel_size(kernel: usize, init_size: usize) -> Result<Self> {
        let boot_params = BOOT_PARAMS + CMDLINE.len();
        let mut image = Self::with_segments(&[
            ("boot_params", boot_params, boot_params),
            ("kernel", kernel, init_size),
            ("initramfs", INITRAMFS, INITRAMFS),
        ])?;
        for segment in &image.segments {
            fastrand::Rng::with_seed(1).fill(&mut image.memory[segment.loaded_range()]);
        }
        Ok(image)
    }

    /// Segments of the same size, whole pages, so that there is no tail.
    pub fn of_equal_segments(count: usize, bytes: usize) -> Result<Self> {
        let mut image = Self::with_segments(&vec![("segment", bytes, bytes); count])?;
        fastrand::Rng::with_seed(3).fill(&mut image.memory);
        Ok(image)
    }

    /// Segments with the sizes that a loader asks for, placed as `kexec_add_buffer()` does it.
    fn with_segments(segments: &[(&'static str, usize, usize)]) -> Result<Self> {
        let mut start = 0;
        let mut placed = Vec::new();
        for &(name, loaded, memory) in segments {
            let memory = memory.next_multiple_of(PAGE);
            ensure!(loaded <= memory, "{name} is larger than its memory");
            placed.push(Segment {
                name,
                loaded,
                memory,
                start,
            });
            start += memory;
        }
        Ok(Self {
            segments: placed,
            memory: Memory::new(start)?,
        })
    }

    /// Overwrites the loaded bytes of a segment.
    pub fn overwrite(&self, segment: &Segment) {
        let range = segment.loaded_range();
        // SAFETY: The range is inside of the memory, which nobody borrows: an image is not shared
        // between threads, and no borrow outlives the functions that read it.
        unsafe {
            self.memory
                .as_raw()
                .add(range.start)
                .write_bytes(0xa5, range.len());
        }
    }

    /// Bytes that were loaded.
    pub fn loaded(&self) -> usize {
        self.segments.iter().map(|segment| segment.loaded).sum()
    }

    /// Loaded bytes and the zero tails.
    pub fn total(&self) -> usize {
        self.segments.iter().map(|segment| segment.memory).sum()
    }

    /// The digest that mainline's loader records: SHA-256 over all segments, tails included.
    pub fn mainline_digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for segment in &self.segments {
            hash.update(&self.memory[segment.memory_range()]);
        }
        hash.finalize().into()
    }
}

/// Bytes of a bzImage's protected-mode part, and its `init_size`.
pub fn kernel_size(bzimage: &Path) -> Result<(usize, usize)> {
    let file = files::read(bzimage)?;
    let image = BzImage::parse(&file).with_context(|| bzimage.display().to_string())?;
    Ok((image.kernel().len(), image.init_size()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_segment_takes_whole_pages() {
        let image = Image::with_segments(&[("a", 5000, 5000), ("b", 1, PAGE)]).unwrap();
        let [a, b] = &image.segments[..] else {
            panic!("not two segments");
        };
        assert_eq!(a.memory_range(), 0..2 * PAGE);
        assert_eq!(b.memory_range(), 2 * PAGE..3 * PAGE);
        assert_eq!((image.loaded(), image.total()), (5001, 3 * PAGE));
        assert!(Image::with_segments(&[("a", PAGE + 1, PAGE)]).is_err());
    }
}
