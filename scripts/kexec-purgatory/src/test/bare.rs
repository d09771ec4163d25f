// SPDX-License-Identifier: GPL-2.0-only

//! Runs the purgatory on a machine without a kernel, case by case.

use anyhow::Result;

use super::Report;
use crate::bare::{Bare, Purgatory, SOURCES, cases};
use crate::layout::Layout;
use crate::progress::Step;
use crate::root::Rust;

pub fn names() -> Vec<String> {
    names_in("bare")
}

/// The names of all cases for reports. Each begins with `group`.
pub fn names_in(group: &str) -> Vec<String> {
    cases()
        .iter()
        .map(|case| format!("{group}/{}", case.name))
        .collect()
}

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
    let step = Step::start("build the purgatory alone");
    let purgatory = Purgatory::build(layout, &layout.overlay.join(SOURCES))?;
    step.done();
    run_with(layout, report, "bare", purgatory)
}

/// Runs the cases with a purgatory that was built by another compiler; see [`names_in`] for their
/// names.
pub fn run_built_by(layout: &Layout, report: &mut Report, group: &str, rust: Rust) -> Result<()> {
    let step = Step::start(format!(
        "build the purgatory alone by the {} Rust",
        rust.name()
    ));
    let purgatory = Purgatory::build_by(layout, &layout.overlay.join(SOURCES), rust)?;
    step.done();
    run_with(layout, report, group, purgatory)
}

fn run_with(layout: &Layout, report: &mut Report, group: &str, purgatory: Purgatory) -> Result<()> {
    let bare = Bare::new(layout, purgatory)?;
    for case in cases() {
        report.test(&format!("{group}/{}", case.name), || case.run(&bare));
    }
    Ok(())
}
