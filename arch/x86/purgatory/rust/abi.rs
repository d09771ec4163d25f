// SPDX-License-Identifier: GPL-2.0-only

//! The interface between the loader and the purgatory.
//!
//! This file is compiled into the kernel's loader, into the purgatory and into the host tests, and
//! is the only definition of the interface. The interface is private to one kernel build: loader
//! and purgatory are always built together, so that there is no compatibility to keep. [`VERSION`]
//! only guards against a purgatory from a stale build.
//!
//! Contract:
//!
//! - The purgatory is a flat image with a [`Header`] at offset 0. Offsets in the header count from
//!   there.
//! - The loader copies the first [`Header::file_size`] bytes to a page-aligned physical address, in
//!   a segment of [`Header::mem_size`] bytes. The rest of the segment may hold anything. The loader
//!   fills the [`Params`] at offset [`Header::params`].
//! - `relocate_kernel` enters the purgatory at offset [`Header::entry`] with interrupts off, in
//!   64-bit mode, on identity-mapped page tables that cover every region. `CR0`, `CR4` and `XCR0`
//!   are those for [`Params::entry`].
//! - `%rsi` holds a [`Handoff`]. `%rdx` holds the time stamp counter at the end of
//!   `machine_kexec()`, or 0. `%rcx` holds the entry point of the crash image's purgatory, or 0 if
//!   a mismatch must not enter it.
//! - All addresses are physical, all sizes are in bytes.

/// First bytes of the purgatory and of its parameters (`b"kxpurgRS"`, little endian).
pub const MAGIC: u64 = u64::from_le_bytes(*b"kxpurgRS");

/// Version of everything in this file.
pub const VERSION: u32 = 3;

/// [`Header::file_size`] is less than this.
pub const FILE_SIZE_MAX: usize = 64 * 1024;

/// Size of a SHA-256 digest in bytes.
pub const DIGEST_SIZE: usize = 32;

/// A SHA-256 digest.
pub type Digest = [u8; DIGEST_SIZE];

/// Bytes in a leaf of the digest tree.
///
/// The digest of a region is SHA-256 over the digests of its leaves, in order, followed by the
/// region's length in bytes as a little-endian `u64`. Every leaf except the last is this long; the
/// last one holds what remains. A region of length 0 has no leaf.
///
/// `digest-tests/benches/leaf_size.rs` finds no size that is more than about 1 % faster, see
/// Documentation/arch/x86/kexec-purgatory-performance.rst. With smaller leaves, there are more leaf
/// digests to hash. With larger leaves, lanes with a shorter leaf are idle for longer. The size is
/// not a power of two, so that the lanes of an engine do not all read from the same cache set.
pub const LEAF_SIZE: usize = 32 * 1024 + 64;

/// Most regions that an image can have: one for each segment of `struct kimage`
/// (`KEXEC_SEGMENT_MAX`).
pub const REGIONS_MAX: usize = 16;

/// Start of the purgatory.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Offset of the first instruction.
    pub entry: u32,
    /// Offset of the [`Params`], a multiple of their alignment.
    pub params: u32,
    /// Bytes to load.
    pub file_size: u32,
    /// Bytes that the purgatory occupies in memory, a multiple of the page size.
    pub mem_size: u32,
    /// Zero.
    pub reserved: u32,
}

/// The value of `%rsi` on entry: what the purgatory needs before it has checked its parameters.
///
/// - Bits 0 to 31: `panic_timeout` of the previous kernel when it entered the purgatory, in
///   seconds. After a mismatch, 0 stops the machine, and a negative number resets it at once.
/// - Bits 32 to 47: I/O port of the 8250 that `earlyprintk` set up (`kexec_debug_8250_port`), or 0.
/// - Bit 48: I/O raises an exception, which nothing handles, as in a guest whose register state is
///   encrypted.
/// - Bits 49 to 52: what was damaged in the normal image, as `record::Record::mismatch` numbers it,
///   if its purgatory has entered the crash image; otherwise 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handoff(u64);

impl Handoff {
    const PORT_SHIFT: u32 = 32;
    const NO_IO: u64 = 1 << 48;
    const MISMATCH_SHIFT: u32 = 49;
    const MISMATCH: u64 = 0xf;

    /// The value that the loader records, with `panic_timeout` 0.
    pub fn new(console_port: u16, no_io: bool) -> Handoff {
        let no_io = if no_io { Self::NO_IO } else { 0 };

        Handoff(u64::from(console_port) << Self::PORT_SHIFT | no_io)
    }

    /// From the value of the register.
    pub fn from_raw(raw: u64) -> Handoff {
        Handoff(raw)
    }

    /// The value of the register.
    pub fn into_raw(self) -> u64 {
        self.0
    }

    /// `panic_timeout`, in seconds.
    pub fn panic_timeout(self) -> i32 {
        self.0 as i32
    }

    /// I/O port of an 8250, or 0.
    pub fn console_port(self) -> u16 {
        (self.0 >> Self::PORT_SHIFT) as u16
    }

    /// Whether I/O raises exceptions.
    pub fn no_io(self) -> bool {
        self.0 & Self::NO_IO != 0
    }

    /// This value for the purgatory of the crash image, entered because `mismatch` (at most 15, see
    /// `record::Record::mismatch`) was damaged.
    pub fn after_mismatch(self, mismatch: u64) -> Handoff {
        Handoff(self.0 | (mismatch & Self::MISMATCH) << Self::MISMATCH_SHIFT)
    }

    /// What was damaged in the normal image, if that is why the crash image was entered.
    pub fn mismatch(self) -> Option<u64> {
        let mismatch = self.0 >> Self::MISMATCH_SHIFT & Self::MISMATCH;

        (mismatch != 0).then_some(mismatch)
    }

    /// Whether a mismatch resets the machine or ends the guest, instead of halting.
    pub fn ends_machine(self) -> bool {
        self.panic_timeout() != 0 || self.no_io()
    }
}

/// What a region holds, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RegionKind {
    /// Any other segment.
    Segment = 0,
    /// The protected-mode part of the next kernel.
    Kernel = 1,
    /// The initramfs.
    Initramfs = 2,
    /// `struct boot_params`, the command line and the setup data.
    BootParams = 3,
    /// The ELF core header of a crash image.
    ElfCoreHdr = 4,
    /// The keys of an encrypted dump target.
    DmCryptKeys = 5,
}

impl RegionKind {
    /// Every kind, in the order of its value.
    pub const ALL: [RegionKind; 6] = [
        RegionKind::Segment,
        RegionKind::Kernel,
        RegionKind::Initramfs,
        RegionKind::BootParams,
        RegionKind::ElfCoreHdr,
        RegionKind::DmCryptKeys,
    ];

    /// The kind with this value, if there is one.
    pub fn from_raw(raw: u32) -> Option<RegionKind> {
        Self::ALL.get(raw as usize).copied()
    }

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            RegionKind::Segment => "segment",
            RegionKind::Kernel => "kernel",
            RegionKind::Initramfs => "initramfs",
            RegionKind::BootParams => "boot_params",
            RegionKind::ElfCoreHdr => "elfcorehdr",
            RegionKind::DmCryptKeys => "dm_crypt_keys",
        }
    }
}

/// A range of physical memory and the digest that it must have.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// Number of bytes that were loaded. The rest of the segment is not part of the region.
    pub len: u64,
    /// A [`RegionKind`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
    /// See [`LEAF_SIZE`].
    pub digest: Digest,
}

impl Region {
    /// A region that is not in use.
    pub const UNUSED: Region = Region {
        start: 0,
        len: 0,
        kind: 0,
        reserved: 0,
        digest: [0; DIGEST_SIZE],
    };
}

/// The reset register of the machine (ACPI specification, section 4.8.3.6).
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Reset {
    /// Its address in [`Self::space`]. The address of a PCI configuration register is encoded as in
    /// `struct acpi_generic_address`.
    pub address: u64,
    /// [`RESET_NONE`], [`RESET_IO`] or [`RESET_PCI`].
    pub space: u32,
    /// Value to write to it.
    pub value: u32,
}

/// [`Reset::space`]: there is no register, or the purgatory cannot reach it.
pub const RESET_NONE: u32 = 0;
/// [`Reset::space`]: an I/O port.
pub const RESET_IO: u32 = 1;
/// [`Reset::space`]: a PCI configuration register on bus 0.
pub const RESET_PCI: u32 = 2;

/// [`Params::flags`]: print a line on success too (`KEXEC_FILE_DEBUG`). Only set if there is a
/// console.
pub const FLAG_DEBUG: u32 = 1;

/// The parameters that the loader gives to the purgatory.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Params {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Size of this structure.
    pub size: u32,
    /// Entry point of the next kernel (64-bit boot protocol).
    pub entry: u64,
    /// `struct boot_params` of the next kernel, its `%rsi`.
    pub boot_params: u64,
    /// `FLAG_*`.
    pub flags: u32,
    /// Frequency of the time stamp counter in kHz, or 0.
    pub tsc_khz: u32,
    /// How to reset the machine, if `panic=` asks for that after a mismatch.
    pub reset: Reset,
    /// 8250 registers, 32 bits apart, or 0 (`kexec_debug_8250_mmio32`). Used where
    /// [`Handoff::console_port`] is 0.
    pub console_mmio32: u64,
    /// Physical address of the purgatory itself, a multiple of the page size.
    pub purgatory: u64,
    /// `XCR0` bits that the engine needs, `EngineKind::xcr0()`.
    pub xcr0: u64,
    /// An `EngineKind`, see `digest/engines.rs`.
    pub engine: u32,
    /// Number of regions in use.
    pub nr_regions: u32,
    /// SHA-256 of the purgatory's bytes before these parameters, header included.
    pub own_digest: Digest,
    /// SHA-256 of these parameters while this field is zero.
    pub params_digest: Digest,
    /// The regions; those beyond [`Params::nr_regions`] are zero.
    pub regions: [Region; REGIONS_MAX],
    /// Physical address of the `record::Record` for the next kernel, or 0 if there is none. The
    /// record follows the region with `boot_params`. The purgatory writes its stamps.
    pub record: u64,
}

const _: () = assert!(size_of::<Header>() == 32);
const _: () = assert!(size_of::<Region>() == 56);
// Whole words: the purgatory copies the parameters word by word.
const _: () = assert!(size_of::<Params>() == 132 * size_of::<u64>());
