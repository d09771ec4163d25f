// SPDX-License-Identifier: GPL-2.0-only

//! Every test, counted.

mod bare;
mod bench;
mod boot;
mod config;
mod crates;
mod debug;
mod documentation;
mod faults;
mod kernels;
mod ktap;
mod mainline;
mod mutants;
mod patches;
mod purgatory;
mod registers;
mod report;
mod selftests;
mod tail;

use anyhow::Result;

use self::kernels::Kernels;
use self::report::Report;
use crate::layout::Layout;

/// Tests whose names begin with that of the group.
type Group = (
    &'static str,
    fn(kernels: &mut Kernels, report: &mut Report) -> Result<()>,
);

/// Quick ones come first.
const GROUPS: &[Group] = &[
    ("crates", |kernels, report| {
        crates::run(kernels.layout, report)
    }),
    ("patches", |kernels, report| {
        patches::run(kernels.layout, report)
    }),
    ("documentation", |kernels, report| {
        documentation::run(kernels, report)
    }),
    ("config", |kernels, report| config::run(kernels, report)),
    ("bare", |kernels, report| bare::run(kernels.layout, report)),
    ("mutants", |kernels, report| {
        mutants::run(kernels.layout, report)
    }),
    ("mainline", |kernels, report| mainline::run(kernels, report)),
    ("bench", bench::run),
    ("boot", boot::run),
    ("faults", faults::run),
    ("registers", registers::run),
    ("purgatory", purgatory::run),
    ("tail", tail::run),
    ("selftests", selftests::run),
    (ON_REQUEST, debug::run),
];

/// A group that only a filter that names it asks for: its kernel alone takes longer to build than
/// all others together.
const ON_REQUEST: &str = "debug";

/// Runs the tests whose name has `filter`; says whether all passed.
pub fn run(layout: &Layout, filter: Option<String>) -> Result<bool> {
    let requested = filter
        .as_deref()
        .is_some_and(|filter| filter.starts_with(ON_REQUEST));
    let mut report = Report::new(filter);
    let mut kernels = Kernels::new(layout)?;
    for (name, run) in GROUPS {
        // What keeps a group from running is a failure too.
        if report.wants_group(name)
            && (*name != ON_REQUEST || requested)
            && let Err(error) = run(&mut kernels, &mut report)
        {
            report.record(name, Err(error));
        }
    }
    Ok(report.finish())
}
