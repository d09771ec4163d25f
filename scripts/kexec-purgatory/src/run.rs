// SPDX-License-Identifier: GPL-2.0-only

//! The main job: every state of the option enters a real kernel, and a crash image is verified.

use anyhow::Result;
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::fetch;
use crate::graft;
use crate::guest::Plan;
use crate::guest::Purpose;
use crate::kernel::{self, VERIFY_MODULE, Verify};
use crate::kexec::{self, Kexec};
use crate::layout::Layout;

/// A row of the table: a state, the module that is loaded, an image, and whether it is verified.
struct Row {
    verify: Verify,
    module: Option<&'static str>,
    purpose: Purpose,
    verified: bool,
}

const CONTRACT: &[Row] = &[
    row(Verify::Y, None, Purpose::Enter, true),
    row(Verify::M, Some(VERIFY_MODULE), Purpose::Enter, true),
    row(Verify::M, None, Purpose::Enter, false),
    row(Verify::N, None, Purpose::Enter, false),
    row(Verify::N, None, Purpose::Crash, true),
];

const fn row(
    verify: Verify,
    module: Option<&'static str>,
    purpose: Purpose,
    verified: bool,
) -> Row {
    Row {
        verify,
        module,
        purpose,
        verified,
    }
}

/// Builds, boots and prints the table. Returns whether every row is as expected.
pub fn run(layout: &Layout) -> Result<bool> {
    let tree = graft::kernel_tree(layout)?;
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
    for row in CONTRACT {
        let kernel = kernel::build(layout, &tree, None, row.verify)?;
        let name = format!(
            "run-{}{}-{}",
            row.verify.name(),
            if row.module.is_some() { "-module" } else { "" },
            row.purpose.name()
        );
        let kexec = kexec::run(
            layout,
            &name,
            &kernel,
            &next,
            &Plan {
                modules: row.module.as_slice(),
                ..Plan::new(row.purpose)
            },
        )?;
        let checked = kexec.check(row.verified);
        if let Err(error) = &checked {
            good = false;
            eprintln!(
                "{}: {error:#}\n{}",
                layout.log(&name)?.display(),
                kexec.log.tail()
            );
        }
        table.add_row(cells(row, &kexec, &checked));
    }
    println!("{table}");
    Ok(good)
}

fn cells(row: &Row, kexec: &Kexec, checked: &Result<&str>) -> [String; 6] {
    let (decision, reason) = match &kexec.decision {
        Some(decision) => (decision.name(), decision.reason.as_str()),
        None => ("none", ""),
    };
    [
        match (row.verify, row.module) {
            (Verify::M, Some(_)) => "m, module".to_owned(),
            (Verify::M, None) => "m, none".to_owned(),
            (verify, _) => verify.name().to_owned(),
        },
        kexec.purpose.name().to_owned(),
        decision.to_owned(),
        reason.to_owned(),
        kexec.work.as_ref().map_or(0, |work| work.bytes).to_string(),
        match checked {
            Ok(outcome) => (*outcome).to_owned(),
            Err(error) => format!("FAILED: {error}"),
        },
    ]
}
