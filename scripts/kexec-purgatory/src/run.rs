// SPDX-License-Identifier: GPL-2.0-only

//! The main job: each state of the option enters a real kernel, and a crash is verified.

use anyhow::Result;
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::fetch;
use crate::graft;
use crate::guest::{Loader, Purpose};
use crate::kernel::{self, Verify};
use crate::kexec::{self, Kexec};
use crate::layout::Layout;

/// The states, the images, and whether those are verified: the rows of the table.
const CONTRACT: &[(Verify, Purpose, bool)] = &[
    (Verify::Y, Purpose::Enter, true),
    // The module is not loaded.
    (Verify::M, Purpose::Enter, false),
    (Verify::N, Purpose::Enter, false),
    (Verify::N, Purpose::Crash, true),
];

/// Builds, boots and prints the table; says whether every row is as it should be.
pub fn run(layout: &Layout) -> Result<bool> {
    let tree = graft::kernel_tree(layout, None)?;
    graft::graft(layout, &tree)?;
    let next = fetch::distribution_kernel(layout)?;
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "VERIFY",
        "image",
        "decision",
        "reason",
        "bytes verified",
        "outcome",
    ]);
    let mut good = true;
    for &(verify, purpose, verified) in CONTRACT {
        let kernel = kernel::build(layout, &tree, None, verify)?;
        let name = format!("run-{}-{}", verify.name(), purpose.name());
        let kexec = kexec::run(layout, &name, &kernel, &next, purpose, Loader::Kexec, &[])?;
        let checked = kexec.check(verified);
        if let Err(error) = &checked {
            good = false;
            eprintln!(
                "{}: {error:#}\n{}",
                layout.log(&name)?.display(),
                kexec.log.tail()
            );
        }
        table.add_row(row(verify, &kexec, &checked));
    }
    println!("{table}");
    Ok(good)
}

fn row(verify: Verify, kexec: &Kexec, checked: &Result<&str>) -> [String; 6] {
    let (decision, reason) = match &kexec.decision {
        Some(decision) => (decision.name(), decision.reason.as_str()),
        None => ("none", ""),
    };
    [
        verify.name().to_owned(),
        kexec.purpose.name().to_owned(),
        decision.to_owned(),
        reason.to_owned(),
        kexec.bytes.unwrap_or(0).to_string(),
        match checked {
            Ok(outcome) => (*outcome).to_owned(),
            Err(error) => format!("FAILED: {error}"),
        },
    ]
}
