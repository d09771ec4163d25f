// SPDX-License-Identifier: GPL-2.0-only

//! Many kexecs in a row.

use anyhow::{Context, Result};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::machine::Machine;
use super::{DIRECT, VERIFIED, kexec};
use crate::progress;

/// Many kexecs in a row, of two kernels and both decisions.
pub fn run(machine: &mut Machine) -> Result<()> {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(["kexec", "from", "to", "decision", "memory, kB"]);
    for number in 1..=machine.kexecs {
        let ours = machine.sh("uname -r")? == machine.ours;
        let (from, to) = match ours {
            true => (machine.ours.clone(), machine.distribution.clone()),
            false => (machine.distribution.clone(), machine.ours.clone()),
        };
        let decision = match (ours, number % 4 < 2) {
            (false, _) => None,
            (true, true) => Some(VERIFIED),
            (true, false) => {
                machine.follow("unload-module", &from)?;
                Some(DIRECT)
            }
        };
        kexec(machine, &to, decision).with_context(|| format!("kexec {number}"))?;
        let memory = machine.sh("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")?;
        table.add_row([
            number.to_string(),
            from,
            to,
            decision.unwrap_or("purgatory in C").to_owned(),
            memory,
        ]);
    }
    for line in table.to_string().lines() {
        progress::print(&format!("# {line}"));
    }
    Ok(())
}
