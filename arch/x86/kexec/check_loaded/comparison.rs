// SPDX-License-Identifier: GPL-2.0-only

//! The comparison of a loaded image with its digests, on several CPUs.

use crate::{
    abi::{
        Digest,
        RegionKind,
        DIGEST_SIZE,
        LEAF_SIZE, //
    },
    digest::{
        digest_of_leaves,
        for_each_leaf, //
    },
    regions::{
        kind_of,
        name, //
    }, //
};
use core::fmt::Write;
use kernel::{
    kexec::{
        self,
        LoadedImage,
        Region,
        SEGMENT_MAX, //
    },
    page::PAGE_SIZE,
    prelude::*,
    str::NullTerminatedFormatter, //
};

/// Stands for the physical address of a page that the image does not have. Nothing can be read
/// there.
const NO_PAGE: u64 = u64::MAX;

/// Number of leaves that [`for_each_leaf`] hashes together.
const PAIR: usize = 2;

/// The regions that are checked: all except the keys of an encrypted dump target, which are not
/// mapped after a load, see `kexec_mark_dm_crypt_keys()`.
fn regions(image: &LoadedImage) -> impl Iterator<Item = Region> + '_ {
    image
        .regions()
        .filter(|region| region.kind != kind_of(RegionKind::DmCryptKeys))
}

/// How much a comparison of an image has to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pages: usize,
    leaves: usize,
}

impl Size {
    pub(super) fn of(image: &LoadedImage) -> Size {
        regions(image).fold(
            Size {
                pages: 0,
                leaves: 0,
            },
            |size, region| Size {
                pages: size.pages + pages_of(&region),
                leaves: size.leaves + leaves_of(&region),
            },
        )
    }
}

fn pages_of(region: &Region) -> usize {
    region.len.div_ceil(PAGE_SIZE)
}

fn leaves_of(region: &Region) -> usize {
    region.len.div_ceil(LEAF_SIZE)
}

/// A region of the image that is checked.
struct Part {
    region: Region,
    /// Index of its first page in [`Comparison::pages`].
    page: usize,
    /// Number of its first leaf in the image.
    leaf: usize,
    /// Whether its digest differs.
    damaged: bool,
}

/// The comparison of an image. All of its memory is allocated before the image is pinned.
pub(super) struct Comparison {
    /// In the order of their leaves.
    parts: KVec<Part>,
    /// Physical addresses of the pages of all parts, or [`NO_PAGE`].
    pages: KVVec<u64>,
    workers: KVec<Worker>,
    /// Number of leaves of each worker; the last worker may have fewer.
    share: usize,
}

/// The work of one CPU.
struct Worker {
    /// Number of its first leaf.
    first: usize,
    /// Digests of its leaves. A leaf that cannot be read keeps zeros, which are not the SHA-256 of
    /// any known message.
    leaves: KVVec<Digest>,
    /// Room for [`PAIR`] leaves.
    buffer: KVVec<u8>,
}

impl Comparison {
    pub(super) fn new(size: Size) -> Result<Comparison> {
        let cpus = kexec::cpu_count();
        let share = size.leaves.div_ceil(cpus).next_multiple_of(PAIR).max(PAIR);
        let mut workers = KVec::with_capacity(cpus, GFP_KERNEL)?;

        for first in (0..size.leaves).step_by(share) {
            let count = share.min(size.leaves - first);

            workers.push(
                Worker {
                    first,
                    leaves: KVVec::from_elem([0; DIGEST_SIZE], count, GFP_KERNEL)?,
                    buffer: KVVec::from_elem(0, PAIR * LEAF_SIZE, GFP_KERNEL)?,
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Comparison {
            parts: KVec::with_capacity(SEGMENT_MAX, GFP_KERNEL)?,
            pages: KVVec::from_elem(NO_PAGE, size.pages, GFP_KERNEL)?,
            workers,
            share,
        })
    }

    /// Compares `image`, whose [`Size`] must be that of this comparison. Stops early when `ends`
    /// returns true.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if `ends` returned true.
    pub(super) fn run(&mut self, image: &LoadedImage, ends: impl Fn() -> bool + Sync) -> Result {
        let (mut page, mut leaf) = (0, 0);

        for region in regions(image) {
            let (pages, leaves) = (pages_of(&region), leaves_of(&region));

            if region.in_place {
                for (number, address) in self.pages.iter_mut().skip(page).take(pages).enumerate() {
                    *address = region.start + (number * PAGE_SIZE) as u64;
                }
            }
            self.parts
                .push_within_capacity(Part {
                    region,
                    page,
                    leaf,
                    damaged: false,
                })
                .map_err(|_| EINVAL)?;
            page += pages;
            leaf += leaves;
        }
        image.for_each_page(|destination, source| {
            if let Some(address) = page_at(&self.parts, &mut self.pages, destination) {
                *address = source;
            }
            !ends()
        });

        let (parts, pages) = (&self.parts, &self.pages);
        kexec::run_on_cpus(&mut self.workers, |worker| worker.run(parts, pages, &ends))?;
        if ends() {
            return Err(EAGAIN);
        }

        for index in 0..self.parts.len() {
            let damaged = self
                .parts
                .get(index)
                .map(|part| self.digest(part) != part.region.digest);

            if let (Some(part), Some(damaged)) = (self.parts.get_mut(index), damaged) {
                part.damaged = damaged;
            }
        }
        Ok(())
    }

    /// Writes the result to `text` as sysfs shows it, with a NUL.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `text` is empty.
    pub(super) fn write(&self, text: &mut [u8]) -> Result {
        let mut line = NullTerminatedFormatter::new(text).ok_or(EINVAL)?;
        let mut separator = "damaged: ";

        // What does not fit is left out.
        for part in self.parts.iter().filter(|part| part.damaged) {
            let _ = write!(line, "{separator}{}", name(part.region.kind));
            separator = ", ";
        }
        if !self.is_damaged() {
            let _ = line.write_str("intact");
        }
        Ok(())
    }

    fn is_damaged(&self) -> bool {
        self.parts.iter().any(|part| part.damaged)
    }

    /// Logs the result; messages call the image `kind`.
    ///
    /// # Errors
    ///
    /// `EIO` if a digest differs.
    pub(super) fn log(&self, kind: &str) -> Result {
        for part in self.parts.iter().filter(|part| part.damaged) {
            let region = &part.region;

            pr_err!(
                "{kind} image: check: MISMATCH in {} {:#x}-{:#x}\n",
                name(region.kind),
                region.start,
                region.start + region.len as u64 - 1
            );
        }
        if self.is_damaged() {
            return Err(EIO);
        }

        let bytes: usize = self.parts.iter().map(|part| part.region.len).sum();
        pr_info!(
            "{kind} image: check: {} regions, {bytes} bytes intact\n",
            self.parts.len()
        );
        Ok(())
    }

    fn digest(&self, part: &Part) -> Digest {
        let leaves = (part.leaf..).take(leaves_of(&part.region)).map(|leaf| {
            self.workers
                .get(leaf / self.share)
                .and_then(|worker| worker.leaves.get(leaf - worker.first))
                .copied()
                .unwrap_or_default()
        });

        digest_of_leaves(leaves, part.region.len)
    }
}

/// The entry in `pages` for the page that is copied to the physical address `destination`; `None`
/// if no part has such a page.
fn page_at<'a>(parts: &[Part], pages: &'a mut [u64], destination: u64) -> Option<&'a mut u64> {
    let (part, page) = parts
        .iter()
        .filter(|part| !part.region.in_place)
        .find_map(|part| {
            let offset = destination.checked_sub(part.region.start)?;
            let page = usize::try_from(offset).ok()? / PAGE_SIZE;

            (page < pages_of(&part.region)).then_some((part, page))
        })?;

    pages.get_mut(part.page + page)
}

impl Worker {
    fn run(&mut self, parts: &[Part], pages: &[u64], ends: impl Fn() -> bool) {
        let mut done = 0;

        while done < self.leaves.len() && !ends() {
            kexec::cond_resched();

            let number = self.first + done;
            let Some(part) = parts.iter().rfind(|part| part.leaf <= number) else {
                return;
            };
            let offset = (number - part.leaf) * LEAF_SIZE;
            let room = PAIR.min(self.leaves.len() - done) * LEAF_SIZE;
            let len = room.min(part.region.len - offset);
            let count = len.div_ceil(LEAF_SIZE);

            if let Some(bytes) = self.buffer.get_mut(..len) {
                if read(part, pages, offset, bytes).is_ok() {
                    let mut leaves = self.leaves.iter_mut().skip(done);

                    for_each_leaf(bytes, |digest| {
                        if let Some(leaf) = leaves.next() {
                            *leaf = digest;
                        }
                    });
                }
            }
            done += count;
        }
    }
}

/// Reads `bytes` from a region, starting at byte `offset`.
///
/// # Errors
///
/// `EFAULT` if one of the pages cannot be read.
fn read(part: &Part, pages: &[u64], offset: usize, bytes: &mut [u8]) -> Result {
    let mut offset = offset;
    let mut rest = bytes;

    while !rest.is_empty() {
        let within = offset % PAGE_SIZE;
        let (piece, after) = rest.split_at_mut(rest.len().min(PAGE_SIZE - within));
        let page = pages.get(part.page + offset / PAGE_SIZE).ok_or(EFAULT)?;

        if *page == NO_PAGE {
            return Err(EFAULT);
        }
        kexec::read_physical(page + within as u64, piece)?;
        offset += piece.len();
        rest = after;
    }
    Ok(())
}
