// SPDX-License-Identifier: GPL-2.0-only

//! The image that `kexec_file_load()` is loading.

use super::{
    current_state,
    handover_is_on,
    Circumstances,
    Decision,
    Kind, //
};
use crate::{
    bindings,
    crypto::sha256::Digest,
    error::to_result,
    fmt,
    prelude::*,
    str::CStr,
    types::Opaque, //
};

/// Most segments that an image can have.
pub const SEGMENT_MAX: usize = bindings::KEXEC_SEGMENT_MAX as usize;

// Every segment of an image can have a digest.
static_assert!(bindings::KEXEC_PURGATORY_REGIONS == bindings::KEXEC_SEGMENT_MAX);

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
    /// The IMA measurement list, which is filled in after the image was loaded.
    Ima,
    /// `struct boot_params` with what follows it.
    BootParams,
    /// The purgatory.
    Purgatory,
    /// Anything else.
    Other,
}

/// A segment of an image.
pub struct Segment<'a> {
    /// Physical address that the segment will have when the next kernel is entered.
    pub start: u64,
    /// Size of the memory that the segment occupies there, in bytes.
    pub mem_size: usize,
    /// The bytes that are loaded, at its start. They may be fewer than `mem_size`.
    pub data: &'a [u8],
    /// What the segment holds.
    pub role: Role,
    /// The kind that [`LoadingImage::take_digests`] recorded, 0 if none.
    pub kind: Kind,
    /// The number of bytes of `data` that the recorded digest covers.
    pub digest_len: usize,
    /// The digest that [`LoadingImage::take_digests`] recorded.
    pub digest: Digest,
}

/// An image that `kexec_file_load()` is loading.
///
/// # Invariants
///
/// The `struct kimage` is valid and in file mode, the kexec lock is held, and only this type and
/// the C functions that it calls change the image. The buffers of its segments are valid for reads
/// of their size, that of `boot_params` also for writes. If `purgatory_info.purgatory_buf` is not
/// null, it is a `vmalloc()` buffer that this image owns. It is the `kbuf` of one segment, and has
/// at least that segment's `bufsz` bytes.
#[repr(transparent)]
pub struct LoadingImage(Opaque<bindings::kimage>);

/// Copies a field of a [`LoadingImage`]. Creates no reference to the `struct kimage`: C code has
/// pointers to it.
macro_rules! field {
    ($image:expr, $($field:tt)+) => {
        // SAFETY: By the type invariant the image is valid and does not change meanwhile.
        unsafe { (*$image.0.get()).$($field)+ }
    };
}

/// Sets a field of a [`LoadingImage`] that is borrowed mutably.
macro_rules! set_field {
    ($image:expr, $value:expr, $($field:tt)+) => {{
        let image: &mut LoadingImage = $image;
        let value = $value;

        // SAFETY: By the type invariant the image is valid, and nothing else accesses it while it
        // is borrowed mutably.
        unsafe { (*image.0.get()).$($field)+ = value }
    }};
}

impl LoadingImage {
    /// Creates a reference from a pointer to a `struct kimage`.
    ///
    /// # Safety
    ///
    /// For the duration of `'a`, `image` must be valid, in file mode and not accessed by anything
    /// that does not borrow the result, the caller must hold the kexec lock, and the buffers of the
    /// segments must be valid for reads, that of `boot_params` also for writes.
    /// `purgatory_info.purgatory_buf` must be null or have been set by [`Self::add_purgatory`].
    pub unsafe fn from_raw_mut<'a>(image: *mut RawImage) -> &'a mut LoadingImage {
        // SAFETY: `LoadingImage` is a transparent wrapper, the caller promises the rest.
        // INVARIANT: By the safety requirements of this function.
        unsafe { &mut *image.cast() }
    }

    /// Creates a shared reference from a pointer to a `struct kimage`.
    ///
    /// # Safety
    ///
    /// As for [`Self::from_raw_mut`], except that other shared references may exist for the
    /// duration of `'a`.
    #[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
    pub(super) unsafe fn from_raw<'a>(image: *const RawImage) -> &'a LoadingImage {
        // SAFETY: `LoadingImage` is a transparent wrapper, the caller promises the rest.
        // INVARIANT: By the safety requirements of this function.
        unsafe { &*image.cast() }
    }

    /// Whether this is a crash image (`KEXEC_FILE_ON_CRASH`).
    pub fn is_crash(&self) -> bool {
        // SAFETY: By the type invariant the image is valid.
        let kind = unsafe { bindings::kimage::type__raw(self.0.get()) };

        kind == bindings::KEXEC_TYPE_CRASH
    }

    /// The circumstances that the decision about this image depends on.
    pub fn circumstances(&self) -> Circumstances {
        Circumstances {
            crash: self.is_crash(),
            kho: handover_is_on(),
            all_cma: self.all_in_cma(),
            state: current_state(),
        }
    }

    /// Size of the next kernel's file in bytes.
    pub fn kernel_size(&self) -> usize {
        field!(self, kernel_buf_len)
    }

    /// Size of the initramfs in bytes, 0 if there is none.
    pub fn initramfs_size(&self) -> usize {
        field!(self, initrd_buf_len)
    }

    /// The pointer for functions that take a `struct kimage`.
    #[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
    pub(super) fn as_raw(&self) -> *mut RawImage {
        self.0.get()
    }

    /// Number of segments.
    fn segment_count(&self) -> usize {
        field!(self, nr_segments).min(SEGMENT_MAX)
    }

    /// Whether every segment so far was loaded to its final place in CMA.
    fn all_in_cma(&self) -> bool {
        (0..self.segment_count()).all(|index| !field!(self, segment_cma[index]).is_null())
    }

    /// The segments, in the order in which they were added.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        (0..self.segment_count()).map(|index| self.segment(index))
    }

    /// The segment at `index`, which must be below [`Self::segment_count`].
    fn segment(&self, index: usize) -> Segment<'_> {
        let segment = field!(self, segment[index]);
        // SAFETY: `kbuf` is the member in use, as the image is in file mode.
        let buffer = unsafe { segment.__bindgen_anon_1.kbuf };
        let role = self.role(index, segment.mem, buffer);
        let recorded = field!(self, arch.purgatory.regions[index]);

        Segment {
            start: segment.mem as u64,
            mem_size: segment.memsz,
            // SAFETY: By the type invariant the buffer is valid for reads.
            data: unsafe { slice_or_empty(buffer.cast(), segment.bufsz) },
            role,
            kind: recorded.kind,
            digest_len: recorded.len,
            digest: recorded.digest,
        }
    }

    /// Calls `take` with each segment, and records what it returns: the kind, the number of bytes
    /// at the start that are final, and their digest.
    pub fn take_digests(&mut self, take: impl Fn(&Segment<'_>) -> Option<(Kind, usize, Digest)>) {
        for index in 0..self.segment_count() {
            if let Some((kind, len, digest)) = take(&self.segment(index)) {
                let region = bindings::kexec_purgatory_region { kind, len, digest };

                set_field!(self, region, arch.purgatory.regions[index]);
            }
        }
    }

    /// Records for sysfs what the purgatory will do: the name of its engine, and the number of
    /// regions and bytes that it verifies.
    pub fn set_verification(&mut self, engine: &'static CStr, regions: usize, bytes: usize) {
        set_field!(self, engine.as_char_ptr(), arch.purgatory.engine);
        set_field!(self, regions as c_uint, arch.purgatory.verify_regions);
        set_field!(self, bytes, arch.purgatory.verify_bytes);
    }

    /// What the segment at `index` holds. `start` is its physical address, and `buffer` holds its
    /// bytes.
    fn role(&self, index: usize, start: usize, buffer: *const c_void) -> Role {
        let within = |file: *mut c_void, len: usize| {
            !file.is_null() && (file.addr()..file.addr() + len).contains(&buffer.addr())
        };
        let is_at = |address: usize| address != 0 && address == start;

        if !buffer.is_null() && buffer == field!(self, purgatory_info.purgatory_buf).cast_const() {
            Role::Purgatory
        } else if within(field!(self, kernel_buf), self.kernel_size()) {
            Role::Kernel
        } else if within(field!(self, initrd_buf), self.initramfs_size()) {
            Role::Initramfs
        } else if is_at(field!(self, elf_load_addr)) {
            Role::ElfCoreHdr
        } else if is_at(field!(self, dm_crypt_keys_addr)) {
            Role::DmCryptKeys
        } else if is_at(field!(self, arch.purgatory.boot_params)) {
            Role::BootParams
        } else if self.is_ima(index) {
            Role::Ima
        } else {
            Role::Other
        }
    }

    #[cfg(CONFIG_IMA_KEXEC)]
    fn is_ima(&self, index: usize) -> bool {
        field!(self, is_ima_segment_index_set) && field!(self, ima_segment_index) == index
    }

    #[cfg(not(CONFIG_IMA_KEXEC))]
    fn is_ima(&self, _index: usize) -> bool {
        false
    }

    /// Adds the purgatory as a segment.
    ///
    /// `mem_size` is the size of the memory that it occupies, in bytes, at least the length of
    /// `purgatory`. Returns the physical address that it will have, a multiple of the page size
    /// that is not below `min`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the image has no free segment or has a purgatory already, if `purgatory` is
    /// empty, or if `mem_size` is too small; `EADDRNOTAVAIL` if there is no room. The image does
    /// not change then.
    pub fn add_purgatory(&mut self, purgatory: VVec<u8>, mem_size: usize, min: u64) -> Result<u64> {
        if !field!(self, purgatory_info.purgatory_buf).is_null()
            || purgatory.is_empty()
            || mem_size < purgatory.len()
        {
            return Err(EINVAL);
        }

        let (buffer, len, capacity) = purgatory.into_raw_parts();
        let mut kbuf = bindings::kexec_buf {
            image: self.0.get(),
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

        // INVARIANT: `VVec` allocates with `vmalloc()`, and the buffer is the `kbuf` of the segment
        // that was just added. `kimage_file_post_load_cleanup()` frees it.
        set_field!(self, buffer.cast(), purgatory_info.purgatory_buf);
        Ok(kbuf.mem as u64)
    }

    /// The bytes of the purgatory that will be loaded; `None` if the image has no purgatory.
    pub fn purgatory_mut(&mut self) -> Option<&mut [u8]> {
        let buffer = field!(self, purgatory_info.purgatory_buf);
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

    /// Records the physical address of the next kernel's `struct boot_params`.
    pub fn set_boot_params(&mut self, boot_params: u64) {
        set_field!(self, boot_params as usize, arch.purgatory.boot_params);
    }

    /// The bytes that will be loaded of the segment with `boot_params`; `None` if there is none.
    pub fn boot_params_mut(&mut self) -> Option<&mut [u8]> {
        let index = (0..self.segment_count())
            .find(|&index| self.segment(index).role == Role::BootParams)?;
        let segment = field!(self, segment[index]);
        // SAFETY: `kbuf` is the member in use, as the image is in file mode.
        let buffer = unsafe { segment.__bindgen_anon_1.kbuf };

        // SAFETY: By the type invariant the buffer is valid for reads and writes; it is not null,
        // as it has bytes. The borrow of `self` keeps all other access away.
        (segment.bufsz != 0)
            .then(|| unsafe { core::slice::from_raw_parts_mut(buffer.cast(), segment.bufsz) })
    }

    /// Physical address of the next kernel's `struct boot_params`, 0 if it is not known.
    pub fn boot_params(&self) -> u64 {
        field!(self, arch.purgatory.boot_params) as u64
    }

    /// Offset in bytes of the `struct setup_data` with the record for the next kernel, in the
    /// segment with `boot_params`; `None` if there is no record.
    pub fn record_offset(&self) -> Option<usize> {
        let offset = field!(self, arch.purgatory.record);

        (offset != 0).then_some(offset)
    }

    /// Records whether I/O raises exceptions on this machine.
    pub fn set_no_io(&mut self, no_io: bool) {
        set_field!(self, no_io, arch.purgatory.no_io);
    }

    /// Records the decision, the physical address at which the image is entered, and the value of
    /// `%rsi` there. If the image is verified, the low 32 bits of `rsi` must be 0: they become
    /// `panic_timeout` when the image is entered.
    pub fn set_handoff(&mut self, decision: Decision, start: u64, rsi: u64) {
        set_field!(self, start as usize, start);
        set_field!(self, decision as u8, arch.purgatory.decision);
        set_field!(self, decision.is_verified(), arch.purgatory.verified);
        set_field!(self, rsi as usize, arch.purgatory.registers.rsi);
        #[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
        if !decision.is_by_policy() {
            set_field!(self, 0, arch.purgatory.policy[0]);
        }
    }

    /// Marks the next kernel's segment: the memory that its file does not fill is left as it is,
    /// instead of being allocated, zeroed and copied.
    ///
    /// By the boot protocol, that memory is scratch space, see `init_size` in
    /// `Documentation/arch/x86/boot.rst`.
    pub fn leave_kernel_tail(&mut self) {
        let kernel = self
            .segments()
            .find(|segment| segment.role == Role::Kernel)
            .map_or(0, |segment| segment.start);

        set_field!(self, kernel as usize, arch.purgatory.kernel);
    }

    /// The decision and its reason, with the name of the module if one decided.
    pub fn decision_text(&self) -> impl fmt::Display + '_ {
        struct Text<'a>(&'a LoadingImage);

        impl fmt::Display for Text<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = self.0.decision().map_or(c"none", Decision::as_c_str);

                write!(f, "{}", text.to_str().unwrap_or_default())?;
                match CStr::from_bytes_until_nul(&self.0.policy_name()) {
                    Ok(name) if !name.is_empty() => {
                        write!(f, " {}", name.to_str().unwrap_or_default())
                    }
                    _ => Ok(()),
                }
            }
        }
        Text(self)
    }

    /// Name of the module that decided, padded with NULs; empty if none did.
    #[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
    fn policy_name(&self) -> [u8; bindings::KEXEC_POLICY_NAME_LEN as usize] {
        field!(self, arch.purgatory.policy)
    }

    #[cfg(not(CONFIG_KEXEC_PURGATORY_VERIFY = "m"))]
    fn policy_name(&self) -> [u8; 1] {
        [0]
    }

    /// The decision that [`Self::set_handoff`] recorded; `None` if there is none.
    pub fn decision(&self) -> Option<Decision> {
        Decision::from_raw(field!(self, arch.purgatory.decision))
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
