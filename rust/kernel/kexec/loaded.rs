// SPDX-License-Identifier: GPL-2.0-only

//! An image that was loaded with `kexec_file_load()` and waits to be entered.

use super::{
    sha256::Digest,
    RawImage,
    SEGMENT_MAX, //
};
use crate::{
    bindings,
    error::from_err_ptr,
    page::PAGE_SIZE,
    prelude::*,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};
use core::ops::Deref;

/// What a region holds, of which a digest was recorded: a number of the loader's own.
pub type Kind = u8;

/// The bytes of a segment that were loaded, and the digest that they had.
#[derive(Clone, Copy)]
pub struct Region {
    /// Physical address that they will have when the next kernel is entered.
    pub start: u64,
    /// Their number, not 0.
    pub len: usize,
    /// What they are.
    pub kind: Kind,
    /// The digest of a region of the purgatory.
    pub digest: Digest,
    /// Whether they lie at `start` already. Else the list of the image's pages tells where.
    pub in_place: bool,
}

/// An entry of the list of pages, with the physical address of a page.
#[derive(Clone, Copy)]
enum Entry {
    /// Where the next page of the image will be copied to.
    Destination(u64),
    /// Where the list goes on.
    Indirection(u64),
    /// A page of the image.
    Source(u64),
}

/// An image that was loaded with `kexec_file_load()`.
///
/// # Invariants
///
/// The `struct kimage` is valid, in file mode and sealed. Its type, its segments, the list of its
/// pages and the regions that were recorded do not change.
#[repr(transparent)]
pub struct LoadedImage(Opaque<bindings::kimage>);

impl LoadedImage {
    /// Creates a reference from a pointer to a `struct kimage`.
    ///
    /// # Safety
    ///
    /// For the duration of `'a`, `image` must be valid, in file mode, and what
    /// `kexec_purgatory_seal()` left. What the type invariant names must not change.
    pub unsafe fn from_raw<'a>(image: *const RawImage) -> &'a LoadedImage {
        // SAFETY: `LoadedImage` is a transparent wrapper, the caller promises the rest.
        // INVARIANT: By the safety requirements of this function.
        unsafe { &*image.cast() }
    }

    /// The regions with digests.
    pub fn regions(&self) -> impl Iterator<Item = Region> + '_ {
        let image = self.0.get();
        // SAFETY: By the type invariant the image is valid and does not change.
        let count = unsafe { (*image).nr_segments.min(SEGMENT_MAX) };

        (0..count).filter_map(move |index| {
            // SAFETY: As above.
            let (segment, recorded) = unsafe {
                (
                    (*image).segment[index],
                    (*image).arch.purgatory.regions[index],
                )
            };

            (recorded.kind != 0 && recorded.len != 0).then_some(Region {
                start: segment.mem as u64,
                len: recorded.len,
                kind: recorded.kind,
                digest: recorded.digest,
                in_place: self.in_place(index),
            })
        })
    }

    /// Physical address where the page lies that the image has at the physical address
    /// `destination` after the copy, if it is one of a segment.
    pub fn source(&self, destination: u64) -> Option<u64> {
        let mut found = self.is_in_place(destination).then_some(destination);

        if found.is_none() {
            self.for_each_page(|to, from| {
                found = (to == destination).then_some(from);
                found.is_none()
            });
        }
        found
    }

    /// Whether a physical address is one of a segment that lies in its place already.
    fn is_in_place(&self, address: u64) -> bool {
        let image = self.0.get();
        // SAFETY: By the type invariant the image is valid and does not change.
        let count = unsafe { (*image).nr_segments.min(SEGMENT_MAX) };

        (0..count).any(|index| {
            // SAFETY: As above.
            let segment = unsafe { (*image).segment[index] };
            let offset = address.checked_sub(segment.mem as u64);

            offset.is_some_and(|offset| offset < segment.memsz as u64) && self.in_place(index)
        })
    }

    /// Whether the segment of that index, which there must be, lies in its place already.
    fn in_place(&self, index: usize) -> bool {
        let image = self.0.get();
        // SAFETY: By the type invariant the image is valid and does not change.
        let (crash, in_cma) = unsafe {
            (
                bindings::kimage::type__raw(image) == bindings::KEXEC_TYPE_CRASH,
                !(*image).segment_cma[index].is_null(),
            )
        };

        crash || in_cma
    }

    /// Calls `each` with the physical addresses that a page of the image has after the copy and has
    /// now, for every page that is copied, while it returns true. Ends at the first entry of the
    /// list that cannot be one, and when there were as many as the image can have, so that a
    /// damaged list does no harm.
    pub fn for_each_page(&self, mut each: impl FnMut(u64, u64) -> bool) {
        let image = self.0.get();
        // SAFETY: By the type invariant the image is valid and does not change.
        let (head, segments) = unsafe { ((*image).head as u64, (*image).segment) };
        let pages: usize = segments
            .iter()
            .map(|segment| segment.memsz / PAGE_SIZE)
            .sum();
        // One entry for each page, one for each segment, and one for each page of the list.
        let most = SEGMENT_MAX + 2 * pages;
        let (mut entry, mut next, mut destination) = (head, 0, 0);

        for _ in 0..=most {
            match parse(entry) {
                Some(Entry::Destination(address)) => destination = address,
                Some(Entry::Indirection(address)) => next = address,
                Some(Entry::Source(address)) => {
                    if !each(destination, address) {
                        return;
                    }
                    destination = destination.wrapping_add(PAGE_SIZE as u64);
                }
                None => return,
            }

            let mut bytes = [0; size_of::<u64>()];
            if read_physical(next, &mut bytes).is_err() {
                return;
            }
            entry = u64::from_le_bytes(bytes);
            next = next.wrapping_add(bytes.len() as u64);
        }
    }
}

/// Reads an entry of the list of pages, `kimage_entry_t`; `None` for its end and for what is none.
fn parse(entry: u64) -> Option<Entry> {
    let flags = entry & (PAGE_SIZE as u64 - 1);
    let address = entry - flags;

    match u32::try_from(flags).ok()? {
        bindings::IND_DESTINATION => Some(Entry::Destination(address)),
        bindings::IND_INDIRECTION => Some(Entry::Indirection(address)),
        bindings::IND_SOURCE => Some(Entry::Source(address)),
        _ => None,
    }
}

/// Copies memory by its physical address, all of it in one page. Any address may be given.
///
/// # Errors
///
/// `EFAULT` if there is no memory, or it cannot be read.
pub fn read_physical(address: u64, bytes: &mut [u8]) -> Result {
    // SAFETY: `bytes` is valid for writes of its length. The function takes any address.
    let read =
        unsafe { bindings::kexec_purgatory_read(bytes.as_mut_ptr().cast(), address, bytes.len()) };

    if read {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// Whether a load waits for a [`PinnedImage`]: the crash image, or the normal one.
pub fn pin_ends(crash: bool) -> bool {
    // SAFETY: The function has no preconditions.
    unsafe { bindings::kexec_purgatory_pin_ends(crash) }
}

/// One of the two images that can be loaded, which is not replaced while this lives.
///
/// Keep that short, as a load waits for it: see [`pin_ends`].
///
/// # Invariants
///
/// `image` was returned by `kexec_purgatory_pin(crash)`, and `kexec_purgatory_unpin()` was not
/// called since.
pub struct PinnedImage {
    image: *mut RawImage,
    crash: bool,
    _task: NotThreadSafe,
}

impl PinnedImage {
    /// Pins the crash image, or the normal one.
    ///
    /// # Errors
    ///
    /// `ENOENT` if none is loaded, `EOPNOTSUPP` if `kexec_load()` loaded it, or if it is a crash
    /// image on a host with SME.
    pub fn new(crash: bool) -> Result<PinnedImage> {
        // SAFETY: The function may sleep, as its callers may.
        let image = from_err_ptr(unsafe { bindings::kexec_purgatory_pin(crash) })?;

        // INVARIANT: The pointer is no error.
        Ok(PinnedImage {
            image,
            crash,
            _task: NotThreadSafe,
        })
    }

    /// Has sysfs tell the result of a check of this image.
    pub fn show_check(&self, text: &CStr) {
        // SAFETY: By the type invariant the image is pinned; the text ends with a NUL. What is
        // written is not part of a `LoadedImage`.
        unsafe { bindings::kexec_purgatory_show_check(self.image, text.as_char_ptr()) };
    }
}

impl Deref for PinnedImage {
    type Target = LoadedImage;

    fn deref(&self) -> &LoadedImage {
        // SAFETY: By the type invariant the image was loaded, is in file mode, and is not replaced.
        // Memory hotplug, which changes a region of an image that was loaded, has it replaced by
        // none before.
        unsafe { LoadedImage::from_raw(self.image) }
    }
}

impl Drop for PinnedImage {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the image is pinned, by this task.
        unsafe { bindings::kexec_purgatory_unpin(self.crash) };
    }
}
