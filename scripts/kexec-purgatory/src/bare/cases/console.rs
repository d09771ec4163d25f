// SPDX-License-Identifier: GPL-2.0-only

//! Consoles: none, one in memory, one that is stuck.

use anyhow::{Result, ensure};

use super::MAX;
use crate::bare::bare_machine::Bare;
use crate::bare::expect::{ended, enters, mismatch, printed};
use crate::bare::run_result::{Ending, Run};

/// Memory that serves as the registers of a UART.
const UART: u64 = 0x700_0000;

/// Its line status register, and the bit that lets the purgatory go on.
const LINE_STATUS: u64 = UART + 20;
const TRANSMITTER_EMPTY: u8 = 0x20;

pub fn none(bare: &Bare) -> Result<()> {
    let mut image = bare.image(0);
    image.console_port = 0;
    mismatch(&mut image, 1, 0);
    let run = bare.run(MAX, &image)?;
    printed(&run, "")?;
    ended(&run, Ending::Halted)
}

/// Enters the next kernel with the purgatory's messages on no console, and on the UART in memory,
/// whose line status register holds `line_status`. Returns both runs, and by how many instructions
/// the second one is longer.
fn sound_runs(bare: &Bare, line_status: u8) -> Result<([Run; 2], u64)> {
    let run = |console: u64| {
        let mut image = bare.image(0);
        image.console_port = 0;
        image.console_mmio32 = console;
        image.debug = true;
        image.damage.push((LINE_STATUS, vec![line_status]));
        enters(bare, &image)
    };
    let [without, with] = [run(0)?, run(UART)?];
    let longer = with
        .state
        .time_stamp
        .saturating_sub(without.state.time_stamp);
    Ok(([without, with], longer))
}

/// The purgatory waits once for a UART whose transmit register never becomes empty, not for each
/// character.
pub fn stuck(bare: &Bare) -> Result<()> {
    /// How often the purgatory reads the status, and the instructions for each read.
    const ATTEMPTS: u64 = 1 << 20;
    const INSTRUCTIONS: u64 = 20;

    let (runs, waited) = sound_runs(bare, 0)?;
    for run in runs {
        let registers = run.memory(UART, 32)?;
        ensure!(registers == [0; 32], "the registers hold {registers:x?}");
    }
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

/// Memory serves as the registers; the last value written remains, in all 32 bits of the register.
pub fn in_memory(bare: &Bare) -> Result<()> {
    let mut image = bare.image(0);
    image.console_port = 0;
    image.console_mmio32 = UART;
    image.damage.push((UART, vec![0xff; 4]));
    image.damage.push((LINE_STATUS, vec![TRANSMITTER_EMPTY]));
    mismatch(&mut image, 1, 0);
    let run = bare.run(MAX, &image)?;
    printed(&run, "")?;
    ended(&run, Ending::Halted)?;
    let mut registers = [0; 32];
    registers[0] = b'\n';
    registers[(LINE_STATUS - UART) as usize] = TRANSMITTER_EMPTY;
    let found = run.memory(UART, registers.len())?;
    ensure!(found == registers, "the registers hold {found:x?}");

    // A purgatory that looks in the wrong place for an empty transmitter waits a million times in
    // vain.
    let (_, waited) = sound_runs(bare, TRANSMITTER_EMPTY)?;
    ensure!(
        (1..1_000_000).contains(&waited),
        "printing takes {waited} instructions"
    );
    Ok(())
}
