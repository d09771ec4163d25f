// SPDX-License-Identifier: GPL-2.0-only

//! Checks of loaded images while they wait to be entered.
//!
//! A check compares the digests that the purgatory would compare, and a digest of the purgatory
//! itself. They are in `struct kimage`, so that images that are entered directly have them too.

use crate::{
    abi::{
        Digest,
        RegionKind,
        DIGEST_SIZE,
        LEAF_SIZE, //
    },
    digest::{
        digest_of_leaves,
        for_each_leaf,
        region_digest, //
    }, //
};
use core::fmt::Write;
use kernel::{
    error::from_result,
    kexec::{
        self,
        Kind,
        LoadedImage,
        LoadingImage,
        PinnedImage,
        Region,
        Role,
        SEGMENT_MAX, //
    },
    page::PAGE_SIZE,
    prelude::*,
    str::NullTerminatedFormatter, //
};

/// [`Kind`] of the purgatory. [`kind_of`] gives the kind of every other region.
const PURGATORY: Kind = Kind::MAX;

/// Stands for the physical address of a page that the image does not have. Nothing can be read
/// there.
const NO_PAGE: u64 = u64::MAX;

/// Number of leaves that [`for_each_leaf`] hashes together.
const PAIR: usize = 2;

/// Size of the buffer for the result that sysfs shows, NUL included. A longer result is cut off;
/// the log has all of it.
const TEXT_SIZE: usize = 128;

/// The [`Kind`] of a region. It is never 0, which stands for no digest.
fn kind_of(kind: RegionKind) -> Kind {
    kind as Kind + 1
}

/// What a segment with this [`Kind`] holds; `None` for the purgatory and for 0.
pub(crate) fn region_kind(kind: Kind) -> Option<RegionKind> {
    RegionKind::from_raw(u32::from(kind).checked_sub(1)?)
}

fn name(kind: Kind) -> &'static str {
    region_kind(kind).map_or("purgatory", RegionKind::name)
}

/// Records the digest of every segment whose contents are final, except the purgatory's.
/// `boot_params_len` is the number of final bytes in the segment with `boot_params`; with `None`,
/// all of them are.
pub(crate) fn record(image: &mut LoadingImage, boot_params_len: Option<usize>) {
    image.take_digests(|segment| {
        let kind = match segment.role {
            Role::Kernel => RegionKind::Kernel,
            Role::Initramfs => RegionKind::Initramfs,
            Role::ElfCoreHdr => RegionKind::ElfCoreHdr,
            Role::DmCryptKeys => RegionKind::DmCryptKeys,
            Role::BootParams => RegionKind::BootParams,
            Role::Other => RegionKind::Segment,
            Role::Ima | Role::Purgatory => return None,
        };
        let len = match boot_params_len {
            Some(len) if kind == RegionKind::BootParams => len,
            _ => segment.data.len(),
        };

        Some(taken(kind_of(kind), segment.data.get(..len)?))
    });
}

/// Records the digest of the purgatory, whose parameters must be complete.
pub(crate) fn record_purgatory(image: &mut LoadingImage) {
    image.take_digests(|segment| match segment.role {
        Role::Purgatory => Some(taken(PURGATORY, segment.data)),
        _ => None,
    });
}

fn taken(kind: Kind, bytes: &[u8]) -> (Kind, usize, Digest) {
    (kind, bytes.len(), region_digest(bytes))
}

/// C declaration and contract: `arch/x86/include/asm/kexec-purgatory.h`.
///
/// # Safety
///
/// Any call is sound. The C declaration makes it an unsafe function.
#[export]
unsafe extern "C" fn kexec_purgatory_check(crash: bool) -> c_int {
    let image = if crash { "crash" } else { "normal" };

    from_result(|| {
        check(crash).inspect_err(|error| match *error {
            // The damage was logged already, or no image is loaded.
            EIO | ENOENT => {}
            EAGAIN => pr_info!("{image} image: the check ended, as the image was replaced\n"),
            _ => pr_warn!("{image} image: cannot be checked: {error:?}\n"),
        })?;
        Ok(0)
    })
}

/// C declaration and contract: `arch/x86/include/asm/kexec-purgatory.h`.
///
/// # Safety
///
/// As for [`LoadedImage::from_raw`]; `text` must be valid for writes of `size` bytes, and `size`
/// must not be 0.
#[cfg(CONFIG_KEXEC_PURGATORY_KUNIT_TEST)]
#[export]
unsafe extern "C" fn kexec_purgatory_check_image(
    image: *const kexec::RawImage,
    text: *mut c_char,
    size: usize,
) -> c_int {
    // SAFETY: By the safety requirements of this function.
    let (image, text) = unsafe {
        (
            LoadedImage::from_raw(image),
            core::slice::from_raw_parts_mut(text.cast::<u8>(), size),
        )
    };

    from_result(|| {
        let mut check = Check::new(Size::of(image))?;

        check.run(image, || false)?;
        check.write(text)?;
        check.log("test")?;
        Ok(0)
    })
}

/// Checks the crash image if `crash`, else the normal image; logs the result and shows it in sysfs.
fn check(crash: bool) -> Result {
    let size = Size::of(&*PinnedImage::new(crash)?);
    // Memory is allocated before the image is pinned, and the result is logged after: a load that
    // waits for the pin must not wait for memory or for a console.
    let mut check = Check::new(size)?;
    let image = PinnedImage::new(crash)?;

    if Size::of(&image) != size {
        return Err(EAGAIN);
    }
    check.run(&image, || kexec::pin_ends(crash))?;

    let mut text = [0; TEXT_SIZE];
    check.write(&mut text)?;
    if let Ok(text) = CStr::from_bytes_until_nul(&text) {
        image.show_check(text);
    }
    drop(image);
    check.log(if crash { "crash" } else { "normal" })
}

/// The regions that are checked: all except the keys of an encrypted dump target, which are not
/// mapped after a load, see `kexec_mark_dm_crypt_keys()`.
fn regions(image: &LoadedImage) -> impl Iterator<Item = Region> + '_ {
    image
        .regions()
        .filter(|region| region.kind != kind_of(RegionKind::DmCryptKeys))
}

/// How much a check of an image has to do.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Size {
    pages: usize,
    leaves: usize,
}

impl Size {
    fn of(image: &LoadedImage) -> Size {
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
    /// Index of its first page in [`Check::pages`].
    page: usize,
    /// Number of its first leaf in the image.
    leaf: usize,
    /// Whether its digest differs.
    damaged: bool,
}

/// A check of an image. All of its memory is allocated before the image is pinned.
struct Check {
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

impl Check {
    fn new(size: Size) -> Result<Check> {
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
        Ok(Check {
            parts: KVec::with_capacity(SEGMENT_MAX, GFP_KERNEL)?,
            pages: KVVec::from_elem(NO_PAGE, size.pages, GFP_KERNEL)?,
            workers,
            share,
        })
    }

    /// Checks `image`, whose [`Size`] must be that of this check. Stops early when `ends` returns
    /// true.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if `ends` returned true.
    fn run(&mut self, image: &LoadedImage, ends: impl Fn() -> bool + Sync) -> Result {
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
    fn write(&self, text: &mut [u8]) -> Result {
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
    fn log(&self, kind: &str) -> Result {
        for part in self.parts.iter().filter(|part| part.damaged) {
            let region = &part.region;

            pr_err!(
                "{kind} image: MISMATCH at rest in {} {:#x}-{:#x}\n",
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
            "{kind} image: {} regions, {bytes} bytes intact at rest\n",
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
