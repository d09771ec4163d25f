// SPDX-License-Identifier: GPL-2.0-only

//! The record that a kernel leaves for the next kernel, which kexec enters.
//!
//! A [`Record`] is the data of a node in the list `setup_data` of the boot protocol
//! (Documentation/arch/x86/boot.rst), whose type is `SETUP_KEXEC_RECORD` of
//! `arch/x86/include/uapi/asm/setup_data.h`. The loader fills it when it loads the image, except
//! the [`Stamp`]s, which are written when the image is entered.
//!
//! Any kernel may read a record of any other kernel. Therefore the layout and the meaning
//! of a [`VERSION`] never change, and a reader trusts nothing. All numbers are little endian.

use crate::abi::{
    Digest,
    RegionKind,
    DIGEST_SIZE, //
};
use core::mem::offset_of;

/// First bytes of a record (`b"kxrecord"`, little endian).
pub const MAGIC: u64 = u64::from_le_bytes(*b"kxrecord");

/// Version of everything in this file.
pub const VERSION: u32 = 1;

/// [`LoadFacts::flags`]: it is a crash image.
pub const FLAG_CRASH: u32 = 1;
/// [`LoadFacts::flags`]: a purgatory verifies the image before the next kernel is entered.
pub const FLAG_VERIFIED: u32 = 2;

/// [`Record::mismatch`]: the purgatory itself was damaged.
pub const MISMATCH_PURGATORY: u64 = 15;

const _: () = assert!(RegionKind::ALL.len() < MISMATCH_PURGATORY as usize);

/// A number that is written when the image is entered, and that no digest covers.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Stamp {
    value: u64,
    /// The complement of the value. If nothing was written, both are 0.
    complement: u64,
}

impl From<Option<u64>> for Stamp {
    fn from(value: Option<u64>) -> Stamp {
        value.map_or(Stamp::default(), |value| Stamp {
            value,
            complement: !value,
        })
    }
}

impl Stamp {
    /// The value, if one was written.
    ///
    /// # Errors
    ///
    /// [`Fault::Stamp`] if value and complement do not match.
    fn get(self) -> Result<Option<u64>, Fault> {
        match self {
            Stamp {
                value: 0,
                complement: 0,
            } => Ok(None),
            Stamp { value, complement } if complement == !value => Ok(Some(value)),
            _ => Err(Fault::Stamp),
        }
    }
}

/// What is known when the image is loaded. Texts are ASCII, and end with a NUL if there is room.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct LoadFacts {
    /// Release of the kernel that loaded the image, as `uname -r` prints it.
    pub release: [u8; 64],
    /// Its decision about the image, as `/sys/kernel/kexec/verify_loaded` shows it.
    pub decision: [u8; 96],
    /// Engine of the purgatory; empty if there is none.
    pub engine: [u8; 16],
    /// Number of bytes that are verified.
    pub bytes: u64,
    /// Number of regions that are verified.
    pub regions: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// Frequency of the time stamp counter in kHz, or 0.
    pub tsc_khz: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

/// What a kernel tells the next one.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Record {
    /// [`MAGIC`].
    pub magic: u64,
    /// [`VERSION`].
    pub version: u32,
    /// Size of this structure.
    pub size: u32,
    /// SHA-256 of [`Self::facts`].
    pub digest: Digest,
    /// What is known when the image is loaded.
    pub facts: LoadFacts,
    /// Time stamp counter at the end of `machine_kexec()`.
    pub left: Stamp,
    /// Time stamp counter when the purgatory was entered.
    pub entered: Stamp,
    /// Time stamp counter when the purgatory had verified all regions.
    pub verified: Stamp,
    /// Time stamp counter when the purgatory entered the next kernel.
    pub handed_off: Stamp,
    /// What was damaged in the normal image, if its purgatory therefore entered this crash image:
    /// the number of the region's [`RegionKind`] plus 1, or [`MISMATCH_PURGATORY`].
    pub mismatch: Stamp,
}

const _: () = assert!(size_of::<LoadFacts>() == 208);
const _: () = assert!(size_of::<Record>() == 336);
// No stamp crosses the end of a page: a record begins at a multiple of 16, `RECORD_ALIGN` of
// arch/x86/kexec/record.c.
const _: () = assert!(offset_of!(Record, left) % 16 == 0);

impl Record {
    /// A record without stamps.
    pub fn new(facts: LoadFacts, digest: Digest) -> Record {
        Record {
            magic: MAGIC,
            version: VERSION,
            size: size_of::<Record>() as u32,
            digest,
            facts,
            left: Stamp::default(),
            entered: Stamp::default(),
            verified: Stamp::default(),
            handed_off: Stamp::default(),
            mismatch: Stamp::default(),
        }
    }
}

/// `text`, padded with NULs. Characters that do not fit, or are not printable ASCII, are left out.
pub fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let plain = text.bytes().filter(|&byte| is_plain(byte));

    for (to, from) in bytes.iter_mut().zip(plain) {
        *to = from;
    }
    bytes
}

fn is_plain(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_graphic()
}

/// Why a record is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is shorter than [`Record`], or [`Record::size`] is wrong.
    Size,
    /// [`Record::magic`]
    Magic,
    /// [`Record::version`]
    Version,
    /// [`Record::digest`]
    Digest,
    /// A text has a character that cannot be printed.
    Text,
    /// A [`Stamp`] is not what was written.
    Stamp,
}

impl Fault {
    /// A message without a line end.
    pub fn describe(self) -> &'static str {
        match self {
            Fault::Size => "it has a bad size",
            Fault::Magic => "it has a bad magic number",
            Fault::Version => "it is of another version",
            Fault::Digest => "it is damaged",
            Fault::Text => "a text in it cannot be printed",
            Fault::Stamp => "a time in it is damaged",
        }
    }
}

/// The contents of a valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered<'a> {
    /// [`LoadFacts::release`]
    pub release: &'a str,
    /// [`LoadFacts::decision`]
    pub decision: &'a str,
    /// [`LoadFacts::engine`]
    pub engine: &'a str,
    /// [`LoadFacts::bytes`]
    pub bytes: u64,
    /// [`LoadFacts::regions`]
    pub regions: u32,
    /// [`FLAG_CRASH`]
    pub crash: bool,
    /// [`FLAG_VERIFIED`]
    pub verified: bool,
    /// Time from `machine_kexec()` to the purgatory, while `relocate_kernel` copied the image, in
    /// nanoseconds.
    pub copy_ns: Option<u64>,
    /// Time of the purgatory until all regions were verified, in nanoseconds.
    pub verify_ns: Option<u64>,
    /// Time from `machine_kexec()` until the purgatory entered the next kernel, in nanoseconds.
    pub handoff_ns: Option<u64>,
    /// Time from `machine_kexec()` to the counter value that [`read`] was given, in nanoseconds.
    pub total_ns: Option<u64>,
    /// What was damaged in the normal image, if the crash image was entered for that reason.
    pub mismatch: Option<&'static str>,
}

/// Reads the record at the start of `bytes`. `sha256` computes a digest; `now` is the time stamp
/// counter that [`Entered::total_ns`] ends at, or 0 if it is not known.
///
/// # Errors
///
/// A [`Fault`] if there is no record, or if it is not valid.
pub fn read(
    bytes: &[u8],
    sha256: impl FnOnce(&[u8]) -> Digest,
    now: u64,
) -> Result<Entered<'_>, Fault> {
    const FACTS: usize = offset_of!(Record, facts);

    // The meaning of everything after the version depends on the version.
    ensure(
        number(bytes, offset_of!(Record, magic))? == MAGIC,
        Fault::Magic,
    )?;
    ensure(
        number32(bytes, offset_of!(Record, version))? == VERSION,
        Fault::Version,
    )?;
    ensure(
        number32(bytes, offset_of!(Record, size))? as usize == size_of::<Record>()
            && bytes.len() >= size_of::<Record>(),
        Fault::Size,
    )?;
    let facts = slice(bytes, FACTS, size_of::<LoadFacts>())?;
    ensure(
        slice(bytes, offset_of!(Record, digest), DIGEST_SIZE)? == sha256(facts),
        Fault::Digest,
    )?;

    let stamp = |offset| {
        Stamp {
            value: number(bytes, offset)?,
            complement: number(bytes, offset + size_of::<u64>())?,
        }
        .get()
    };
    let left = stamp(offset_of!(Record, left))?;
    let entered = stamp(offset_of!(Record, entered))?;
    let verified = stamp(offset_of!(Record, verified))?;
    let handed_off = stamp(offset_of!(Record, handed_off))?;
    let mismatch = stamp(offset_of!(Record, mismatch))?.map(damaged);

    let flags = number32(facts, offset_of!(LoadFacts, flags))?;
    let khz = number32(facts, offset_of!(LoadFacts, tsc_khz))?;
    let between = |from: Option<u64>, to: Option<u64>| {
        let cycles = to?.checked_sub(from?)?;

        nanoseconds(cycles, khz)
    };
    Ok(Entered {
        release: plain(slice(facts, offset_of!(LoadFacts, release), 64)?)?,
        decision: plain(slice(facts, offset_of!(LoadFacts, decision), 96)?)?,
        engine: plain(slice(facts, offset_of!(LoadFacts, engine), 16)?)?,
        bytes: number(facts, offset_of!(LoadFacts, bytes))?,
        regions: number32(facts, offset_of!(LoadFacts, regions))?,
        crash: flags & FLAG_CRASH != 0,
        verified: flags & FLAG_VERIFIED != 0,
        copy_ns: between(left, entered),
        verify_ns: between(entered, verified),
        handoff_ns: between(left, handed_off),
        total_ns: between(left, (now != 0).then_some(now)),
        mismatch,
    })
}

/// The time that `cycles` of a counter of `khz` take, in nanoseconds; `None` if it overflows or if
/// `khz` is 0.
fn nanoseconds(cycles: u64, khz: u32) -> Option<u64> {
    cycles.checked_mul(1_000_000)?.checked_div(khz.into())
}

/// The name of what [`Record::mismatch`] says was damaged. A kind that only later kernels have is
/// called a segment.
fn damaged(number: u64) -> &'static str {
    if number == MISMATCH_PURGATORY {
        return "purgatory";
    }
    u32::try_from(number.wrapping_sub(1))
        .ok()
        .and_then(RegionKind::from_raw)
        .unwrap_or(RegionKind::Segment)
        .name()
}

/// The text before the first NUL.
fn plain(bytes: &[u8]) -> Result<&str, Fault> {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();

    ensure(text.iter().all(|&byte| is_plain(byte)), Fault::Text)?;
    core::str::from_utf8(text).map_err(|_| Fault::Text)
}

fn number(bytes: &[u8], offset: usize) -> Result<u64, Fault> {
    array(bytes, offset).map(u64::from_le_bytes)
}

fn number32(bytes: &[u8], offset: usize) -> Result<u32, Fault> {
    array(bytes, offset).map(u32::from_le_bytes)
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N], Fault> {
    bytes
        .get(offset..)
        .and_then(|bytes| bytes.first_chunk())
        .copied()
        .ok_or(Fault::Size)
}

fn slice(bytes: &[u8], offset: usize, len: usize) -> Result<&[u8], Fault> {
    bytes
        .get(offset..)
        .and_then(|bytes| bytes.get(..len))
        .ok_or(Fault::Size)
}

fn ensure(condition: bool, fault: Fault) -> Result<(), Fault> {
    if condition {
        Ok(())
    } else {
        Err(fault)
    }
}
