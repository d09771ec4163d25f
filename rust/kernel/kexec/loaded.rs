// SPDX-License-Identifier: GPL-2.0-only

//! An image that was loaded with `kexec_file_load()` and waits to be entered.

use super::{
    RawImage,
    SEGMENT_MAX, //
};
use crate::{
    bindings,
    crypto::sha256::Digest,
    error::from_err_ptr,
    page::PAGE_SIZE,
    prelude::*,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};
use core::ops::Deref;

/// A number for what a region with a digest holds. The loader defines the numbers; none is 0.
pub type Kind = u8;

/// The bytes of a segment that were loaded, and the digest that they had.
#[derive(Clone, Copy)]
pub struct Region {
    /// Physical address that the bytes will have when the next kernel is entered.
    pub start: u64,
    /// Number of bytes, not 0.
    pub len: usize,
    /// What the bytes are.
    pub kind: Kind,
    /// The digest, computed as that of a region of the purgatory.
    pub digest: Digest,
    /// Whether the bytes are at `start` already. If not, the image's page list says where they are.
    pub in_place: bool,
}

/// An entry of the page list, with the physical address of a page.
#[derive(Clone, Copy)]
enum Entry {
    /// Where the next page of the image will be copied to.
    Destination(u64),
    /// Where the list continues.
    Indirection(u64),
    /// A page of the image.
    Source(u64),
}

/// An image that was loaded with `kexec_file_load()`.
///
/// # Invariants
///
/// The `struct kimage` is valid, in file mode and sealed. Its type, its segments, its page list and
/// the recorded regions do not change.
#[repr(transparent)]
pub struct LoadedImage(Opaque<bindings::kimage>);

impl LoadedImage {
    /// Creates a reference from a pointer to a `struct kimage`.
    ///
    /// # Safety
    ///
    /// For the duration of `'a`, `image` must be valid, in file mode, and sealed by
    /// `kexec_purgatory_seal()`. The parts that the type invariant names must not change.
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

    /// Current physical address of the page that will be at the physical address `destination`
    /// after the copy; `None` if the image has no such page.
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

    /// Whether a physical address is in a segment that is in its final place already.
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

    /// Whether the segment at `index`, which must exist, is in its final place already.
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

    /// Calls `each` for every page that is copied, with its physical addresses after and before the
    /// copy, until `each` returns false. Stops at the first invalid entry of the page list, and
    /// after as many entries as the image can have, so that a damaged list does no harm.
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

/// Decodes an entry of the page list, a `kimage_entry_t`. Returns `None` for the end of the list
/// and for an invalid entry.
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

/// Copies the memory at a physical address, which may be any, to `bytes`. All of it must be in one
/// page.
///
/// # Errors
///
/// `EFAULT` if there is no memory, or if it cannot be read.
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

/// Whether a load waits for the [`PinnedImage`] of the crash image if `crash`, else of the normal
/// image.
pub fn pin_ends(crash: bool) -> bool {
    // SAFETY: The function has no preconditions.
    unsafe { bindings::kexec_purgatory_pin_ends(crash) }
}

/// The loaded crash image or the loaded normal image, which is not replaced while this value lives.
///
/// A load that replaces the image waits for the drop of this value: drop it soon, see [`pin_ends`].
///
/// # Invariants
///
/// `kexec_purgatory_pin(crash)` returned `image`, and `kexec_purgatory_unpin()` was not called
/// since.
pub struct PinnedImage {
    image: *mut RawImage,
    crash: bool,
    _task: NotThreadSafe,
}

impl PinnedImage {
    /// Pins the crash image if `crash`, else the normal image. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the image is not loaded, `EOPNOTSUPP` if `kexec_load()` loaded it, or if it is a
    /// crash image on a host with SME.
    pub fn new(crash: bool) -> Result<PinnedImage> {
        // SAFETY: The function has no preconditions for memory safety.
        let image = from_err_ptr(unsafe { bindings::kexec_purgatory_pin(crash) })?;

        // INVARIANT: The pointer is not an error.
        Ok(PinnedImage {
            image,
            crash,
            _task: NotThreadSafe,
        })
    }

    /// Shows `text`, the result of a check of this image, in sysfs.
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
        // Memory hotplug changes a region of a loaded image, but calls `kexec_purgatory_exchange()`
        // first, which waits until the image is not pinned.
        unsafe { LoadedImage::from_raw(self.image) }
    }
}

impl Drop for PinnedImage {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the image is pinned, and by this task.
        unsafe { bindings::kexec_purgatory_unpin(self.crash) };
    }
}
