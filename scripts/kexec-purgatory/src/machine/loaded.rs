// SPDX-License-Identifier: GPL-2.0-only

//! What a kernel has loaded: the segments of an image, and where their pages are until they are
//! copied.
//!
//! All of it comes from the kernel's own code. Nothing comes from the purgatory's parameters, which
//! are under test.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

use crate::abi::RegionKind;
use crate::bzimage::ENTRY_OFFSET;
use crate::qemu::SerialLog;

pub const PAGE: u64 = 4096;

/// Flags of an entry in the indirection list (include/linux/kexec.h).
pub const IND_DESTINATION: u64 = 1 << 0;
pub const IND_INDIRECTION: u64 = 1 << 1;
pub const IND_DONE: u64 = 1 << 2;
pub const IND_SOURCE: u64 = 1 << 3;

/// A segment at its place after the copy. Addresses are physical.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    pub kind: RegionKind,
    pub start: u64,
    /// Bytes that were loaded.
    pub length: u64,
    /// Bytes that it occupies in memory.
    pub memory: u64,
}

impl Segment {
    /// One for tests.
    #[cfg(test)]
    pub const KERNEL: Self = Self {
        kind: RegionKind::Kernel,
        start: 0x100_0000,
        length: 0x20_d000,
        memory: 0x160_0000,
    };

    pub fn end(&self) -> u64 {
        self.start + self.length
    }

    /// Parses the line that `kexec_file_load()` logs about a segment with `KEXEC_FILE_DEBUG`.
    fn parse(line: &str) -> Option<Self> {
        let (_, line) = line.split_once(": Loaded ")?;
        let (name, numbers) = line.split_once(" at ")?;
        let kind = match name {
            "64bit kernel" => RegionKind::Kernel,
            "initrd" => RegionKind::Initramfs,
            "boot_param, command line and misc" => RegionKind::BootParams,
            "ELF headers" => RegionKind::ElfCoreHdr,
            _ => return None,
        };
        let mut numbers = numbers.split_whitespace().map(|number| {
            let digits = number.rsplit_once("0x")?.1;
            u64::from_str_radix(digits, 16).ok()
        });
        Some(Self {
            kind,
            start: numbers.next()??,
            length: numbers.next()??,
            memory: numbers.next()??,
        })
    }
}

/// The segments of a loaded image, except the purgatory's.
#[derive(Clone)]
pub struct Loaded {
    pub segments: Vec<Segment>,
    /// The memory of all segments, including the purgatory's: physical addresses.
    pub memory: Vec<Range<u64>>,
}

/// Parses the line that `kexec_file_load()` logs about the memory of every segment, of any kind.
fn memory(line: &str) -> Option<Range<u64>> {
    let (_, line) = line.split_once(": segment[")?;
    let field = |name: &str| {
        let digits = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix("=0x"))?;
        u64::from_str_radix(digits, 16).ok()
    };
    let start = field("mem")?;
    Some(start..start + field("memsz")?)
}

impl Loaded {
    /// Parses the log of a guest that loaded an image and then printed `marker`.
    pub fn parse(log: &SerialLog, marker: &str) -> Result<Self> {
        let lines: Vec<&str> = log.lines().collect();
        let end = lines
            .iter()
            .position(|line| *line == marker)
            .with_context(|| format!("the guest did not print {marker:?}"))?;
        // The lines of an image that was loaded earlier end with its marker.
        let lines = || {
            let earlier = lines[..end].iter().rev();
            earlier.take_while(|line| !line.starts_with("guest: "))
        };
        let mut segments: Vec<Segment> = lines().filter_map(|line| Segment::parse(line)).collect();
        segments.sort_by_key(|segment| segment.start);
        let loaded = Self {
            segments,
            memory: lines().filter_map(|line| memory(line)).collect(),
        };
        ensure!(
            loaded.memory.len() >= loaded.segments.len(),
            "the kernel's log has the memory of {} of at least {} segments",
            loaded.memory.len(),
            loaded.segments.len()
        );
        loaded.segment(RegionKind::BootParams)?;
        loaded.segment(RegionKind::Kernel)?;
        loaded.segment(RegionKind::Initramfs)?;
        Ok(loaded)
    }

    pub fn segment(&self, kind: RegionKind) -> Result<&Segment> {
        self.segments
            .iter()
            .find(|segment| segment.kind == kind)
            .with_context(|| format!("the kernel's log has no segment {}", kind.name()))
    }

    /// Names a physical address: by segment and offset, as part of the purgatory, or by its number.
    pub fn place(&self, address: u64) -> String {
        let named = self
            .segments
            .iter()
            .find(|segment| (segment.start..segment.start + segment.memory).contains(&address));
        match named {
            Some(segment) => format!("{} + {:#x}", segment.kind.name(), address - segment.start),
            // A purgatory's stack may end where its segment ends.
            None if self
                .memory
                .iter()
                .any(|memory| (memory.start..=memory.end).contains(&address)) =>
            {
                "in the purgatory".to_owned()
            }
            None => format!("{address:#x}"),
        }
    }

    /// The first instruction of the next kernel.
    pub fn entry(&self) -> Result<u64> {
        Ok(self.segment(RegionKind::Kernel)?.start + ENTRY_OFFSET)
    }
}

/// Walks the indirection list whose first entry is `head`. `read` reads the entry at a physical
/// address. Calls `each` with the source and the destination of each page.
pub fn walk(
    head: u64,
    mut read: impl FnMut(u64) -> Result<u64>,
    mut each: impl FnMut(u64, u64) -> Result<()>,
) -> Result<()> {
    let (mut entry, mut next, mut destination) = (head, None, None);
    loop {
        let address = entry & !(PAGE - 1);
        match entry & (PAGE - 1) {
            IND_DONE => return Ok(()),
            IND_INDIRECTION => next = Some(address),
            IND_DESTINATION => destination = Some(address),
            IND_SOURCE => {
                let to = destination.context("a source page without a destination")?;
                each(address, to)?;
                destination = Some(to + PAGE);
            }
            flags => bail!("an entry of the indirection list with flags {flags:#x}"),
        }
        let at = next.context("the indirection list does not begin with a page of it")?;
        entry = read(at)?;
        next = Some(at + size_of::<u64>() as u64);
    }
}

/// Where pages are before the copy, by their place after it. Pages that are already in place are
/// left out.
#[derive(Clone, Default)]
pub struct Pages(BTreeMap<u64, u64>);

impl Pages {
    /// Reads where the pages are from the list whose first entry is `head`, from `kimage::head`.
    /// `read` reads a word of physical memory.
    pub fn walk(head: u64, read: impl FnMut(u64) -> Result<u64>) -> Result<Self> {
        let mut pages = BTreeMap::new();
        walk(head, read, |source, destination| {
            ensure!(
                pages.insert(destination, source).is_none(),
                "{destination:#x} is copied to twice"
            );
            Ok(())
        })?;
        Ok(Self(pages))
    }

    /// Where the byte is that will be at `destination`.
    pub fn source(&self, destination: u64) -> u64 {
        let offset = destination % PAGE;
        let page = destination - offset;
        self.0.get(&page).copied().unwrap_or(page) + offset
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Loaded, Pages, RegionKind, Segment};
    use crate::qemu::SerialLog;

    const LOG: &[u8] = b"\
[    1.0] kexec-bzImage64: Loaded boot_param, command line and misc at 0x9a000 bufsz=0x1320 memsz=0x2000
[    1.0] kexec-bzImage64: Loaded 64bit kernel at 0x1000000 bufsz=0x20d000 memsz=0x1600000
[    1.0] kexec-bzImage64: Loaded initrd at 0x17db0000 bufsz=0x24f7ac memsz=0x24f7ac
[    1.0] kexec_file: segment[0]: buf=0x1 bufsz=0x1000 mem=0x9a000 memsz=0x2000
[    1.0] kexec_file: segment[1]: buf=0x1 bufsz=0x1000 mem=0x1000000 memsz=0x1600000
[    1.0] kexec_file: segment[2]: buf=0x1 bufsz=0x1000 mem=0x17db0000 memsz=0x250000
guest: loaded crash\r
[    2.0] kexec-bzImage64: Loaded boot_param, command line and misc at 0x9b000 bufsz=0x1320 memsz=0x2000
[    2.0] kexec-bzImage64: Loaded 64bit kernel at 0x3000000 bufsz=0x20d000 memsz=0x1600000
[    2.0] kexec-bzImage64: Loaded initrd at 0x7db0000 bufsz=0x24f7ac memsz=0x24f7ac
[    2.0] kexec_file: segment[0]: buf=0x1 bufsz=0x1000 mem=0x9b000 memsz=0x2000
[    2.0] kexec_file: segment[1]: buf=0x1 bufsz=0x1000 mem=0x3000000 memsz=0x1600000
[    2.0] kexec_file: segment[2]: buf=0x1 bufsz=0x1000 mem=0x7db0000 memsz=0x250000
[    2.0] guest: loaded normal
";

    #[test]
    fn segments_are_those_before_their_marker() {
        let log = SerialLog::new(LOG);
        let crash = Loaded::parse(&log, "guest: loaded crash").unwrap();
        assert_eq!(
            crash.segment(RegionKind::Initramfs).unwrap(),
            &Segment {
                kind: RegionKind::Initramfs,
                start: 0x17d_b0000,
                length: 0x24f7ac,
                memory: 0x24f7ac,
            }
        );
        let normal = Loaded::parse(&log, "guest: loaded normal").unwrap();
        assert_eq!(normal.segments.len(), 3);
        assert_eq!(normal.entry().unwrap(), 0x300_0200);
        assert!(Loaded::parse(&log, "guest: loaded").is_err());
    }

    #[test]
    fn every_segment_has_memory() {
        let text = String::from_utf8_lossy(LOG).replace(": segment[1]", ": other[1]");
        let error = Loaded::parse(&SerialLog::new(text.as_bytes()), "guest: loaded crash");
        assert!(error.is_err_and(|error| error.to_string().contains("memory of 2")));
    }

    /// An indirection list in two pages.
    fn walk(head: u64, first: &[u64], second: &[u64]) -> anyhow::Result<Pages> {
        Pages::walk(head, |address| {
            let page = if address < 0x20000 { first } else { second };
            Ok(page[(address % 4096) as usize / 8])
        })
    }

    #[test]
    fn pages_of_a_destination_follow_each_other() {
        let first = [0x5001, 0x8008, 0x9008, 0x20002];
        let pages = walk(0x10002, &first, &[0xa008, 0x1_b001, 0x3008, 4]).unwrap();
        assert_eq!(pages.source(0x5123), 0x8123);
        assert_eq!(pages.source(0x6fff), 0x9fff);
        assert_eq!(pages.source(0x7000), 0xa000);
        assert_eq!(pages.source(0x1_b000), 0x3000);
        assert_eq!(pages.source(0x2_0001), 0x2_0001);
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        assert!(walk(0x10002, &[0x8008], &[]).is_err());
        assert!(walk(0x10002, &[0x5001, 0x8008, 0x5001, 0x9008], &[]).is_err());
        assert!(walk(0x10003, &[], &[]).is_err());
        assert!(walk(0x5001, &[], &[]).is_err());
    }
}
