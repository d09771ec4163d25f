// SPDX-License-Identifier: GPL-2.0-only

//! The image that `kexec_file_load()` is loading.

use super::{
    current_state,
    Circumstances,
    Decision, //
};
use crate::{
    bindings,
    error::to_result,
    fmt,
    prelude::*,
    str::CStr,
    types::Opaque, //
};

/// `struct kimage`, for the signatures of functions that C code calls.
pub type RawImage = bindings::kimage;

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The next kernel.
    Kernel,
    /// The initramfs.
    Initramfs,
    /// The ELF core header of a crash image.
    ElfCoreHdr,
    /// The keys of an encrypted dump target.
    DmCryptKeys,
    /// The IMA measurement list, which is filled after the image was loaded.
    Ima,
    /// The purgatory.
    Purgatory,
    /// Anything else, `struct boot_params` among it.
    Other,
}

/// A segment of an image.
pub struct Segment<'a> {
    /// Physical address that the segment will have when the next kernel is entered.
    pub start: u64,
    /// Size of the memory that it occupies there, in bytes.
    pub mem_size: usize,
    /// What is loaded at its start; the rest is not.
    pub data: &'a [u8],
    /// What it holds.
    pub role: Role,
    /// Whether its content may change after the image was loaded, so that there is no digest to
    /// hold it against.
    pub mutable: bool,
}

/// An image that `kexec_file_load()` is loading.
///
/// # Invariants
///
/// The `struct kimage` is valid and in file mode, the kexec lock is held, and nothing else accesses
/// the image. The buffers of its segments are valid for reads of their size. If
/// `purgatory_info.purgatory_buf` is not null, it is a `vmalloc()` buffer that this image owns and
/// that one segment has for its `kbuf`, of at least that segment's `bufsz`.
#[repr(transparent)]
pub struct LoadingImage(Opaque<bindings::kimage>);

impl LoadingImage {
    /// Creates a reference from a pointer to a `struct kimage`.
    ///
    /// # Safety
    ///
    /// For the duration of `'a`, `image` must be valid, in file mode and not accessed by anything
    /// else, the caller must hold the kexec lock, and the buffers of the segments must be valid.
    /// `purgatory_info.purgatory_buf` must be null or have been set by [`Self::add_purgatory`].
    pub unsafe fn from_raw<'a>(image: *mut RawImage) -> &'a mut LoadingImage {
        // SAFETY: `LoadingImage` is a transparent wrapper, the caller promises the rest.
        // INVARIANT: By the safety requirements of this function.
        unsafe { &mut *image.cast() }
    }

    fn raw(&self) -> &bindings::kimage {
        // SAFETY: By the type invariant the image is valid and not written to by anything else.
        unsafe { &*self.0.get() }
    }

    fn raw_mut(&mut self) -> &mut bindings::kimage {
        // SAFETY: By the type invariant the image is valid and not accessed by anything else.
        unsafe { &mut *self.0.get() }
    }

    /// Whether it is to be entered after a panic (`KEXEC_FILE_ON_CRASH`).
    pub fn is_crash(&self) -> bool {
        self.raw().type_() == bindings::KEXEC_TYPE_CRASH
    }

    /// What the decision about this image depends on.
    pub fn circumstances(&self) -> Circumstances {
        Circumstances {
            crash: self.is_crash(),
            // SAFETY: `kho_is_enabled` has no preconditions.
            kho: unsafe { bindings::kho_is_enabled() },
            all_cma: self.all_in_cma(),
            state: current_state(),
        }
    }

    /// Size of the file that the next kernel comes from, in bytes.
    pub fn kernel_size(&self) -> usize {
        self.raw().kernel_buf_len
    }

    /// Size of the initramfs in bytes, 0 if there is none.
    pub fn initramfs_size(&self) -> usize {
        self.raw().initrd_buf_len
    }

    /// Pointer for functions that take a `struct kimage`.
    #[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
    pub(super) fn as_raw(&self) -> *mut RawImage {
        self.0.get()
    }

    /// Whether every segment so far was loaded to its final place in CMA.
    fn all_in_cma(&self) -> bool {
        let image = self.raw();

        image
            .segment_cma
            .iter()
            .take(image.nr_segments)
            .all(|page| !page.is_null())
    }

    /// The segments, in the order in which they were added.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let image = self.raw();

        image
            .segment
            .iter()
            .take(image.nr_segments)
            .enumerate()
            .map(move |(index, segment)| {
                // SAFETY: `kbuf` is the member in use, as the image is in file mode.
                let buffer = unsafe { segment.__bindgen_anon_1.kbuf };
                let role = role(image, index, segment, buffer);

                Segment {
                    start: segment.mem as u64,
                    mem_size: segment.memsz,
                    // SAFETY: By the type invariant the buffer is valid for reads.
                    data: unsafe { slice_or_empty(buffer.cast(), segment.bufsz) },
                    role,
                    mutable: is_mutable(image, index) || role == Role::Ima,
                }
            })
    }

    /// Adds the purgatory as a segment.
    ///
    /// `mem_size` is the memory that it occupies, in bytes, at least the length of `purgatory`.
    /// Returns the physical address that it will have, a multiple of the page size that is not
    /// below `min`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the image has as many segments as it can have or has a purgatory,
    /// `EADDRNOTAVAIL` if there is no room; the image is as it was before.
    pub fn add_purgatory(&mut self, purgatory: VVec<u8>, mem_size: usize, min: u64) -> Result<u64> {
        let image = self.raw_mut();

        if !image.purgatory_info.purgatory_buf.is_null() || mem_size < purgatory.len() {
            return Err(EINVAL);
        }

        let (buffer, len, capacity) = purgatory.into_raw_parts();
        let mut kbuf = bindings::kexec_buf {
            image,
            buffer: buffer.cast(),
            bufsz: len,
            memsz: mem_size,
            buf_align: crate::page::PAGE_SIZE,
            buf_min: min as usize,
            buf_max: usize::MAX,
            top_down: true,
            ..Default::default()
        };

        // SAFETY: `kbuf` is set up as the function asks for, and by the type invariant the kexec
        // lock is held.
        let added = to_result(unsafe { bindings::kexec_add_buffer(&mut kbuf) });
        if let Err(error) = added {
            // SAFETY: The parts are those of the vector above, and no segment refers to them.
            drop(unsafe { VVec::from_raw_parts(buffer, len, capacity) });
            return Err(error);
        }

        // INVARIANT: `VVec` allocates with `vmalloc()`, and the segment that was just added has
        // the buffer for its `kbuf`. `kimage_file_post_load_cleanup()` frees it.
        self.raw_mut().purgatory_info.purgatory_buf = buffer.cast();
        Ok(kbuf.mem as u64)
    }

    /// The purgatory's bytes as they will be loaded, if one was added.
    pub fn purgatory_mut(&mut self) -> Option<&mut [u8]> {
        let buffer = self.raw().purgatory_info.purgatory_buf;
        let len = self
            .segments()
            .find(|segment| segment.role == Role::Purgatory)?
            .data
            .len();

        // SAFETY: A segment has the role of the purgatory only if its `kbuf` is this buffer, which
        // by the type invariant this image owns, and which is not null and valid for `len` bytes.
        // The borrow of `self` keeps all other access away.
        Some(unsafe { core::slice::from_raw_parts_mut(buffer.cast(), len) })
    }

    /// Records the decision, where the image is entered (physical address) and, if that is the next
    /// kernel itself, its `struct boot_params` (physical address, else 0).
    pub fn set_handoff(&mut self, decision: Decision, start: u64, boot_params: u64) {
        let image = self.raw_mut();

        image.start = start as usize;
        image.arch.purgatory.decision = decision as u8;
        image.arch.purgatory.verified = decision.is_verified();
        image.arch.purgatory.boot_params = boot_params as usize;
    }

    /// Has the memory of the next kernel's segment that its file does not fill left as it is, in
    /// place of being allocated, zeroed and copied.
    ///
    /// By the boot protocol it is scratch space, `init_size` in `Documentation/arch/x86/boot.rst`.
    pub fn leave_kernel_tail(&mut self) {
        let kernel = self
            .segments()
            .find(|segment| segment.role == Role::Kernel)
            .map_or(0, |segment| segment.start);

        self.raw_mut().arch.purgatory.kernel = kernel as usize;
    }

    /// The decision and its reason, with the name of the module if one decided.
    pub fn decision_text(&self) -> impl fmt::Display + '_ {
        struct Text<'a>(&'a LoadingImage);

        impl fmt::Display for Text<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = self.0.decision().map_or(c"none", Decision::as_c_str);

                write!(f, "{}", text.to_str().unwrap_or_default())?;
                match self.0.policy_name() {
                    Some(name) => write!(f, " {}", name.to_str().unwrap_or_default()),
                    None => Ok(()),
                }
            }
        }
        Text(self)
    }

    /// Name of the module that decided, if one did.
    #[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
    fn policy_name(&self) -> Option<&CStr> {
        let name = self.raw().arch.purgatory.policy.as_slice();

        CStr::from_bytes_until_nul(name)
            .ok()
            .filter(|name| !name.is_empty())
    }

    #[cfg(not(CONFIG_KEXEC_PURGATORY_VERIFY = "m"))]
    fn policy_name(&self) -> Option<&CStr> {
        None
    }

    /// What [`Self::set_handoff`] recorded.
    pub fn decision(&self) -> Option<Decision> {
        Decision::from_raw(self.raw().arch.purgatory.decision)
    }
}

/// # Safety
///
/// `data` must be valid for reads of `len` bytes for the duration of `'a`, unless `len` is 0.
unsafe fn slice_or_empty<'a>(data: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: By the safety requirements of this function.
    unsafe { core::slice::from_raw_parts(data, len) }
}

fn role(
    image: &bindings::kimage,
    index: usize,
    segment: &bindings::kexec_segment,
    buffer: *const c_void,
) -> Role {
    let within = |start: *mut c_void, len: usize| {
        !start.is_null() && (start.addr()..start.addr() + len).contains(&buffer.addr())
    };

    if !buffer.is_null() && buffer == image.purgatory_info.purgatory_buf.cast_const() {
        Role::Purgatory
    } else if within(image.kernel_buf, image.kernel_buf_len) {
        Role::Kernel
    } else if within(image.initrd_buf, image.initrd_buf_len) {
        Role::Initramfs
    } else if image.elf_load_addr != 0 && segment.mem == image.elf_load_addr {
        Role::ElfCoreHdr
    } else if image.dm_crypt_keys_addr != 0 && segment.mem == image.dm_crypt_keys_addr {
        Role::DmCryptKeys
    } else if is_ima(image, index) {
        Role::Ima
    } else {
        Role::Other
    }
}

#[cfg(CONFIG_IMA_KEXEC)]
fn is_ima(image: &bindings::kimage, index: usize) -> bool {
    image.is_ima_segment_index_set && image.ima_segment_index == index
}

#[cfg(not(CONFIG_IMA_KEXEC))]
fn is_ima(_image: &bindings::kimage, _index: usize) -> bool {
    false
}

/// With crash hotplug, the ELF core header follows the hotplug of CPUs and memory.
#[cfg(CONFIG_CRASH_HOTPLUG)]
fn is_mutable(image: &bindings::kimage, index: usize) -> bool {
    usize::try_from(image.elfcorehdr_index) == Ok(index)
}

#[cfg(not(CONFIG_CRASH_HOTPLUG))]
fn is_mutable(_image: &bindings::kimage, _index: usize) -> bool {
    false
}
