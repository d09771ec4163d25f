// SPDX-License-Identifier: GPL-2.0-only

//! Consoles: none, one in memory, one that is stuck.

use anyhow::{Result, ensure};

use super::MAX;
use crate::bare::expect::{ended, entered, mismatch, printed};
use crate::bare::machine::Bare;
use crate::bare::run::Ending;

/// Memory that serves as the registers of a UART.
const UART: u64 = 0x700_0000;

pub fn none(bare: &Bare) -> Result<()> {
    let mut image = bare.image(0);
    image.console_port = 0;
    mismatch(&mut image, 1, 0);
    let run = bare.run(MAX, &image)?;
    printed(&run, "")?;
    ended(&run, Ending::Halted)
}

/// The purgatory waits once for a UART whose transmit register never becomes empty, not for each
/// character.
pub fn stuck(bare: &Bare) -> Result<()> {
    /// How often the purgatory reads the status, and the instructions for each read.
    const ATTEMPTS: u64 = 1 << 20;
    const INSTRUCTIONS: u64 = 20;

    let mut stamps = Vec::new();
    for console in [0, UART] {
        let mut image = bare.image(0);
        image.console_port = 0;
        image.console_mmio32 = console;
        image.debug = true;
        let run = bare.run(MAX, &image)?;
        entered(&run, &image)?;
        let registers = run.memory(UART, 32)?;
        ensure!(registers == [0; 32], "the registers hold {registers:x?}");
        stamps.push(run.state.time_stamp());
    }
    let waited = stamps[1].saturating_sub(stamps[0]);
    ensure!(
        (ATTEMPTS..INSTRUCTIONS * ATTEMPTS).contains(&waited),
        "printing takes {waited} instructions"
    );

    let mut image = bare.image(0);
    image.console_port = 0;
    image.console_mmio32 = UART;
    image.timeout = -1;
    mismatch(&mut image, 0, 0);
    ended(&bare.run(MAX, &image)?, Ending::Reset)
}

/// Memory serves as the registers; the last value written remains.
pub fn in_memory(bare: &Bare) -> Result<()> {
    const LSR: u64 = 5;
    const TRANSMITTER_EMPTY: u8 = 0x20;

    let mut image = bare.image(0);
    image.console_port = 0;
    image.console_mmio32 = UART;
    image.damage.push((UART + 4 * LSR, vec![TRANSMITTER_EMPTY]));
    mismatch(&mut image, 1, 0);
    let run = bare.run(MAX, &image)?;
    printed(&run, "")?;
    ended(&run, Ending::Halted)?;
    let mut registers = [0; 32];
    registers[0] = b'\n';
    registers[4 * LSR as usize] = TRANSMITTER_EMPTY;
    let found = run.memory(UART, registers.len())?;
    ensure!(found == registers, "the registers hold {found:x?}");

    // A purgatory that looks in the wrong place for an empty transmitter waits a million times in
    // vain.
    let mut stamps = Vec::new();
    for console in [0, UART] {
        let mut image = bare.image(0);
        image.console_port = 0;
        image.console_mmio32 = console;
        image.debug = true;
        image.damage.push((UART + 4 * LSR, vec![TRANSMITTER_EMPTY]));
        let run = bare.run(MAX, &image)?;
        entered(&run, &image)?;
        stamps.push(run.state.time_stamp());
    }
    let waited = stamps[1].saturating_sub(stamps[0]);
    ensure!(
        (1..1_000_000).contains(&waited),
        "printing takes {waited} instructions"
    );
    Ok(())
}
