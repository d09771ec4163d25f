// SPDX-License-Identifier: GPL-2.0-only

//! Parameters that are damaged before the purgatory reads them, or overwritten afterwards.

use std::mem::offset_of;

use anyhow::{Context, Result, ensure};

use super::MAX;
use crate::abi::{Params, RESET_IO, RESET_NONE, Reset};
use crate::bare::bare_machine::Bare;
use crate::bare::expect::{end, ended, enters, fault, printed};
use crate::bare::image::{EXIT_PORT, Image, PURGATORY};
use crate::expected::reason;

/// A console in memory that is not mapped: a write to it would raise an exception.
pub fn console(bare: &Bare) -> Result<()> {
    const UNMAPPED: u64 = 1 << 40;

    refused(bare, |image| {
        image.overwrite_params(offset_of!(Params, console_mmio32), &UNMAPPED.to_le_bytes());
    })
}

/// A reset register that would end the machine differently.
pub fn reset(bare: &Bare) -> Result<()> {
    refused(bare, |image| {
        let reset = offset_of!(Params, reset);
        let port = u64::from(EXIT_PORT).to_le_bytes();
        image.overwrite_params(reset + offset_of!(Reset, address), &port);
        image.overwrite_params(reset + offset_of!(Reset, space), &RESET_IO.to_le_bytes());
    })
}

/// Runs an image with and without a console at an I/O port, for each `panic=`.
fn refused(bare: &Bare, damage: fn(&mut Image)) -> Result<()> {
    for has_console in [true, false] {
        for timeout in [0, -1, 1] {
            let mut image = bare.image(0);
            image.timeout = timeout;
            damage(&mut image);
            let (last, ending) = end(&image);
            let mut expected = fault(reason::PARAMS_DIGEST) + &last;
            if !has_console {
                image.console_port = 0;
                expected.clear();
            }
            let run = bare.run(MAX, &image)?;
            ended(&run, ending).with_context(|| format!("panic={timeout}"))?;
            printed(&run, &expected)?;
        }
    }
    Ok(())
}

/// The purgatory uses the entry point and `boot_params` that it checked, even though a console
/// whose transmit register is one of these fields overwrites it when the purgatory reports success.
pub fn after_the_check(bare: &Bare) -> Result<()> {
    /// Distance of the line status register from the transmit register, and its bit that lets the
    /// purgatory go on.
    const LINE_STATUS: usize = 20;
    const READY: u8 = 0x20;

    let image = |field: usize| {
        let mut image = bare.image(0);
        image.debug = true;
        image.console_port = 0;
        image.console_mmio32 = PURGATORY + (image.purgatory.params + field) as u64;
        image
    };

    // The line status registers are fields that the purgatory does not use here.
    const { assert!(offset_of!(Params, entry) + LINE_STATUS == offset_of!(Params, tsc_khz)) };
    const { assert!(offset_of!(Params, boot_params) + LINE_STATUS < offset_of!(Params, reset) + 8) };
    let mut entry = image(offset_of!(Params, entry));
    entry.tsc_khz = READY.into();
    let mut boot_params = image(offset_of!(Params, boot_params));
    boot_params.reset = Reset {
        address: u64::from(READY) << 32,
        space: RESET_NONE,
        value: 0,
    };
    for (image, field) in [
        (entry, offset_of!(Params, entry)),
        (boot_params, offset_of!(Params, boot_params)),
    ] {
        let run =
            enters(bare, &image).with_context(|| format!("byte {field} of the parameters"))?;
        let written = run.memory(image.console_mmio32, 1)?;
        ensure!(written == b"\n", "the console wrote {written:x?}");
    }
    Ok(())
}
