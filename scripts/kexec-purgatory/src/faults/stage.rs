// SPDX-License-Identifier: GPL-2.0-only

//! Guests with an image, stopped at the moments when it is damaged.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::image::{Loaded, PAGE, Pages, Segment};
use crate::abi::RegionKind;
use crate::checksum;
use crate::engines::EngineKind;
use crate::guest::{self, EVERY_KERNEL, Guest, Purpose};
use crate::kernel::Built;
use crate::machine::gdb::Space;
use crate::machine::symbols::Symbols;
use crate::machine::{Boot, Machine, Template};
use crate::processors;
use crate::progress::Step;

/// Offsets of `head` and `start` in `struct kimage` of include/linux/kexec.h.
const KIMAGE_HEAD: u64 = 0;
const KIMAGE_START: u64 = 24;

/// Bytes of the record at the end of the segment with `boot_params`.
const RECORD: u64 = 336;

/// When an image is damaged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stage {
    /// It is loaded, and the kernel does other work.
    AtRest,
    /// At the entry of `machine_kexec()`; the pages of a normal image are all over memory.
    BeforeCopy,
    /// At the purgatory's first instruction; everything is in its place.
    BeforeCheck,
}

/// An image, and when it is damaged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    pub purpose: Purpose,
    pub stage: Stage,
}

impl Scenario {
    pub const CRASH_AT_REST: Self = Self::new(Purpose::Crash, Stage::AtRest);
    pub const NORMAL_AT_REST: Self = Self::new(Purpose::Enter, Stage::AtRest);
    pub const CRASH_BEFORE_CHECK: Self = Self::new(Purpose::Crash, Stage::BeforeCheck);
    pub const NORMAL_BEFORE_COPY: Self = Self::new(Purpose::Enter, Stage::BeforeCopy);
    pub const NORMAL_BEFORE_CHECK: Self = Self::new(Purpose::Enter, Stage::BeforeCheck);

    /// The scenarios that the running kernel checks on request.
    pub const AT_REST: [Self; 2] = [Self::CRASH_AT_REST, Self::NORMAL_AT_REST];

    /// The scenarios with faults that the purgatory must find. A normal image at rest is the same
    /// as before the copy; a crash image is not copied.
    pub const ALL: [Self; 4] = [
        Self::CRASH_AT_REST,
        Self::NORMAL_BEFORE_COPY,
        Self::CRASH_BEFORE_CHECK,
        Self::NORMAL_BEFORE_CHECK,
    ];

    const fn new(purpose: Purpose, stage: Stage) -> Self {
        Self { purpose, stage }
    }

    pub fn name(self) -> String {
        let stage = match self.stage {
            Stage::AtRest => "at rest",
            Stage::BeforeCopy => "before the copy",
            Stage::BeforeCheck => "before the check",
        };
        format!("{} image {stage}", self.purpose.name())
    }
}

impl Purpose {
    /// Words for the guest's console: the one that loads such an image, and the one that enters it.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Enter => ("load-normal", "enter"),
            Self::Crash => ("load-crash", "crash"),
        }
    }

    fn loaded(self) -> String {
        format!("guest: loaded {}", self.name())
    }

    /// The word for the guest's console that makes the kernel check such an image.
    pub fn check_word(self) -> &'static str {
        match self {
            Self::Enter => "check-normal",
            Self::Crash => "check-crash",
        }
    }
}

/// A stopped guest with an image.
pub struct Scene {
    pub scenario: Scenario,
    pub template: Template,
    pub image: Loaded,
    /// The address that the kernel enters, `kimage::start`; 0 while it is not known.
    pub start: u64,
    /// Where the image's pages are in this scene.
    pub pages: Pages,
}

impl Scene {
    /// Reads memory by its address after the copy.
    pub fn read(&self, address: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        for (part, source) in self.pieces(address, length) {
            bytes.extend(self.template.read(source, part)?);
        }
        Ok(bytes)
    }

    /// Replaces memory of a machine made of this scene, by its address after the copy.
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

/// What all guests have in common.
pub struct Setting<'a> {
    /// The directory of the files with memory and states.
    pub folder: &'a Path,
    pub kernel: &'a Built,
    pub symbols: Symbols,
    pub guest: &'a Guest,
    /// What the next kernel's `/init` prints if the image reached it intact.
    pub arrival: String,
}

impl<'a> Setting<'a> {
    pub fn new(folder: &'a Path, kernel: &'a Built, guest: &'a Guest) -> Result<Self> {
        let payload = guest::small_payload();
        Ok(Self {
            folder,
            kernel,
            arrival: format!(
                "guest: payload {} {}",
                payload.len(),
                checksum::of_bytes(&payload)
            ),
            symbols: Symbols::read(&kernel.vmlinux())?,
            guest,
        })
    }

    /// Boots a guest until it takes commands.
    pub fn boot(&self, name: &str, cpu: &str) -> Result<Template> {
        let memory = self.folder.join(name);
        let cmdline = format!(
            "{EVERY_KERNEL} earlyprintk=ttyS0,115200 {}",
            self.guest.arguments
        );
        let boot = Boot {
            kernel: self.kernel.image(),
            initramfs: &self.guest.initramfs,
            cmdline: &cmdline,
        };
        let mut machine = Machine::boot(cpu, &memory, &boot)?;
        machine.run_until("guest: ready")?;
        machine.save(&memory)
    }

    /// Makes a stopped guest that takes commands load an image, then stops it.
    pub fn load(&self, machine: &mut Machine, purpose: Purpose) -> Result<Loaded> {
        let (word, _) = purpose.words();
        machine.type_line(word)?;
        machine.run_until(&purpose.loaded())?;
        Loaded::parse(&machine.log(), &purpose.loaded())
    }

    /// Makes a stopped guest enter its image, and stops it at the entry of `machine_kexec()`.
    /// Returns `kimage::head` and `kimage::start`.
    pub fn leave(&self, machine: &mut Machine, purpose: Purpose) -> Result<(u64, u64)> {
        let (_, word) = purpose.words();
        machine.type_line(word)?;
        machine.run_to(self.symbols.address("machine_kexec")?)?;
        let image = machine.gdb.registers()?.get("rdi")?;
        let mut field = |offset| {
            let bytes = machine.gdb.read(Space::Virtual, image + offset, 8)?;
            Ok::<_, anyhow::Error>(bytes.try_into().map_or(0, u64::from_le_bytes))
        };
        Ok((field(KIMAGE_HEAD)?, field(KIMAGE_START)?))
    }

    /// Makes the scenes of one engine.
    pub fn scenes(&self, engine: EngineKind) -> Result<Scenes> {
        let name = engine.name();
        let mut step = Step::start(format!("prepare guests, engine {name}"));
        let memory = |which: &str| self.folder.join(format!("{name}-{which}"));
        let processor = processors::that_picks(engine).context("QEMU has no such processor")?;
        let ready = self.boot(name, &processor)?;

        step.line("load the images");
        let mut machine = ready.copy(&memory("loaded"))?;
        let crash = self.load(&mut machine, Purpose::Crash)?;
        let normal = self.load(&mut machine, Purpose::Enter)?;
        let head = self.loaded_head(&mut machine)?;
        check_engine(&machine, &[Purpose::Crash, Purpose::Enter], engine)?;
        let at_rest = Scene {
            scenario: Scenario::CRASH_AT_REST,
            template: machine.save(&memory("loaded"))?,
            image: crash.clone(),
            start: 0,
            pages: Pages::default(),
        };

        let normal_at_rest = self.normal_at_rest(
            at_rest.template.copy(&memory("at-rest"))?,
            &memory("at-rest"),
            normal.clone(),
            head,
        )?;

        step.line("crash");
        let mut machine = at_rest.template.copy(&memory("crash"))?;
        let (_, start) = self.leave(&mut machine, Purpose::Crash)?;
        machine.run_to(start)?;
        let crashed = Scene {
            scenario: Scenario::CRASH_BEFORE_CHECK,
            template: machine.save(&memory("crash"))?,
            image: crash,
            start,
            pages: Pages::default(),
        };

        step.line("kexec");
        let machine = at_rest.template.copy(&memory("kexec"))?;
        let before_copy = self.before_copy(machine, &memory("kexec"), normal)?;
        let mut machine = before_copy.template.copy(&memory("normal"))?;
        machine.run_to(before_copy.start)?;
        let copied = Scene {
            scenario: Scenario::NORMAL_BEFORE_CHECK,
            template: machine.save(&memory("normal"))?,
            image: before_copy.image.clone(),
            start: before_copy.start,
            pages: Pages::default(),
        };
        step.done();
        Ok(Scenes {
            name,
            ready,
            scenes: vec![at_rest, normal_at_rest, crashed, before_copy, copied],
        })
    }

    /// Makes the scene of a normal image that is entered directly.
    pub fn direct(&self) -> Result<Scenes> {
        let step = Step::start("prepare a guest, direct");
        let memory = |which: &str| self.folder.join(format!("direct-{which}"));
        let ready = self.boot("direct", DIRECT_CPU)?;
        let mut machine = ready.copy(&memory("loaded"))?;
        let image = self.load(&mut machine, Purpose::Enter)?;
        let head = self.loaded_head(&mut machine)?;
        let at_rest = self.normal_at_rest(machine, &memory("loaded"), image.clone(), head)?;
        let machine = at_rest.template.copy(&memory("kexec"))?;
        let scene = self.before_copy(machine, &memory("kexec"), image)?;
        ensure!(
            scene.start == scene.image.entry()?,
            "the next kernel is not entered directly, but {:#x}",
            scene.start
        );
        step.done();
        Ok(Scenes {
            name: NO_ENGINE,
            ready,
            scenes: vec![at_rest, scene],
        })
    }

    /// `kimage::head` of the normal image that a stopped guest has loaded.
    fn loaded_head(&self, machine: &mut Machine) -> Result<u64> {
        let pointer = self.symbols.address("kexec_image")?;
        let mut word = |address| {
            let bytes = machine.gdb.read(Space::Virtual, address, 8)?;
            Ok::<_, anyhow::Error>(bytes.try_into().map_or(0, u64::from_le_bytes))
        };
        let image = word(pointer)?;
        word(image + KIMAGE_HEAD)
    }

    /// Makes the scene of a stopped guest with a normal image. The guest's memory is in `memory`,
    /// and the image's list of pages begins with `head`.
    fn normal_at_rest(
        &self,
        machine: Machine,
        memory: &Path,
        image: Loaded,
        head: u64,
    ) -> Result<Scene> {
        let template = machine.save(memory)?;
        let pages = pages(&template, head)?;
        Ok(Scene {
            scenario: Scenario::NORMAL_AT_REST,
            template,
            image,
            start: 0,
            pages,
        })
    }

    /// Makes a stopped guest with a normal image, whose memory is in `memory`, enter it, and stops
    /// it before the copy.
    fn before_copy(&self, mut machine: Machine, memory: &Path, image: Loaded) -> Result<Scene> {
        let (head, start) = self.leave(&mut machine, Purpose::Enter)?;
        let template = machine.save(memory)?;
        let pages = pages(&template, head)?;
        Ok(Scene {
            scenario: Scenario::NORMAL_BEFORE_COPY,
            template,
            image,
            start,
            pages,
        })
    }

    /// The segments of an image that are verified, without the record after `boot_params`, which
    /// changes until the next kernel is entered.
    pub fn regions(&self, image: &Loaded) -> Vec<Segment> {
        let mut verified: Vec<Segment> = image.segments.clone();
        for segment in &mut verified {
            if segment.kind == RegionKind::BootParams {
                segment.length -= RECORD;
            }
        }
        verified.retain(|segment| segment.length > 0);
        verified
    }
}

/// Where the pages of a normal image are, from its `kimage::head`.
fn pages(template: &Template, head: u64) -> Result<Pages> {
    let pages = Pages::walk(head, |address| {
        let bytes = template.read(address, 8)?;
        Ok(bytes.try_into().map_or(0, u64::from_le_bytes))
    })?;
    ensure!(!pages.is_empty(), "the normal image is not copied");
    Ok(pages)
}

/// The processor of a guest whose image no engine verifies.
pub const DIRECT_CPU: &str = processors::MAX;

/// Replaces the engine's name where there is none.
pub const NO_ENGINE: &str = "none";

/// The scenes of one engine.
pub struct Scenes {
    /// The engine's name.
    pub name: &'static str,
    /// A guest that has loaded nothing yet.
    pub ready: Template,
    scenes: Vec<Scene>,
}

impl Scenes {
    pub fn get(&self, scenario: Scenario) -> Result<&Scene> {
        self.scenes
            .iter()
            .find(|scene| scene.scenario == scenario)
            .context("no such scene")
    }
}

/// Checks that the loader chose the engine for images that a machine has loaded.
pub fn check_engine(machine: &Machine, images: &[Purpose], engine: EngineKind) -> Result<()> {
    let log = machine.log();
    let name = format!(" bytes to verify, engine {}", engine.name());
    for purpose in images {
        let line = format!("kexec: {} image: ", purpose.name());
        let said = log
            .lines()
            .filter_map(|text| text.strip_prefix(&line))
            .any(|text| text.ends_with(&name));
        ensure!(
            said,
            "the {} image is not verified with {}:\n{}",
            purpose.name(),
            engine.name(),
            log.tail()
        );
    }
    Ok(())
}
