// SPDX-License-Identifier: GPL-2.0-only

//! Runs the purgatory on a machine without a kernel, case by case.

use anyhow::Result;

use super::Report;
use crate::bare::{Bare, Purgatory, SOURCES, cases};
use crate::layout::Layout;
use crate::progress::Step;
use crate::root::Rust;

/// The names of all cases for reports. Each begins with `group`.
pub fn names(group: &str) -> Vec<String> {
    cases()
        .iter()
        .map(|case| format!("{group}/{}", case.name))
        .collect()
}

/// Runs the selected cases with a purgatory that is built by this machine's compiler, or by `rust`;
/// see [`names`] for their names.
pub fn run(layout: &Layout, report: &mut Report, group: &str, rust: Option<Rust>) -> Result<()> {
    if !report.wants_any(&names(group)) {
        return Ok(());
    }
    let step = Step::start(match rust {
        None => "build the purgatory alone".to_owned(),
        Some(rust) => format!("build the purgatory alone by the {} Rust", rust.name()),
    });
    let purgatory = Purgatory::build(layout, &layout.overlay.join(SOURCES), rust)?;
    step.done();
    let bare = Bare::new(layout, purgatory)?;
    for case in cases() {
        report.test(&format!("{group}/{}", case.name), || case.run(&bare));
    }
    Ok(())
}
