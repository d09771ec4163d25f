// SPDX-License-Identifier: GPL-2.0-only

//! What a log must say about a crash.

use anyhow::{Context, Result, ensure};

use super::super::VERIFIED;
use super::{Crash, DUMP, HEADERS, IMAGE, Outcome, POST_NOTIFIERS};
use crate::abi::RegionKind;
use crate::expected;
use crate::guest::Purpose;
use crate::kexec::expect_engine;
use crate::qemu::SerialLog;
use crate::test::boot::case::kexec_check::{all_dumped, found_intact, is};

/// What a notifier of a panic prints.
const NOTIFIED: &str = "Kernel Offset: ";

/// The damaged segments, in the order in which the kernel names them.
const DAMAGED: [RegionKind; 4] = [
    RegionKind::ElfCoreHdr,
    RegionKind::BootParams,
    RegionKind::Kernel,
    RegionKind::Initramfs,
];

/// The results of the crashes in one context.
#[derive(Default)]
pub struct Rates {
    pub crashes: usize,
    /// The crash kernel was verified and came up.
    pub started: usize,
    /// Pages from all parts of the dump can be read, and it has all memory of the kernel.
    pub complete: usize,
    /// The pattern is in the dump.
    pub right: usize,
}

impl Rates {
    pub fn row(&self, name: &str) -> Vec<String> {
        let numbers = [self.crashes, self.started, self.complete, self.right];
        let numbers = numbers.map(|number| number.to_string());
        [name.to_owned()].into_iter().chain(numbers).collect()
    }
}

/// Checks that the kernel died where it had to, and what followed.
pub fn judge(crash: &Crash, log: &SerialLog, rates: &mut Rates) -> Result<()> {
    ensure!(
        log.lines().any(|line| line.contains(crash.says)),
        "the kernel did not die in {}",
        crash.death.context
    );
    if let Some(engine) = crash.engine {
        expect_engine(log, Purpose::Crash, engine)?;
    }
    match crash.outcome {
        Outcome::CrashKernel => dumped(crash, log, rates),
        Outcome::Nothing => nothing_entered(log),
        Outcome::Mismatch => nothing_entered(log).and_then(|()| found_damage(log)),
    }
}

/// Checks that the crash kernel was verified, and what it found.
fn dumped(crash: &Crash, log: &SerialLog, rates: &mut Rates) -> Result<()> {
    ensure!(
        log.after(VERIFIED).is_some() && log.after("guest: release ").is_some(),
        "the crash kernel was not started, or not verified"
    );
    rates.started += 1;
    log.expect_no_failure()?;
    let death = &crash.death;
    let notified = log.lines().any(|line| line.starts_with(NOTIFIED));
    ensure!(
        notified == death.arguments.contains(POST_NOTIFIERS),
        "the notifiers of a panic were called: {notified}"
    );
    let second = log.after("guest: second image").is_some();
    ensure!(
        second == (death.change == IMAGE),
        "the second image was entered: {second}"
    );
    log.after("guest: vmcore ").context("no dump was left")?;
    if death.change == HEADERS {
        found_intact(log)?;
    }
    all_dumped(log)?;
    rates.complete += 1;
    let wanted: &[&str] = match death.arguments == DUMP {
        true => &["/proc/vmcore", "/tmp/dump"],
        false => &["/proc/vmcore"],
    };
    let found: Vec<&str> = log.all_after("guest: pattern in 4 pages of ").collect();
    ensure!(
        found == wanted,
        "the pattern is in {found:?}, not {wanted:?}"
    );
    rates.right += 1;
    Ok(())
}

/// Checks that no crash kernel was started.
fn nothing_entered(log: &SerialLog) -> Result<()> {
    ensure!(
        log.after(VERIFIED).is_none() && log.after("guest: release ").is_none(),
        "a crash kernel was started"
    );
    Ok(())
}

/// Checks that the running kernel and the purgatory found the damage, and that the purgatory said
/// that it resets the machine.
fn found_damage(log: &SerialLog) -> Result<()> {
    let names = DAMAGED.map(expected::region);
    let check = log.after("guest: check ");
    let wanted = format!("fails: damaged: {}", names.join(", "));
    is("the check", check, &wanted)?;
    let mismatches = names.map(|name| format!("MISMATCH in {name} 0x"));
    for begin in mismatches
        .iter()
        .map(String::as_str)
        .chain(["resetting the machine"])
    {
        log.after(&format!("purgatory: {begin}"))
            .with_context(|| format!("the purgatory did not print '{begin}'"))?;
    }
    Ok(())
}
