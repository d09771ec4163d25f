// SPDX-License-Identifier: GPL-2.0-only

//! Every test, counted.

mod bare;
mod bench;
mod boot;
mod crates;
mod documentation;
mod kernels;
mod ktap;
mod mainline;
mod patches;
mod purgatory;
mod report;
mod selftests;

use anyhow::Result;

use self::kernels::Kernels;
use self::report::Report;
use crate::layout::Layout;

/// Runs the tests whose name has `filter`; says whether all passed. Quick ones come first.
pub fn run(layout: &Layout, filter: Option<String>) -> bool {
    let mut report = Report::new(filter);
    group(&mut report, "crates", |report| crates::run(layout, report));
    group(&mut report, "patches", |report| {
        patches::run(layout, report)
    });
    group(&mut report, "bare", |report| bare::run(layout, report));
    if ["bench", "boot", "documentation", "mainline", "purgatory", "selftests"]
        .iter()
        .any(|name| report.wants_group(name))
    {
        match Kernels::new(layout) {
            Ok(mut kernels) => {
                group(&mut report, "documentation", |report| {
                    documentation::run(&kernels, report)
                });
                group(&mut report, "mainline", |report| {
                    mainline::run(&kernels, report)
                });
                group(&mut report, "bench", |report| {
                    bench::run(&mut kernels, report)
                });
                group(&mut report, "purgatory", |report| {
                    purgatory::run(&mut kernels, report)
                });
                group(&mut report, "boot", |report| {
                    boot::run(&mut kernels, report)
                });
                group(&mut report, "selftests", |report| {
                    selftests::run(&mut kernels, report)
                });
            }
            Err(error) => report.record("boot/kernels", Err(error)),
        }
    }
    report.finish()
}

/// Runs the tests whose names begin with `name`; what keeps them from running is a failure too.
fn group(report: &mut Report, name: &str, run: impl FnOnce(&mut Report) -> Result<()>) {
    if report.wants_group(name)
        && let Err(error) = run(report)
    {
        report.record(name, Err(error));
    }
}
