// SPDX-License-Identifier: GPL-2.0-only

//! What the purgatory must print, how a run must end, and in which state the next kernel is
//! entered.

use anyhow::{Context, Result, ensure};

use super::bare_machine::Bare;
use super::image::{BOOT_PARAMS, Content, Image, PURGATORY};
use super::run_result::{Ending, Run};
use crate::abi::Digest;
use crate::expected;
use crate::params::region_digest;
use crate::processors::MAX;

/// RFLAGS.
const INTERRUPTS: u64 = 1 << 9;
const DIRECTION: u64 = 1 << 10;

/// The descriptors that the boot protocol requires: 64-bit code, flat data, both accessed.
const CODE: u64 = 0x00af_9b00_0000_ffff;
const DATA: u64 = 0x00cf_9300_0000_ffff;

/// Flips a bit of a region, and returns what the purgatory must print about that.
pub fn mismatch(image: &mut Image, region: usize, byte: usize) -> String {
    let region = &image.regions[region];
    let mut damaged = region.bytes.clone();
    damaged[byte] ^= 0x10;
    let address = region.start + byte as u64;
    image.damage.push((address, vec![damaged[byte]]));
    message(
        region,
        &region_digest(&region.bytes),
        &region_digest(&damaged),
    )
}

/// What the purgatory prints about a region whose digest is not the recorded one.
pub fn message(region: &Content, recorded: &Digest, found: &Digest) -> String {
    let shortened = |digest: &Digest| hex::encode(&digest[..8]);
    format!(
        "purgatory: MISMATCH in {} {:#x}-{:#x}: expected {}, found {}\n",
        expected::region(region.kind),
        region.start,
        region.start + region.bytes.len() as u64 - 1,
        shortened(recorded),
        shortened(found),
    )
}

pub fn fault(message: &str) -> String {
    format!("purgatory: not entering the next kernel: {message}\n")
}

/// What the purgatory prints last if it does not enter the next kernel, and how the machine then
/// ends: both as `panic=` says.
pub fn end(image: &Image) -> (String, Ending) {
    let (last, ending) = match image.timeout {
        0 => ("stopped".to_owned(), Ending::Halted),
        ..0 => ("resetting the machine".to_owned(), Ending::Reset),
        seconds => (
            format!("resetting the machine in {seconds} seconds"),
            Ending::Reset,
        ),
    };
    (format!("purgatory: {last}\n"), ending)
}

/// Checks that the purgatory printed exactly this, and then did what `panic=` says.
pub fn refused(run: &Run, image: &Image, expected: &str) -> Result<()> {
    let (last, ending) = end(image);
    printed(run, &format!("{expected}{last}"))?;
    ended(run, ending)
}

/// Runs an image in QEMU, and checks as [`refused`] does that the next kernel was not entered.
pub fn refuses(bare: &Bare, image: &Image, expected: &str) -> Result<()> {
    refused(&bare.run(MAX, image)?, image, expected)
}

pub fn printed(run: &Run, expected: &str) -> Result<()> {
    let expected = expected.replace('\n', "\r\n");
    ensure!(
        run.printed == expected,
        "printed, ending {:?}:\n{}\nin place of:\n{expected}",
        run.ending,
        run.printed
    );
    Ok(())
}

pub fn ended(run: &Run, expected: Ending) -> Result<()> {
    ensure!(
        run.ending == expected,
        "ended {:?}, not {expected:?}; printed:\n{}",
        run.ending,
        run.printed
    );
    Ok(())
}

/// The cycles that a run reports. Fails if the purgatory printed anything else.
pub fn cycles(run: &Run, image: &Image) -> Result<u64> {
    let bytes: usize = image.regions.iter().map(|region| region.bytes.len()).sum();
    let expected = format!(
        "purgatory: verified {} regions, {bytes} bytes, engine {}, ",
        image.regions.len(),
        image.engine.name()
    );
    run.printed
        .strip_prefix(&expected)
        .and_then(|rest| rest.strip_suffix(" cycles\r\n")?.parse().ok())
        .with_context(|| {
            format!(
                "ended {:?}, printed {:?}, not {expected:?}",
                run.ending, run.printed
            )
        })
}

/// Runs an image in QEMU, and checks as [`entered_by`] does that its purgatory entered the next
/// kernel. Returns the run.
pub fn enters(bare: &Bare, image: &Image) -> Result<Run> {
    let run = bare.run(MAX, image)?;
    entered_by(&run, image, PURGATORY)?;
    Ok(run)
}

/// Checks that the purgatory at `purgatory` entered the next kernel, in the state that the boot
/// protocol requires and with the control registers that the purgatory was entered with.
pub fn entered_by(run: &Run, image: &Image, purgatory: u64) -> Result<()> {
    ended(run, Ending::Entered)?;
    let state = &run.state;
    let stack = purgatory..=purgatory + image.purgatory.mem_size;
    for (name, value) in state.general {
        let sound = match name {
            "rsi" => value == BOOT_PARAMS,
            "rsp" => stack.contains(&value),
            _ => value == 0,
        };
        ensure!(sound, "{name} is {value:#x}");
    }
    let flags = state.rflags;
    ensure!(
        flags & (INTERRUPTS | DIRECTION) == 0,
        "RFLAGS is {flags:#x}"
    );
    for (name, found, expected) in [
        ("CR0", state.cr0, image.cr0),
        ("CR3", state.cr3, state.cr3_before),
        ("CR4", state.cr4, image.cr4),
        ("EFER", state.efer, state.efer_before),
        // The machine starts with the bit for the x87.
        ("XCR0", state.xcr0 & !1, image.xcr0 & !1),
    ] {
        ensure!(found == expected, "{name} is {found:#x}, was {expected:#x}");
    }
    // Checks that the machine's program recorded what it entered the purgatory with.
    ensure!(
        state.cr3 != 0 && state.efer != 0,
        "CR3 or EFER was not recorded"
    );
    // As bare/boot.S left it.
    let (limit, base) = state.idt;
    let sound = if image.handlers {
        limit == 0xff && base != 0
    } else {
        (limit, base) == (0, 0)
    };
    ensure!(sound, "the IDT has limit {limit:#x}, base {base:#x}");
    let [code, data @ ..] = state.selectors;
    ensure!(code == 0x10, "CS is {code:#x}");
    ensure!(data == [0x18; 5], "data segments are {data:x?}");
    for (selector, expected) in [(code, CODE), (data[0], DATA)] {
        let descriptor = run
            .memory(state.gdt + u64::from(selector & !7), 8)
            .with_context(|| format!("no GDT at {:#x}", state.gdt))?;
        let found = u64::from_le_bytes(descriptor[..].try_into()?);
        ensure!(found == expected, "{selector:#x} is {found:#x}");
    }
    Ok(())
}
