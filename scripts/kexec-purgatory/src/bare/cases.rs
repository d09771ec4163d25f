// SPDX-License-Identifier: GPL-2.0-only

//! What the purgatory must do on a machine without a kernel, case by case.

mod console;
mod damaged;
mod digests;
mod fallback;
mod instructions;
mod own;
mod record;
mod reset;

use anyhow::{Context, Result, ensure};

use super::bare_machine::Bare;
use super::expect::{
    cycles, ended, entered_by, enters, message, mismatch, printed, refused, refuses,
};
use super::image::{CR0_MP, CR4_OSXSAVE, Image, PURGATORY};
use super::run_result::Ending;
use crate::abi::{LEAF_SIZE, REGIONS_MAX};
use crate::engines::EngineKind;
use crate::params::region_digest;
use crate::processors::{MAX, in_qemu, qemu_engines, that_runs_only};

type Run = dyn Fn(&Bare) -> Result<()>;

/// What the purgatory must do, and a name for reports.
pub struct Case {
    pub name: String,
    run: Box<Run>,
}

impl Case {
    fn new(name: impl Into<String>, run: impl Fn(&Bare) -> Result<()> + 'static) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }

    pub fn run(&self, bare: &Bare) -> Result<()> {
        (self.run)(bare)
    }
}

/// Every case. Those that most mutants fail come first.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::new("sound-image", sound_image),
        Case::new("every-region-damaged", every_region_damaged),
        Case::new("one-region-damaged", one_region_damaged),
        Case::new("one-byte-damaged", one_byte_damaged),
        Case::new("every-byte-of-the-digest", every_byte_of_the_digest),
        Case::new("damage-between-regions", damage_between_regions),
    ];
    for &kind in EngineKind::ALL {
        let name = format!("engine/{}", kind.name());
        cases.push(Case::new(name, move |bare| engine(bare, kind)));
    }
    cases.extend([
        Case::new("engines-differ", engines_differ),
        Case::new("xcr0-of-the-previous-kernel", xcr0_of_the_previous_kernel),
        Case::new("stack", stack),
        Case::new("own-code-damaged", own::code_damaged),
        Case::new("parameters-damaged", own::parameters_damaged),
        Case::new("parameters-forged", own::parameters_forged),
        Case::new("damaged-console", damaged::console),
        Case::new("damaged-reset", damaged::reset),
        Case::new("overwritten-after-the-check", damaged::after_the_check),
        Case::new("record", record::stamps),
        Case::new("record-without-io", record::without_io),
        Case::new("record-forged", record::forged),
        Case::new("crash-image", fallback::entered),
        Case::new(
            "crash-image-parameters-damaged",
            fallback::parameters_damaged,
        ),
        Case::new("crash-image-damaged", fallback::damaged),
        Case::new("crash-image-elsewhere", fallback::elsewhere),
        Case::new("handlers-of-exceptions", handlers),
        Case::new("no-console", console::none),
        Case::new("console-in-memory", console::in_memory),
        Case::new("console-stuck", console::stuck),
        Case::new("intercepted-instructions", instructions::intercepted),
        Case::new("reset-at-once", reset::at_once),
        Case::new("reset-after-seconds", reset::after_seconds),
        Case::new("reset-register", reset::register),
        Case::new("reset-register-in-pci", reset::register_in_pci),
        Case::new("reset-order", reset::order),
        Case::new("reset-without-io", reset::without_io),
        Case::new("tested-code", digests::same_code),
    ]);
    // The other engines are tested on the host, where processors for them are available.
    for &kind in EngineKind::ALL {
        if !in_qemu(kind) {
            let name = |case: &str| format!("{}/{case}", kind.name());
            cases.push(Case::new(name("leaves"), move |bare| {
                digests::leaves(bare, kind)
            }));
            cases.push(Case::new(name("lengths"), move |bare| {
                digests::lengths(bare, kind)
            }));
        }
    }
    cases
}

fn sound_image(bare: &Bare) -> Result<()> {
    let image = bare.image(4);
    printed(&enters(bare, &image)?, "")
}

fn every_region_damaged(bare: &Bare) -> Result<()> {
    let mut image = bare.image(REGIONS_MAX - 2);
    let mut expected = String::new();
    for region in 0..image.regions.len() {
        expected += &mismatch(&mut image, region, 0);
    }
    refuses(bare, &image, &expected)
}

fn one_region_damaged(bare: &Bare) -> Result<()> {
    for region in [0, REGIONS_MAX / 2, REGIONS_MAX - 1] {
        let mut image = bare.image(REGIONS_MAX - 2);
        let expected = mismatch(&mut image, region, 0);
        refuses(bare, &image, &expected).with_context(|| format!("damage in region {region}"))?;
    }
    Ok(())
}

fn one_byte_damaged(bare: &Bare) -> Result<()> {
    let last = bare.image(0).regions[1].bytes.len() - 1;
    for byte in [LEAF_SIZE - 1, LEAF_SIZE, last] {
        let mut image = bare.image(0);
        let expected = mismatch(&mut image, 1, byte);
        refuses(bare, &image, &expected)
            .with_context(|| format!("damage in byte {byte} of the kernel"))?;
    }
    Ok(())
}

/// Each region's recorded digest is wrong in one byte, a different byte for each region.
fn every_byte_of_the_digest(bare: &Bare) -> Result<()> {
    for first in [0, REGIONS_MAX] {
        let mut image = bare.image(REGIONS_MAX - 2);
        let mut expected = String::new();
        let mut params = image.params();
        for (i, region) in image.regions.iter().enumerate() {
            let found = region_digest(&region.bytes);
            let recorded = &mut params.regions[i].digest;
            recorded[first + i] ^= 1;
            expected += &message(region, recorded, &found);
        }
        image.forge(|forged| *forged = params);
        refuses(bare, &image, &expected).with_context(|| format!("bytes from {first} on"))?;
    }
    Ok(())
}

/// Memory outside of regions is not verified: the tail of a segment is scratch space.
fn damage_between_regions(bare: &Bare) -> Result<()> {
    let mut image = bare.image(2);
    for region in &image.regions {
        let end = region.start + region.bytes.len() as u64;
        image.damage.push((end, vec![0xa5; 64]));
        image.damage.push((region.start - 64, vec![0xa5; 64]));
    }
    printed(&enters(bare, &image)?, "")
}

/// An engine on a processor that supports no other one, so that no other one can run in its place.
/// Engines that QEMU cannot emulate run in Bochs.
fn engine(bare: &Bare, engine: EngineKind) -> Result<()> {
    let processor = that_runs_only(engine);
    let run = |image: &Image| match &processor {
        Some(processor) => bare.run(processor, image),
        None => bare.run_in_bochs(image),
    };
    let mut image = bare.image(3);
    image.engine = engine;
    image.debug = true;
    let sound = run(&image)?;
    cycles(&sound, &image)?;
    entered_by(&sound, &image, PURGATORY)?;

    // In each lane, and in leaves that come after those of all lanes.
    let lanes = engine.lanes();
    for leaf in (0..lanes).chain([lanes, lanes + 3, lanes + 4]) {
        let mut image = bare.image(3);
        image.engine = engine;
        let expected = mismatch(&mut image, 2, leaf * LEAF_SIZE);
        refused(&run(&image)?, &image, &expected)
            .with_context(|| format!("damage in leaf {leaf}"))?;
    }
    Ok(())
}

/// Each engine uses the instructions that its name says: their numbers per byte differ widely. The
/// machine's time stamp counter counts instructions here.
fn engines_differ(bare: &Bare) -> Result<()> {
    let mut counts = Vec::new();
    for engine in qemu_engines() {
        let mut image = bare.image(1);
        image.engine = engine;
        image.debug = true;
        counts.push((engine, cycles(&bare.run(MAX, &image)?, &image)?));
    }
    // Any two counts differ by more than a tenth, unless the engines use the same instructions.
    counts.sort_by_key(|(_, count)| *count);
    ensure!(
        counts.is_sorted_by(|(one, fewer), (other, more)| {
            one.needs() == other.needs() || *more > fewer + fewer / 10
        }),
        "instructions of the engines: {counts:?}"
    );
    let (most, scalar) = counts[counts.len() - 1];
    let (_, second) = counts[counts.len() - 2];
    ensure!(
        most == EngineKind::Scalar && scalar > 3 * second,
        "instructions of the engines: {counts:?}"
    );
    Ok(())
}

fn xcr0_of_the_previous_kernel(bare: &Bare) -> Result<()> {
    const X87: u64 = 1;
    const SSE: u64 = 2;

    for xcr0 in [X87, X87 | SSE] {
        for cr4 in [0, CR4_OSXSAVE] {
            let mut image = bare.image(0);
            image.engine = EngineKind::Avx2X8;
            image.xcr0 = xcr0;
            image.cr0 |= CR0_MP;
            image.cr4 |= cr4;
            let run =
                enters(bare, &image).with_context(|| format!("XCR0 {xcr0:#x}, CR4 {cr4:#x}"))?;
            printed(&run, "")?;
        }
    }
    Ok(())
}

/// Every engine leaves a part of the stack unused, so that nothing below it is overwritten.
fn stack(bare: &Bare) -> Result<()> {
    const UNUSED: usize = 1024;

    let bottom = PURGATORY + bare.purgatory.bytes.len().next_multiple_of(16) as u64;
    for engine in qemu_engines() {
        let mut image = bare.image(REGIONS_MAX - 2);
        image.engine = engine;
        mismatch(&mut image, 0, 0);
        let run = bare.run(MAX, &image)?;
        ensure!(
            run.memory(bottom, UNUSED)?.iter().all(|byte| *byte == 0),
            "{} leaves less than {UNUSED} bytes of the stack",
            engine.name()
        );
    }
    Ok(())
}

/// The previous kernel's exception handlers halt, which is right if `panic=` asks for no reset. If
/// it asks for one, an exception resets the machine. The next kernel finds the handlers restored.
fn handlers(bare: &Bare) -> Result<()> {
    const UNMAPPED: u64 = 1 << 40;

    for (timeout, no_io, ending) in [
        (0, false, Ending::Halted),
        (-1, false, Ending::TripleFault),
        (3, false, Ending::TripleFault),
        (0, true, Ending::TripleFault),
    ] {
        let mut image = bare.image(1);
        image.handlers = true;
        image.timeout = timeout;
        image.no_io = no_io;
        printed(&enters(bare, &image)?, "")?;

        image.forge(|params| params.regions[2].start = UNMAPPED);
        let run = bare.run(MAX, &image)?;
        printed(&run, "")?;
        ended(&run, ending).with_context(|| format!("panic={timeout}, no I/O: {no_io}"))?;
    }
    Ok(())
}
