// SPDX-License-Identifier: GPL-2.0-only

//! The main job: every state of the option enters a real kernel, and a crash image is verified.

use anyhow::Result;
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use crate::fetch;
use crate::graft;
use crate::guest::{Plan, Purpose};
use crate::kernel::{self, VERIFY_MODULE, Verify};
use crate::kexec::{self, Kexec};
use crate::layout::Layout;

/// The rows of the table: a state, the module that is loaded, an image, and whether it is verified.
const CONTRACT: &[(Verify, Option<&str>, Purpose, bool)] = &[
    (Verify::Y, None, Purpose::Enter, true),
    (Verify::M, Some(VERIFY_MODULE), Purpose::Enter, true),
    (Verify::M, None, Purpose::Enter, false),
    (Verify::N, None, Purpose::Enter, false),
    (Verify::N, None, Purpose::Crash, true),
];

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
    for &(verify, module, purpose, verified) in CONTRACT {
        let kernel = kernel::build(layout, &tree, None, verify)?;
        let name = format!(
            "run-{}{}-{}",
            verify.name(),
            if module.is_some() { "-module" } else { "" },
            purpose.name()
        );
        let kexec = kexec::run(
            layout,
            &name,
            &kernel,
            &next,
            &Plan {
                modules: module.as_slice(),
                ..Plan::new(purpose)
            },
        )?;
        let checked = kexec.check(verified);
        if let Err(error) = &checked {
            good = false;
            eprintln!(
                "{}: {error:#}\n{}",
                layout.log(&name)?.display(),
                kexec.log.tail()
            );
        }
        table.add_row(cells(verify, module, &kexec, &checked));
    }
    println!("{table}");
    Ok(good)
}

fn cells(
    verify: Verify,
    module: Option<&str>,
    kexec: &Kexec,
    checked: &Result<&str>,
) -> [String; 6] {
    let decision = kexec.decision.as_deref();
    let (decision, reason) = decision
        .and_then(|decision| decision.split_once(": "))
        .unwrap_or(("none", ""));
    [
        match (verify, module) {
            (Verify::M, Some(_)) => "m, module".to_owned(),
            (Verify::M, None) => "m, none".to_owned(),
            _ => verify.name().to_owned(),
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
