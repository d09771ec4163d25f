// SPDX-License-Identifier: GPL-2.0-only

//! Which instructions the purgatory executes that a hypervisor may intercept.

use std::mem::offset_of;

use anyhow::{Context, Result, ensure};

use super::MAX;
use crate::abi::Params;
use crate::bare::bare_machine::Bare;
use crate::bare::expect::{ended, enters, mismatch};
use crate::bare::run_result::{Ending, Run};

/// Instructions that raise an exception in a guest whose register state is encrypted if its
/// hypervisor intercepts them. It always intercepts I/O, and may intercept the others.
const INTERCEPTED: [&str; 8] = [
    "rdtsc", "rdtscp", "inb", "outb", "outl", "cpuid", "rdmsr", "wrmsr",
];

/// In a guest without I/O, the purgatory executes none of them, whether or not the image is
/// damaged. Elsewhere it executes RDTSC, for the next kernel's record.
pub fn intercepted(bare: &Bare) -> Result<()> {
    for timeout in [0, -1, 3] {
        let mut image = bare.image(1);
        image.no_io = true;
        image.console_port = 0;
        image.tsc_khz = 1000;
        image.timeout = timeout;
        executed(&enters(bare, &image)?, &[])?;

        mismatch(&mut image, 0, 0);
        let run = bare.run(MAX, &image)?;
        ended(&run, Ending::TripleFault)?;
        executed(&run, &[]).with_context(|| format!("a mismatch, panic={timeout}"))?;

        image.overwrite_params(offset_of!(Params, tsc_khz), &[1]);
        let run = bare.run(MAX, &image)?;
        ended(&run, Ending::TripleFault)?;
        executed(&run, &[]).with_context(|| format!("damaged parameters, panic={timeout}"))?;
    }

    let mut image = bare.image(1);
    executed(&enters(bare, &image)?, &["rdtsc"])?;
    image.debug = true;
    executed(&enters(bare, &image)?, &["rdtsc", "inb", "outb"])?;
    image.debug = false;
    image.tsc_khz = 1000;
    mismatch(&mut image, 0, 0);
    let run = bare.run(MAX, &image)?;
    ended(&run, Ending::Halted)?;
    executed(&run, &["rdtsc", "inb", "outb"])?;
    image.timeout = 3;
    let run = bare.run(MAX, &image)?;
    ended(&run, Ending::Reset)?;
    executed(&run, &["rdtsc", "inb", "outb"])
}

/// Checks that the purgatory executed exactly these of [`INTERCEPTED`].
fn executed(run: &Run, expected: &[&str]) -> Result<()> {
    for name in INTERCEPTED {
        let found = run.executed().any(|mnemonic| mnemonic == name);
        ensure!(
            found == expected.contains(&name),
            "{name} is executed: {found}"
        );
    }
    // This instruction is always executed, so its absence means that there is no log.
    ensure!(run.executed().any(|name| name == "lgdtq"), "no log");
    Ok(())
}
