// SPDX-License-Identifier: GPL-2.0-only

//! Many kexecs in a row.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::machine::Machine;
use super::{DIRECT, VERIFIED, kexec};
use crate::progress;

/// A kernel may lose less than one part in so many of its memory, in all kexecs together: each time it
/// reserves somewhat more or less for itself.
const PARTS: i64 = 100;

/// Many kexecs in a row, of two kernels and both decisions. Prints each, and a table of all.
pub fn run(machine: &mut Machine) -> Result<()> {
    let mut decisions = BTreeMap::new();
    // The memory of each kernel in kB, when it was first entered.
    let mut first = BTreeMap::new();
    let mut most = 0;
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "kexec",
        "to",
        "decision",
        "memory, kB",
        "lost, kB",
    ]);
    let mut all = || -> Result<()> {
        for number in 1..=machine.kexecs {
            let (to, decision) = one(machine, number).with_context(|| format!("kexec {number}"))?;
            let memory = memory(machine)?;
            let lost = *first.entry(to.clone()).or_insert(memory) - memory;
            most = lost.max(most);
            progress::print(&format!(
                "# kexec {number}: to {to}, {decision}, {memory} kB of memory, {lost} kB lost"
            ));
            *decisions.entry(decision).or_insert(0) += 1;
            table.add_row([
                number.to_string(),
                to,
                decision.to_owned(),
                memory.to_string(),
                lost.to_string(),
            ]);
            ensure!(lost < memory / PARTS, "kexec {number}: {lost} kB are lost");
        }
        Ok(())
    };
    let ended = all();
    for line in table.to_string().lines() {
        progress::print(&format!("# {line}"));
    }
    let done: usize = decisions.values().sum();
    progress::print(&format!(
        "# {done} kexecs of {}: {decisions:?}; at most {most} kB of memory lost",
        machine.kexecs
    ));
    ended
}

/// Enters the other kernel. Returns its release, and the decision about its image.
fn one(machine: &mut Machine, number: usize) -> Result<(String, &'static str)> {
    let (ours, distribution) = (machine.ours.clone(), machine.distribution.clone());
    if machine.sh("uname -r")? != ours {
        kexec(machine, &ours, None)?;
        return Ok((ours, "purgatory in C"));
    }
    let decision = match number % 4 < 2 {
        true => VERIFIED,
        false => {
            machine.follow("unload-module", &ours)?;
            DIRECT
        }
    };
    kexec(machine, &distribution, Some(decision))?;
    Ok((distribution, decision))
}

/// The memory that the running kernel has, in kB.
fn memory(machine: &Machine) -> Result<i64> {
    let memory = machine.sh("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")?;
    memory
        .parse()
        .with_context(|| format!("MemTotal is {memory:?}"))
}
