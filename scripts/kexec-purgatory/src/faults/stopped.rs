// SPDX-License-Identifier: GPL-2.0-only

//! Guests with an image, stopped at the moments when it is damaged.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::damage_point::DamagePoint;
use crate::engines::EngineKind;
use crate::guest::Purpose;
use crate::kexec::work;
use crate::machine::gdb::Space;
use crate::machine::guest_setup::{DIRECT_CPU, GuestSetup, check_engine};
use crate::machine::loaded::{Loaded, PAGE, Pages};
use crate::machine::{Machine, Template};
use crate::processors;
use crate::progress::Step;

/// The regions of a normal image with kexec handover: kernel, initramfs, `boot_params`, and the list
/// of the scratch areas.
const REGIONS_WITH_HANDOVER: u32 = 4;

/// Replaces the engine's name where kexec handover is on.
pub const HANDOVER: &str = "handover";

/// Replaces the engine's name where the crash kernel uses CMA.
pub const CRASH_CMA: &str = "crash memory in CMA";

/// Replaces the engine's name where there is none.
pub const NO_ENGINE: &str = "none";

/// A stopped guest with an image.
pub struct StoppedGuest {
    pub point: DamagePoint,
    pub template: Template,
    pub image: Loaded,
    /// The address that the kernel enters, `kimage::start`; 0 while it is not known.
    pub start: u64,
    /// Where the image's pages are now.
    pub pages: Pages,
}

impl StoppedGuest {
    /// Saves a stopped guest, whose memory is in `memory`. `start` is 0 while it is not known.
    /// `head` begins the list of the pages of an image that is yet to be copied.
    fn new(
        point: DamagePoint,
        machine: Machine,
        memory: &Path,
        image: &Loaded,
        start: u64,
        head: Option<u64>,
    ) -> Result<Self> {
        let template = machine.save(memory)?;
        let pages = match head {
            Some(head) => pages(&template, head)?,
            None => Pages::default(),
        };
        Ok(Self {
            point,
            template,
            image: image.clone(),
            start,
            pages,
        })
    }

    /// Reads memory by its address after the copy.
    pub fn read(&self, address: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        for (part, source) in self.pieces(address, length) {
            bytes.extend(self.template.read(source, part)?);
        }
        Ok(bytes)
    }

    /// Replaces memory of a machine made of this guest, by its address after the copy.
    pub fn write(&self, machine: &mut Machine, address: u64, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        for (part, source) in self.pieces(address, bytes.len()) {
            let (piece, more) = rest.split_at(part);
            machine.gdb.write(Space::Physical, source, piece)?;
            rest = more;
        }
        Ok(())
    }

    /// Splits a range at page boundaries. Returns lengths, and addresses before the copy.
    fn pieces(&self, address: u64, length: usize) -> Vec<(usize, u64)> {
        let (mut at, end) = (address, address + length as u64);
        let mut pieces = Vec::new();
        while at < end {
            let next = (at / PAGE + 1) * PAGE;
            pieces.push(((next.min(end) - at) as usize, self.pages.source(at)));
            at = next;
        }
        pieces
    }
}

/// The stopped guests of one engine.
pub struct StoppedGuests {
    /// The engine's name.
    pub name: &'static str,
    /// A guest that has loaded nothing yet.
    pub ready: Template,
    guests: Vec<StoppedGuest>,
}

impl StoppedGuests {
    /// Boots guests whose loader picks this engine, and stops them at every damage point.
    pub fn prepare(setup: &GuestSetup<'_>, engine: EngineKind) -> Result<StoppedGuests> {
        let name = engine.name();
        let mut step = Step::start(format!("prepare guests, engine {name}"));
        let memory = |which: &str| setup.folder.join(format!("{name}-{which}"));
        let processor = processors::that_picks(engine).context("QEMU has no such processor")?;
        let ready = setup.boot(name, &processor)?;

        step.line("load the images");
        let mut machine = ready.copy(&memory("loaded"))?;
        let crash = setup.load(&mut machine, Purpose::Crash)?;
        let normal = setup.load(&mut machine, Purpose::Enter)?;
        let head = setup.loaded_head(&mut machine)?;
        check_engine(&machine, &[Purpose::Crash, Purpose::Enter], engine)?;
        let point = DamagePoint::CRASH_AT_REST;
        let at_rest = StoppedGuest::new(point, machine, &memory("loaded"), &crash, 0, None)?;

        let point = DamagePoint::NORMAL_AT_REST;
        let at = memory("at-rest");
        let machine = at_rest.template.copy(&at)?;
        let normal_at_rest = StoppedGuest::new(point, machine, &at, &normal, 0, Some(head))?;

        step.line("crash");
        let mut machine = at_rest.template.copy(&memory("crash"))?;
        let (_, start) = setup.leave(&mut machine, Purpose::Crash)?;
        machine.run_to(start)?;
        let point = DamagePoint::CRASH_BEFORE_CHECK;
        let crashed = StoppedGuest::new(point, machine, &memory("crash"), &crash, start, None)?;

        step.line("kexec");
        let machine = at_rest.template.copy(&memory("kexec"))?;
        let before_copy = before_copy(setup, machine, &memory("kexec"), &normal)?;
        let copied = copied(&before_copy, &memory("normal"))?;
        step.done();
        Ok(StoppedGuests {
            name,
            ready,
            guests: vec![at_rest, normal_at_rest, crashed, before_copy, copied],
        })
    }

    /// Boots a guest with kexec handover whose loader picks this engine, and stops it before the copy
    /// of a normal image, and before its check.
    pub fn handover(setup: &GuestSetup<'_>, engine: EngineKind) -> Result<StoppedGuests> {
        let step = Step::start("prepare a guest, handover");
        let memory = |which: &str| setup.folder.join(format!("handover-{which}"));
        let processor = processors::that_picks(engine).context("QEMU has no such processor")?;
        let ready = setup.boot(HANDOVER, &processor)?;
        let mut machine = ready.copy(&memory("kexec"))?;
        let image = setup.load(&mut machine, Purpose::Enter)?;
        check_engine(&machine, &[Purpose::Enter], engine)?;
        let regions = work(&machine.log(), Purpose::Enter).map(|work| work.regions);
        ensure!(
            regions == Some(REGIONS_WITH_HANDOVER),
            "the image has {regions:?} regions, as if handover were off"
        );
        let before_copy = before_copy(setup, machine, &memory("kexec"), &image)?;
        let copied = copied(&before_copy, &memory("normal"))?;
        step.done();
        Ok(StoppedGuests {
            name: HANDOVER,
            ready,
            guests: vec![before_copy, copied],
        })
    }

    /// Boots a guest with `crashkernel=,cma` whose loader picks this engine, and stops it with both
    /// images before the copy of the normal one.
    pub fn crash_cma(setup: &GuestSetup<'_>, engine: EngineKind) -> Result<StoppedGuests> {
        let step = Step::start("prepare a guest, crash memory in CMA");
        let memory = |which: &str| setup.folder.join(format!("crash-cma-{which}"));
        let processor = processors::that_picks(engine).context("QEMU has no such processor")?;
        let ready = setup.boot("crash-cma", &processor)?;
        let mut machine = ready.copy(&memory("kexec"))?;
        setup.load(&mut machine, Purpose::Crash)?;
        let image = setup.load(&mut machine, Purpose::Enter)?;
        check_engine(&machine, &[Purpose::Crash, Purpose::Enter], engine)?;
        let before_copy = before_copy(setup, machine, &memory("kexec"), &image)?;
        let count = setup.symbols.physical("crashk_cma_cnt")?;
        let ranges = before_copy.template.read(count, size_of::<u32>())?;
        ensure!(
            ranges != 0u32.to_le_bytes(),
            "crashkernel=,cma reserved no memory"
        );
        step.done();
        Ok(StoppedGuests {
            name: CRASH_CMA,
            ready,
            guests: vec![before_copy],
        })
    }

    /// Boots a guest that enters a normal image directly, and stops it at rest and before the copy.
    pub fn direct(setup: &GuestSetup<'_>) -> Result<StoppedGuests> {
        let step = Step::start("prepare a guest, direct");
        let memory = |which: &str| setup.folder.join(format!("direct-{which}"));
        let ready = setup.boot("direct", DIRECT_CPU)?;
        let mut machine = ready.copy(&memory("loaded"))?;
        let image = setup.load(&mut machine, Purpose::Enter)?;
        let head = setup.loaded_head(&mut machine)?;
        let point = DamagePoint::NORMAL_AT_REST;
        let at_rest = StoppedGuest::new(point, machine, &memory("loaded"), &image, 0, Some(head))?;
        let machine = at_rest.template.copy(&memory("kexec"))?;
        let guest = before_copy(setup, machine, &memory("kexec"), &image)?;
        ensure!(
            guest.start == guest.image.entry()?,
            "the next kernel is not entered directly, but {:#x}",
            guest.start
        );
        step.done();
        Ok(StoppedGuests {
            name: NO_ENGINE,
            ready,
            guests: vec![at_rest, guest],
        })
    }

    pub fn get(&self, point: DamagePoint) -> Result<&StoppedGuest> {
        self.guests
            .iter()
            .find(|guest| guest.point == point)
            .context("no guest was stopped there")
    }
}

/// Makes a stopped guest with a normal image, whose memory is in `memory`, enter it, and stops
/// it before the copy.
fn before_copy(
    setup: &GuestSetup<'_>,
    mut machine: Machine,
    memory: &Path,
    image: &Loaded,
) -> Result<StoppedGuest> {
    let (head, start) = setup.leave(&mut machine, Purpose::Enter)?;
    let point = DamagePoint::NORMAL_BEFORE_COPY;
    StoppedGuest::new(point, machine, memory, image, start, Some(head))
}

/// Makes a guest that is stopped before the copy copy its image, and stops it before the check.
fn copied(before_copy: &StoppedGuest, memory: &Path) -> Result<StoppedGuest> {
    let mut machine = before_copy.template.copy(memory)?;
    let start = before_copy.start;
    machine.run_to(start)?;
    let point = DamagePoint::NORMAL_BEFORE_CHECK;
    StoppedGuest::new(point, machine, memory, &before_copy.image, start, None)
}

/// Where the pages of a normal image are, from its `kimage::head`.
fn pages(template: &Template, head: u64) -> Result<Pages> {
    let pages = Pages::walk(head, |address| {
        let bytes = template.read(address, size_of::<u64>())?;
        Ok(u64::from_le_bytes(bytes[..].try_into()?))
    })?;
    ensure!(!pages.is_empty(), "the normal image is not copied");
    Ok(pages)
}
