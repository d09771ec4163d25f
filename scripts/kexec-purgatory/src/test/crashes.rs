// SPDX-License-Identifier: GPL-2.0-only

//! Crashes in every context, and in the middle of reads of the decisions. Each must leave a dump,
//! except those that on mainline leave none, and those of a damaged crash image.

pub mod contexts;

use anyhow::{Context, Result};

use super::{Kernels, Report};
use crate::guest;
use crate::kernel::Verify;
use crate::parallel::in_order;
use crate::qemu::{self, SerialLog};

/// The beginning of what the purgatory prints before it enters a kernel.
const VERIFIED: &str = "purgatory: verified ";

/// The number of crashes in every run of the tests, and on request.
const CRASHES: u32 = 5;
const MANY_CRASHES: u32 = 50;

/// Reads before the first crash, and additional reads before each later one.
const FIRST_READS: u32 = 500;
const MORE_READS: u32 = 37;

pub fn names() -> Vec<String> {
    names_in("crashes", CRASHES)
}

/// The names of the crashes on request.
pub fn many_names() -> Vec<String> {
    names_in("long/crashes", MANY_CRASHES)
}

fn names_in(folder: &str, count: u32) -> Vec<String> {
    (1..=count)
        .map(|number| format!("{folder}/{number}"))
        .collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    crash(kernels, report, &names())
}

pub fn run_many(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    crash(kernels, report, &many_names())
}

fn crash(kernels: &mut Kernels, report: &mut Report, names: &[String]) -> Result<()> {
    if !report.wants_any(names) {
        return Ok(());
    }
    let kernel = kernels.get(Verify::Y)?;
    let initramfs = guest::reading(kernels.layout, kernel.image())?;
    let layout = kernels.layout;
    let wanted: Vec<(u32, &String)> = (0..)
        .zip(names)
        .filter(|(_, name)| report.wants(name))
        .collect();
    in_order(
        &wanted,
        |(number, name)| {
            let guest = guest::crash_reading(&initramfs, FIRST_READS + number * MORE_READS);
            let log = name.replace('/', "-");
            let log = qemu::boot(layout, &log, kernel.image(), &guest, None)?;
            dumped(&log).with_context(|| log.tail())
        },
        |(_, name), result| report.record(name, result),
    );
    Ok(())
}

/// Checks that the crash kernel was verified, came up, and could read the dead kernel's memory.
fn dumped(log: &SerialLog) -> Result<()> {
    log.expect_no_failure()?;
    log.after(VERIFIED)
        .context("the crash image was not entered through the purgatory")?;
    log.after("guest: vmcore ").context("no dump was left")?;
    Ok(())
}
