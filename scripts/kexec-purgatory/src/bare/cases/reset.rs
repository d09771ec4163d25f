// SPDX-License-Identifier: GPL-2.0-only

//! Resets, as `panic=` asks for them and by whatever the machine has.

use std::mem::offset_of;

use anyhow::{Context, Result};

use super::MAX;
use crate::abi::{Params, RESET_IO, Reset};
use crate::bare::expect::{ended, mismatch, printed};
use crate::bare::image::EXIT_PORT;
use crate::bare::machine::{Bare, Ending, Hardware};

pub fn at_once(bare: &Bare) -> Result<()> {
    let mut image = bare.image(0);
    image.timeout = -1;
    let expected = mismatch(&mut image, 0, 0) + "purgatory: resetting the machine\n";
    let run = bare.run(MAX, &image)?;
    printed(&run, &expected)?;
    ended(&run, Ending::Reset)
}

pub fn after_seconds(bare: &Bare) -> Result<()> {
    let mut image = bare.image(0);
    image.timeout = 3;
    image.tsc_khz = 1000;
    let expected = mismatch(&mut image, 0, 0) + "purgatory: resetting the machine in 3 seconds\n";
    let run = bare.run(MAX, &image)?;
    printed(&run, &expected)?;
    ended(&run, Ending::Reset)
}

/// The machine's reset register comes first; not if the parameters that name it are damaged.
pub fn register(bare: &Bare) -> Result<()> {
    const RESET_VALUE: u8 = 0x11;

    let mut image = bare.image(0);
    image.timeout = -1;
    image.reset = Reset {
        address: EXIT_PORT.into(),
        space: RESET_IO,
        value: RESET_VALUE.into(),
    };
    mismatch(&mut image, 0, 0);
    ended(&bare.run(MAX, &image)?, Ending::Written(RESET_VALUE))?;

    image.overwrite_params(offset_of!(Params, reserved2), &[1]);
    ended(&bare.run(MAX, &image)?, Ending::Reset)
}

/// Every way to reset a machine is tried, in order: on machines that lack those before it, the
/// first one that is there is what ends the run.
pub fn order(bare: &Bare) -> Result<()> {
    const RESET_CONTROL: u16 = 0xcf9;
    const KEYBOARD: u16 = 0x64;
    const NOTHING: &str = "microvm";

    let cases = [
        // What is written first only says what kind of reset the next write is to be.
        (NOTHING, &[KEYBOARD, RESET_CONTROL][..], Ending::Written(2)),
        ("q35,i8042=off", &[], Ending::Reset),
        (NOTHING, &[KEYBOARD], Ending::Written(0xfe & 0x7f)),
        (NOTHING, &[], Ending::TripleFault),
    ];
    for (machine, ports, ending) in cases {
        let mut image = bare.image(0);
        image.timeout = -1;
        mismatch(&mut image, 0, 0);
        let hardware = Hardware { machine, ports };
        ended(&bare.run_on(&hardware, MAX, &image)?, ending)
            .with_context(|| format!("{machine}, ports {ports:x?}"))?;
    }
    Ok(())
}
