// SPDX-License-Identifier: GPL-2.0-only

//! A mismatch that is reported on an 8250 whose registers are in memory.
//!
//! No x86 machine of QEMU's has one. Its registers are simulated by a page of the old kernel that is
//! unused when the purgatory runs: the line status register says that a character can be written,
//! and the processor stops at every write to the transmit register.

use anyhow::{Context, Result, bail, ensure};

use super::outcome::{End, Outcome};
use super::stopped::StoppedGuests;
use crate::abi::RegionKind;
use crate::guest::Purpose;
use crate::machine::gdb::{Break, Space};
use crate::machine::guest_setup::GuestSetup;
use crate::machine::loaded::PAGE;
use crate::machine::{Machine, Stop};

/// Offset of the line status register, where registers are 32 bits apart, and its bit that says
/// that a character can be written.
const LINE_STATUS: u64 = 5 * 4;
const READY: u8 = 0x20;

pub fn run(setup: &GuestSetup<'_>, guests: &StoppedGuests) -> Result<()> {
    // Loads the image again, so that the loader finds this 8250.
    let registers = setup.symbols.physical("machine_kexec")? & !(PAGE - 1);
    let mut machine = guests.ready.spawn()?;
    let mut set = |symbol: &str, value: &[u8]| {
        let address = setup.symbols.physical(symbol)?;
        machine.gdb.write(Space::Physical, address, value)
    };
    set("kexec_debug_8250_port", &0u16.to_le_bytes())?;
    set("kexec_debug_8250_mmio32", &registers.to_le_bytes())?;
    let image = setup.load(&mut machine, Purpose::Crash)?;
    let (_, start) = setup.leave(&mut machine, Purpose::Crash)?;
    machine.run_to(start)?;

    let region = image.segment(RegionKind::Initramfs)?;
    let byte = machine.gdb.read(Space::Physical, region.start, 1)?;
    machine
        .gdb
        .write(Space::Physical, region.start, &[!byte[0]])?;
    machine.gdb.set_register("rsi", 0)?;
    machine
        .gdb
        .write(Space::Physical, registers + LINE_STATUS, &[READY])?;

    let printed = machine.log().lines().count();
    let text = transmitted(&mut machine, registers)?;
    ensure!(
        machine.log().lines().count() == printed,
        "the purgatory printed on the 8250 at an I/O port too"
    );
    let said = text
        .lines()
        .map(|line| line.strip_prefix("purgatory: ").map(str::to_owned))
        .collect::<Option<_>>()
        .with_context(|| format!("transmitted {text:?}"))?;
    Outcome {
        end: End::Halted,
        said,
    }
    .check_mismatch(&[*region], 0)
}

/// What the purgatory transmits, up to the end of its last line.
fn transmitted(machine: &mut Machine, registers: u64) -> Result<String> {
    let mut text = Vec::new();
    machine.gdb.insert(Break::Write, registers)?;
    while !text.ends_with(b"stopped\r\n") {
        match machine.run(|_| true)? {
            Stop::Breakpoint => {
                text.extend(machine.gdb.read(Space::Physical, registers, 1)?);
            }
            stop => bail!(
                "{stop:?} after {:?} was transmitted",
                String::from_utf8_lossy(&text)
            ),
        }
    }
    Ok(String::from_utf8(text)?)
}
