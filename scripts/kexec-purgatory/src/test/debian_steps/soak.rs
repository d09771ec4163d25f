// SPDX-License-Identifier: GPL-2.0-only

//! Many kexecs in a row.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::debian_guest::DebianGuest;
use super::{DIRECT, VERIFIED, kexec};
use crate::progress;

/// A kernel may lose less than one part in so many of its memory, in all kexecs together: each time it
/// reserves somewhat more or less for itself.
const PARTS: i64 = 100;

/// The kexecs into one kernel with one decision.
#[derive(Default)]
struct Row {
    done: usize,
    failed: usize,
    /// The most memory that the kernel had less than when it was first entered, in kB.
    lost: i64,
}

/// By the release of the kernel that is entered, and the decision.
type Rows = BTreeMap<(&'static str, &'static str), Row>;

/// Many kexecs in a row, of two kernels and both decisions. Prints each, and a table. A kexec that
/// fails is counted, and the machine reset.
pub fn run(machine: &mut DebianGuest) -> Result<()> {
    let mut rows = Rows::new();
    let ended = all(machine, &mut rows);
    for line in table(&rows).to_string().lines() {
        progress::print(&format!("# {line}"));
    }
    ended?;
    let failed: usize = rows.values().map(|row| row.failed).sum();
    ensure!(failed == 0, "{failed} of {} kexecs failed", machine.kexecs);
    Ok(())
}

/// Fails if the machine cannot go on after a kexec.
fn all(machine: &mut DebianGuest, rows: &mut Rows) -> Result<()> {
    // The memory of each kernel in kB, when it was first entered.
    let mut first = BTreeMap::new();
    let kexecs = machine.kexecs;
    for number in 1..=kexecs {
        let (to, decision) = next(machine, number)?;
        let row = rows.entry((to, decision)).or_default();
        let entered = enter(machine, to, decision).and_then(|()| {
            let memory = memory(machine)?;
            let lost = *first.entry(to).or_insert(memory) - memory;
            row.lost = row.lost.max(lost);
            ensure!(lost < memory / PARTS, "{lost} kB of {memory} kB are lost");
            Ok(format!("{memory} kB of memory, {lost} kB lost"))
        });
        let result = match &entered {
            Ok(memory) => memory.clone(),
            Err(error) => format!("FAILED: {error:#}"),
        };
        let begin = format!("# kexec {number} of {kexecs}: to {to}, {decision}: ");
        progress::print(&format!("{begin}{}", result.replace('\n', "\n# ")));
        match entered {
            Ok(_) => row.done += 1,
            Err(_) => {
                row.failed += 1;
                machine.keep_journal(&format!("kexec-{number}"))?;
                machine.reset()?;
            }
        }
    }
    Ok(())
}

fn table(rows: &Rows) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "to",
        "decision",
        "done",
        "failed",
        "memory lost, kB",
    ]);
    for ((to, decision), row) in rows {
        table.add_row([
            *to,
            *decision,
            &row.done.to_string(),
            &row.failed.to_string(),
            &row.lost.to_string(),
        ]);
    }
    table
}

/// What the running kernel does not decide.
const UNDECIDED: &str = "purgatory in C";

/// The release of the other kernel, and the decision about its image.
fn next(machine: &DebianGuest, number: usize) -> Result<(&'static str, &'static str)> {
    if machine.sh("uname -r")? != machine.ours {
        return Ok((machine.ours, UNDECIDED));
    }
    let decision = if number % 4 < 2 { VERIFIED } else { DIRECT };
    Ok((machine.distribution, decision))
}

fn enter(machine: &mut DebianGuest, to: &str, decision: &'static str) -> Result<()> {
    if decision == DIRECT {
        machine.follow("unload-module", to)?;
    }
    kexec(machine, to, (decision != UNDECIDED).then_some(decision))
}

/// The memory that the running kernel has, in kB.
fn memory(machine: &DebianGuest) -> Result<i64> {
    let memory = machine.sh("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")?;
    memory
        .parse()
        .with_context(|| format!("MemTotal is {memory:?}"))
}
