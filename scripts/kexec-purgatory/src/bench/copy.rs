// SPDX-License-Identifier: GPL-2.0-only

//! Copies an image along a list of pages, as `relocate_kernel` does.

mod loops;

use anyhow::{Result, ensure};
use serde::Serialize;

pub use self::loops::{CACHED, Loop};
use super::present_memory::{Memory, PAGE};
use super::segments::Image;
use crate::machine::loaded::{self, IND_DESTINATION, IND_DONE, IND_INDIRECTION, IND_SOURCE, walk};

/// Entries in a page of the list.
const ENTRIES: usize = PAGE / size_of::<u64>();

/// How the source pages of an image lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pages {
    /// One after the other.
    Adjacent,
    /// In random order.
    Scattered,
}

impl Pages {
    pub const ALL: [Self; 2] = [Self::Adjacent, Self::Scattered];

    pub fn name(self) -> &'static str {
        match self {
            Self::Adjacent => "adjacent",
            Self::Scattered => "scattered",
        }
    }
}

/// Which part of each segment is copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extent {
    /// What was loaded.
    Loaded,
    /// The zero tail as well, as mainline does.
    WithTail,
}

/// The source pages of an image, and the list of what is copied where.
pub struct Copy<'a> {
    list: Memory,
    // The list refers to both.
    source: Memory,
    image: &'a Image,
}

impl<'a> Copy<'a> {
    /// Fills source pages with the current contents of `image`, to be copied back over it.
    pub fn new(image: &'a Image, pages: Pages, extent: Extent) -> Result<Self> {
        let spans: Vec<(usize, usize)> = image
            .segments
            .iter()
            .map(|segment| match extent {
                Extent::Loaded => (segment.start, segment.loaded.div_ceil(PAGE)),
                Extent::WithTail => (segment.start, segment.memory / PAGE),
            })
            .collect();
        let count = spans.iter().map(|(_, pages)| pages).sum();
        let mut order: Vec<usize> = (0..count).collect();
        if pages == Pages::Scattered {
            fastrand::Rng::with_seed(3).shuffle(&mut order);
        }

        let mut source = Memory::new(count * PAGE)?;
        let first = source.as_raw().addr();
        let mut entries = Vec::new();
        let mut order = order.into_iter().map(|page| page * PAGE);
        for (start, pages) in spans {
            entries.push((image.memory.as_raw().addr() + start) as u64 | IND_DESTINATION);
            for (page, from) in (0..pages).zip(&mut order) {
                let to = start + page * PAGE;
                source[from..from + PAGE].copy_from_slice(&image.memory[to..to + PAGE]);
                entries.push((first + from) as u64 | IND_SOURCE);
            }
        }
        entries.push(IND_DONE);
        Ok(Self {
            list: list(&entries)?,
            source,
            image,
        })
    }

    /// What a copy reads.
    pub fn memory(&self) -> [&[u8]; 2] {
        [&self.list, &self.source]
    }

    /// Bytes that are copied.
    pub fn bytes(&self) -> usize {
        self.source.len()
    }

    /// Copies every page to its place in the image.
    pub fn run(&self, how: Loop) {
        // SAFETY: The list is well formed and ends. Its sources are pages of `source`; its
        // destinations pages of the image, whose bytes nobody borrows meanwhile: a borrow would
        // have to come from another thread, and `Copy` is not `Sync`.
        unsafe { how.walk(self.list.as_raw().addr() as u64 | IND_INDIRECTION) }
    }

    /// Fails unless every loop copies every byte that was loaded.
    pub fn check(&self) -> Result<()> {
        let image = self.image;
        let expected: Vec<Vec<u8>> = image
            .segments
            .iter()
            .map(|segment| image.memory[segment.loaded_range()].to_vec())
            .collect();
        for how in Loop::ALL {
            for segment in &image.segments {
                image.overwrite(segment);
            }
            self.run(how);
            for (segment, expected) in image.segments.iter().zip(&expected) {
                ensure!(
                    image.memory[segment.loaded_range()] == **expected,
                    "{} does not copy {}",
                    how.name,
                    segment.name
                );
            }
        }
        Ok(())
    }
}

/// How the pages of a loaded image lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Runs {
    /// Pages that are copied.
    pub pages: u64,
    /// Runs of pages that follow each other both before and after the copy.
    pub runs: u64,
}

impl Runs {
    /// Walks the list of an image, which begins with `head`. `read` reads the entry at a physical
    /// address.
    pub fn of_list(head: u64, read: impl FnMut(u64) -> Result<u64>) -> Result<Self> {
        let mut found = Self::default();
        let mut follows = None;
        walk(head, read, |source, destination| {
            found.pages += 1;
            found.runs += u64::from(follows != Some((source, destination)));
            follows = Some((source + loaded::PAGE, destination + loaded::PAGE));
            Ok(())
        })?;
        Ok(found)
    }
}

/// Puts entries in pages. Each page ends with an entry for the next one.
fn list(entries: &[u64]) -> Result<Memory> {
    let pages = entries.chunks(ENTRIES - 1);
    let mut list = Memory::new(pages.len() * PAGE)?;
    let start = list.as_raw().addr();
    for (number, entries) in pages.enumerate() {
        let next = (start + (number + 1) * PAGE) as u64 | IND_INDIRECTION;
        let page = &mut list[number * PAGE..(number + 1) * PAGE];
        for (bytes, entry) in page.chunks_exact_mut(8).zip(entries.iter().chain([&next])) {
            bytes.copy_from_slice(&entry.to_le_bytes());
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn runs_end_where_a_page_does_not_follow() {
        // The last destination is where the page before it ends.
        let words = [
            0x5001, 0x8008, 0x9008, 0x3008, 0x7001, 0x4008, 0x8001, 0x5008, 4,
        ];
        let read = |address: u64| Ok(words[(address - 0x10000) as usize / 8]);
        let found = Runs::of_list(0x10002, read).unwrap();
        assert_eq!(found, Runs { pages: 5, runs: 3 });
        assert!(Runs::of_list(0x10003, read).is_err());
    }

    #[test]
    fn every_loop_copies_every_page() {
        // More than one page of entries.
        let image = Image::of_equal_segments(1, 700 * PAGE).unwrap();
        for pages in Pages::ALL {
            let copy = Copy::new(&image, pages, Extent::Loaded).unwrap();
            assert_eq!(copy.bytes(), image.memory.len());
            copy.check().context(pages.name()).unwrap();
        }
    }
}
