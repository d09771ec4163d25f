// SPDX-License-Identifier: GPL-2.0-only

//! The purgatory on a machine without a kernel, case by case.

use anyhow::Result;

use super::Report;
use crate::bare::{Bare, Blob, SOURCES, cases};
use crate::layout::Layout;
use crate::progress::Step;

pub fn names() -> Vec<String> {
    cases().iter().map(|case| name(&case.name)).collect()
}

/// The name of a case for reports.
fn name(case: &str) -> String {
    format!("bare/{case}")
}

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
    let step = Step::start("build the purgatory alone");
    let blob = Blob::build(layout, &layout.overlay.join(SOURCES))?;
    step.done();
    let bare = Bare::new(layout, blob)?;
    for case in cases() {
        report.test(&name(&case.name), || case.run(&bare));
    }
    Ok(())
}
