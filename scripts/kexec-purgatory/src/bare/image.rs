// SPDX-License-Identifier: GPL-2.0-only

//! The contents of the machine's memory: an image as the loader leaves it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::Purgatory;
use crate::abi::{self, LEAF_SIZE, Params, REGIONS_MAX, Region, RegionKind};
use crate::bzimage::ENTRY_OFFSET;
use crate::engines::EngineKind;
use crate::params::{region_digest, sealed, to_bytes};

/// Physical addresses. `bare/boot.S` and `bare/probe.S` get theirs from [`super::bare_machine`].
pub const JOB: u64 = 0x80_0000;
/// Not 0 if the next kernel must end Bochs, not QEMU.
pub const JOB_IN_BOCHS: u64 = JOB + 40;
/// Not 0 if the previous kernel leaves exception handlers.
const JOB_HANDLERS: u64 = JOB + 48;
const JOB_RDX: u64 = JOB + 56;
const JOB_RCX: u64 = JOB + 64;
pub const STATE: u64 = 0x80_1000;
/// `bare/digests.S`, and its data, which differs from run to run.
pub const DIGESTS_PROGRAM: u64 = 0x90_0000;
pub const DIGESTS: u64 = 0x92_0000;
/// The image of the purgatory's digest code, which that program calls.
pub const DIGESTS_IMAGE: u64 = 0x94_0000;
/// A page table that this program installs in place of one 2 MiB page, and that page, which the
/// table maps only in part.
pub const GUARD_TABLE: u64 = 0x91_0000;
pub const GUARDED: u64 = 0x600_0000;
pub const PURGATORY: u64 = 0x100_0000;
/// The purgatory of the crash image.
pub const CRASH_PURGATORY: u64 = 0x180_0000;
pub const BOOT_PARAMS: u64 = 0x200_0000;
pub const KERNEL: u64 = 0x300_0000;
/// The first of the regions after the kernel, and the distance from one to the next.
pub const OTHERS: u64 = 0x400_0000;
const OTHERS_STEP: u64 = 0x10_0000;

/// Bytes of the region with `boot_params`, and the record after it.
const BOOT_PARAMS_LEN: usize = 0x1100;
pub const RECORD: u64 = BOOT_PARAMS + BOOT_PARAMS_LEN as u64;

pub const KERNEL_ENTRY: u64 = KERNEL + ENTRY_OFFSET;

/// The port to which a write ends QEMU, see [`super::bare_machine`].
pub const EXIT_PORT: u16 = 0xf4;

/// The first UART of a PC.
const UART: u16 = 0x3f8;

/// A region of an image, and its contents.
pub struct Content {
    pub kind: RegionKind,
    pub start: u64,
    pub bytes: Vec<u8>,
}

/// An image that can be entered, with the state that the purgatory is entered in.
///
/// Tests change fields before they run it.
pub struct Image {
    pub purgatory: Purgatory,
    /// What the previous kernel enters: the purgatory, or a program that runs in its place.
    pub entry: u64,
    pub regions: Vec<Content>,
    pub engine: EngineKind,
    pub debug: bool,
    pub console_port: u16,
    pub console_mmio32: u64,
    /// Whether the purgatory is told that I/O raises exceptions.
    pub no_io: bool,
    /// Time stamp counter of the previous kernel.
    pub left: u64,
    /// Whether there is a crash image. Its purgatory verifies the first two regions, `boot_params`
    /// and the kernel.
    pub crash: bool,
    /// The entry point of the crash image that the previous kernel states, if that is wrong.
    pub crash_entry: Option<u64>,
    /// Whether the previous kernel leaves exception handlers, which halt.
    pub handlers: bool,
    pub reset: abi::Reset,
    pub tsc_khz: u32,
    /// `panic_timeout`, in seconds.
    pub timeout: i32,
    /// Control registers at the purgatory's entry. If `xcr0` is 0, XCR0 is as the machine starts.
    pub cr0: u64,
    pub cr4: u64,
    pub xcr0: u64,
    /// Written over the image after it is sealed: addresses and bytes.
    pub damage: Vec<(u64, Vec<u8>)>,
}

impl Image {
    /// An image with a kernel, which is `probe`, `boot_params`, and `others` more regions of all
    /// kinds, with lengths around multiples of leaves.
    pub fn new(purgatory: &Purgatory, probe: &[u8], others: usize) -> Self {
        let mut kernel = noise(1, 3 * LEAF_SIZE + 77);
        kernel[ENTRY_OFFSET as usize..][..probe.len()].copy_from_slice(probe);
        let content = |kind, start, bytes| Content { kind, start, bytes };
        let mut regions = vec![
            content(
                RegionKind::BootParams,
                BOOT_PARAMS,
                noise(2, BOOT_PARAMS_LEN),
            ),
            content(RegionKind::Kernel, KERNEL, kernel),
        ];
        let lengths = [
            20 * LEAF_SIZE + 1,
            1,
            LEAF_SIZE,
            2 * LEAF_SIZE - 1,
            64,
            4096,
            LEAF_SIZE + 55,
        ];
        let kinds = RegionKind::ALL
            .into_iter()
            .filter(|kind| !matches!(kind, RegionKind::BootParams | RegionKind::Kernel))
            .cycle();
        for (i, kind) in kinds.take(others).enumerate() {
            let start = OTHERS + i as u64 * OTHERS_STEP;
            let bytes = noise(3 + i as u64, lengths[i % lengths.len()]);
            regions.push(content(kind, start, bytes));
        }
        Self {
            purgatory: purgatory.clone(),
            entry: PURGATORY + purgatory.entry,
            regions,
            engine: EngineKind::Scalar,
            debug: false,
            console_port: UART,
            console_mmio32: 0,
            no_io: false,
            left: 0,
            crash: false,
            crash_entry: None,
            handlers: false,
            reset: abi::Reset::default(),
            tsc_khz: 0,
            timeout: 0,
            // Without MP: the purgatory must set it, and restore it.
            cr0: CR0_PG | CR0_NE | CR0_ET | CR0_PE,
            cr4: CR4_PAE,
            xcr0: 0,
            damage: Vec::new(),
        }
    }

    /// Changes a field of the sealed parameters, at `offset`.
    pub fn overwrite_params(&mut self, offset: usize, bytes: &[u8]) {
        let address = PURGATORY + (self.purgatory.params + offset) as u64;
        self.damage.push((address, bytes.to_vec()));
    }

    /// Changes a byte of the sealed parameters, whatever its value.
    pub fn damage_params(&mut self, offset: usize) {
        let damaged = to_bytes(self.params())[offset] ^ 0x5a;
        self.overwrite_params(offset, &[damaged]);
    }

    /// Replaces the sealed parameters with what `change` makes of them, with a digest that fits.
    pub fn forge(&mut self, change: impl FnOnce(&mut Params)) {
        let mut params = self.params();
        change(&mut params);
        self.overwrite_params(0, &to_bytes(sealed(params)));
    }

    /// Writes the image into the machine's memory.
    pub(super) fn write(&self, memory: &File) -> Result<()> {
        let write = |address, bytes: &[u8]| {
            memory
                .write_all_at(bytes, address)
                .context("cannot write the machine's memory")
        };
        for region in &self.regions {
            write(region.start, &region.bytes)?;
        }
        let write_purgatory = |at, params| {
            let place = at + self.purgatory.params as u64;
            write(at, &self.purgatory.bytes).and_then(|()| write(place, &to_bytes(params)))
        };
        write_purgatory(PURGATORY, self.params())?;
        if self.crash {
            write_purgatory(CRASH_PURGATORY, self.crash_params())?;
        }
        for (address, value) in [
            (JOB, self.cr0),
            (JOB + 8, self.cr4),
            (JOB + 16, self.xcr0),
            (JOB + 24, self.entry),
            (JOB + 32, self.rsi()),
            (JOB_HANDLERS, self.handlers.into()),
            (JOB_RDX, self.left),
            (JOB_RCX, self.rcx()),
        ] {
            write(address, &value.to_le_bytes())?;
        }
        for (address, bytes) in &self.damage {
            write(*address, bytes)?;
        }
        Ok(())
    }

    /// The `%rsi` that the previous kernel leaves for the purgatory: `abi::Handoff`.
    fn rsi(&self) -> u64 {
        let timeout = u64::from(self.timeout.cast_unsigned());
        timeout | u64::from(self.console_port) << 32 | u64::from(self.no_io) << 48
    }

    /// The `%rcx` that it leaves.
    fn rcx(&self) -> u64 {
        let entry = match self.crash {
            true => CRASH_PURGATORY + self.purgatory.entry,
            false => 0,
        };
        self.crash_entry.unwrap_or(entry)
    }

    /// The parameters of the crash image's purgatory.
    fn crash_params(&self) -> Params {
        sealed(Params {
            purgatory: CRASH_PURGATORY,
            nr_regions: 2,
            ..self.params()
        })
    }

    /// The parameters as the loader fills them.
    pub fn params(&self) -> Params {
        let mut regions = [Region::UNUSED; REGIONS_MAX];
        for (region, content) in regions.iter_mut().zip(&self.regions) {
            *region = Region {
                start: content.start,
                len: content.bytes.len() as u64,
                kind: content.kind as u32,
                reserved: 0,
                digest: region_digest(&content.bytes),
            };
        }
        sealed(Params {
            magic: abi::MAGIC,
            version: abi::VERSION,
            size: size_of::<Params>() as u32,
            entry: KERNEL_ENTRY,
            boot_params: BOOT_PARAMS,
            flags: if self.debug { abi::FLAG_DEBUG } else { 0 },
            tsc_khz: self.tsc_khz,
            reset: self.reset,
            console_mmio32: self.console_mmio32,
            purgatory: PURGATORY,
            xcr0: self.engine.xcr0(),
            engine: self.engine as u32,
            nr_regions: self.regions.len() as u32,
            own_digest: Sha256::digest(&self.purgatory.bytes[..self.purgatory.params]).into(),
            params_digest: [0; abi::DIGEST_SIZE],
            regions,
            record: RECORD,
        })
    }
}

const CR0_PE: u64 = 1 << 0;
pub const CR0_MP: u64 = 1 << 1;
const CR0_ET: u64 = 1 << 4;
const CR0_NE: u64 = 1 << 5;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
pub const CR4_OSFXSR: u64 = 1 << 9;
pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
pub const CR4_OSXSAVE: u64 = 1 << 18;

/// `len` bytes that look random, the same ones for the same `seed`.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}
