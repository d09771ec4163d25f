// SPDX-License-Identifier: GPL-2.0-only

//! Guests that load an image and leave their kernel on command.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::gdb::Space;
use super::loaded::{Loaded, Segment};
use super::symbols::Symbols;
use super::{Boot, Machine, Stop, Template};
use crate::abi::RegionKind;
use crate::engines::EngineKind;
use crate::expected::RECORD_SIZE;
use crate::guest::{self, Guest, Purpose};
use crate::kernel::Built;
use crate::kexec::expect_engine;
use crate::processors;

/// Offsets of `head` and `start` in `struct kimage` of include/linux/kexec.h.
const KIMAGE_HEAD: u64 = 0;
const KIMAGE_START: u64 = 24;

/// The processor of a guest whose image no engine verifies.
pub const DIRECT_CPU: &str = processors::MAX;

impl Purpose {
    /// The word for the guest's console that enters such an image.
    pub fn enter_word(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Crash => "crash",
        }
    }

    fn loaded(self) -> String {
        format!("guest: loaded {}", self.name())
    }
}

/// What all guests have in common.
pub struct GuestSetup<'a> {
    /// The directory of the files with memory and states.
    pub folder: &'a Path,
    pub kernel: &'a Built,
    pub symbols: Symbols,
    pub guest: &'a Guest,
    /// What the next kernel's `/init` prints if the image reached it intact.
    pub arrival: String,
}

impl<'a> GuestSetup<'a> {
    pub fn new(folder: &'a Path, kernel: &'a Built, guest: &'a Guest) -> Result<Self> {
        let payload = guest::described(&guest::small_payload());
        Ok(Self {
            folder,
            kernel,
            arrival: format!("guest: payload {payload}"),
            symbols: Symbols::read(&kernel.vmlinux())?,
            guest,
        })
    }

    /// Boots a guest until it takes commands.
    pub fn boot(&self, name: &str, cpu: &str) -> Result<Template> {
        let memory = self.folder.join(name);
        let boot = Boot {
            kernel: self.kernel.image(),
            initramfs: &self.guest.initramfs,
            cmdline: &self.guest.cmdline(),
        };
        let mut machine = Machine::boot(cpu, &memory, &boot)?;
        machine.run_until("guest: ready")?;
        machine.save(&memory)
    }

    /// Makes a stopped guest that takes commands load an image, then stops it.
    pub fn load(&self, machine: &mut Machine, purpose: Purpose) -> Result<Loaded> {
        machine.type_line(&format!("load-{}", purpose.name()))?;
        machine.run_until(&purpose.loaded())?;
        Loaded::parse(&machine.log(), &purpose.loaded())
    }

    /// Makes a stopped guest enter its image, and stops it at the entry of `machine_kexec()`.
    /// Returns `kimage::head` and `kimage::start`.
    pub fn leave(&self, machine: &mut Machine, purpose: Purpose) -> Result<(u64, u64)> {
        machine.type_line(purpose.enter_word())?;
        machine.run_to(self.symbols.address("machine_kexec")?)?;
        let image = machine.gdb.registers()?.get("rdi")?;
        let mut field = |offset| machine.gdb.read_u64(Space::Virtual, image + offset);
        Ok((field(KIMAGE_HEAD)?, field(KIMAGE_START)?))
    }

    /// Runs a stopped guest until the next kernel has checked its initramfs.
    ///
    /// # Errors
    ///
    /// If the payload did not arrive intact.
    pub fn arrive(&self, machine: &mut Machine) -> Result<()> {
        let stop = machine.run(|log| log.after("guest: finished").is_some())?;
        let log = machine.log();
        ensure!(
            stop == Stop::Printed && log.lines().any(|line| line == self.arrival),
            "{stop:?}, without {:?}:\n{}",
            self.arrival,
            log.tail()
        );
        Ok(())
    }

    /// `kimage::head` of the normal image that a stopped guest has loaded.
    pub fn loaded_head(&self, machine: &mut Machine) -> Result<u64> {
        let pointer = self.symbols.address("kexec_image")?;
        let image = machine.gdb.read_u64(Space::Virtual, pointer)?;
        machine.gdb.read_u64(Space::Virtual, image + KIMAGE_HEAD)
    }

    /// The segments of an image that are verified, without the record after `boot_params`, which
    /// changes until the next kernel is entered.
    pub fn regions(&self, image: &Loaded) -> Vec<Segment> {
        let mut verified: Vec<Segment> = image.segments.clone();
        for segment in &mut verified {
            if segment.kind == RegionKind::BootParams {
                // The record is at the end.
                segment.length -= RECORD_SIZE as u64;
            }
        }
        verified.retain(|segment| segment.length > 0);
        verified
    }
}

/// Checks that the loader chose the engine for images that a machine has loaded.
pub fn check_engine(machine: &Machine, images: &[Purpose], engine: EngineKind) -> Result<()> {
    let log = machine.log();
    for &purpose in images {
        expect_engine(&log, purpose, engine).with_context(|| log.tail())?;
    }
    Ok(())
}
