// SPDX-License-Identifier: GPL-2.0-only

//! Resets as `panic=` asks for them, by whatever means the machine has.

use std::mem::offset_of;

use anyhow::{Context, Result, ensure};

use super::MAX;
use crate::abi::{Params, RESET_IO, RESET_PCI, Reset};
use crate::bare::bare_machine::{Bare, Hardware};
use crate::bare::expect::{ended, mismatch, refuses};
use crate::bare::image::EXIT_PORT;
use crate::bare::run_result::Ending;

/// Ports that reset a machine.
const RESET_CONTROL: u16 = 0xcf9;
const KEYBOARD: u16 = 0x64;

/// The port that is written to for a delay of a microsecond.
const DELAY: u16 = 0x80;

pub fn at_once(bare: &Bare) -> Result<()> {
    let mut image = bare.image(0);
    image.timeout = -1;
    let expected = mismatch(&mut image, 0, 0);
    refuses(bare, &image, &expected)
}

pub fn after_seconds(bare: &Bare) -> Result<()> {
    let mut image = bare.image(0);
    image.timeout = 3;
    image.tsc_khz = 1000;
    let expected = mismatch(&mut image, 0, 0);
    refuses(bare, &image, &expected)
}

/// The machine's reset register comes first, unless the parameters that name it are damaged.
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

    image.overwrite_params(offset_of!(Params, tsc_khz), &[1]);
    ended(&bare.run(MAX, &image)?, Ending::Reset)
}

/// A reset register may be that of a PCI device. QEMU has no such register, so the test names one
/// of the machine's SMBus controller, and port 0xCF9 ends the run.
pub fn register_in_pci(bare: &Bare) -> Result<()> {
    const DEVICE: u64 = 0x1f;
    const FUNCTION: u64 = 3;
    // Not aligned to a doubleword.
    const REGISTER: u64 = 0x3e;
    const WRITE: &str = "pci_cfg_write ICH9-SMB 00:1f.3 @0x3e <- 0x5a";

    let mut image = bare.image(0);
    image.timeout = -1;
    image.reset = Reset {
        address: DEVICE << 32 | FUNCTION << 16 | REGISTER,
        space: RESET_PCI,
        value: 0x5a,
    };
    mismatch(&mut image, 0, 0);
    let run = bare.run(MAX, &image)?;
    ended(&run, Ending::Reset)?;
    // The firmware writes to other registers before.
    let mut writes = run.log.lines().filter(|line| line.contains("pci_cfg_"));
    let last = writes.next_back().context("no write to a PCI device")?;
    ensure!(
        last.ends_with(WRITE),
        "the last write is '{last}', not '{WRITE}'"
    );
    Ok(())
}

/// Where I/O raises exceptions, a mismatch and damaged parameters end the guest, whatever `panic=`
/// says. The purgatory uses no I/O: each port would end the run in another way.
pub fn without_io(bare: &Bare) -> Result<()> {
    const MACHINE: Hardware = Hardware {
        machine: "microvm",
        ports: &[KEYBOARD, RESET_CONTROL, DELAY],
    };

    for timeout in [0, -1, 3] {
        let mut image = bare.image(0);
        image.no_io = true;
        image.console_port = 0;
        image.timeout = timeout;
        image.reset = Reset {
            address: EXIT_PORT.into(),
            space: RESET_IO,
            value: 0x11,
        };
        mismatch(&mut image, 0, 0);
        ended(&bare.run_on(&MACHINE, MAX, &image)?, Ending::TripleFault)
            .with_context(|| format!("a mismatch, panic={timeout}"))?;

        image.overwrite_params(offset_of!(Params, tsc_khz), &[1]);
        ended(&bare.run_on(&MACHINE, MAX, &image)?, Ending::TripleFault)
            .with_context(|| format!("damaged parameters, panic={timeout}"))?;
    }
    Ok(())
}

/// The purgatory tries every way to reset a machine, in order. On a machine that lacks the earlier
/// ways, the first one that exists ends the run.
pub fn order(bare: &Bare) -> Result<()> {
    const NOTHING: &str = "microvm";

    let cases = [
        // The first write only selects the kind of reset for the next write.
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
