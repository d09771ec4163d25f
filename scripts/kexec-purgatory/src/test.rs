// SPDX-License-Identifier: GPL-2.0-only

//! Runs and counts every test.

mod arm;
mod bare;
mod bench;
mod boot;
mod builds;
mod config;
mod crashes;
mod crates;
mod debian;
mod debug;
mod documentation;
mod faults;
mod filter;
mod handover;
mod kernels;
mod ktap;
mod lint;
mod mainline;
mod matrix;
mod mutants;
mod overlay;
mod pages;
mod patches;
mod purgatory;
mod registers;
mod report;
mod roots;
mod samples;
mod selftests;
mod shell;
mod tail;
mod toolchain;

use anyhow::{Result, anyhow, ensure};

use self::filter::Filter;
use self::kernels::Kernels;
use self::report::Report;
pub use self::selftests::build as build_selftests;
use crate::debian::DebianOptions;
use crate::exit::Cause;
use crate::layout::Layout;
use crate::passed::Passed;

use Names::{Known, Listed};

/// Tests whose names begin with the name of the group.
struct Group {
    name: &'static str,
    names: Names,
    run: Run,
}

/// The names of a group's tests, as [`Filter::wants`] takes them.
#[derive(Clone, Copy)]
enum Names {
    Known(fn() -> Vec<String>),
    /// Builds no kernel.
    Listed(fn(layout: &Layout) -> Result<Vec<String>>),
}

/// Runs the selected tests of a group. At least one is selected.
#[derive(Clone, Copy)]
enum Run {
    /// With the grafted tree and kernels built from it.
    Kernels(fn(kernels: &mut Kernels, report: &mut Report) -> Result<()>),
    /// Without a kernel tree.
    Host(fn(layout: &Layout, report: &mut Report) -> Result<()>),
}

/// A group that needs the grafted tree.
const fn group(
    name: &'static str,
    names: fn() -> Vec<String>,
    run: fn(&mut Kernels, &mut Report) -> Result<()>,
) -> Group {
    let (names, run) = (Names::Known(names), Run::Kernels(run));
    Group { name, names, run }
}

/// A group that does not need the grafted tree.
const fn host(
    name: &'static str,
    names: Names,
    run: fn(&Layout, &mut Report) -> Result<()>,
) -> Group {
    let run = Run::Host(run);
    Group { name, names, run }
}

/// Quick ones come first.
const GROUPS: &[Group] = &[
    host(CRATES, Listed(crates::names), crates::run),
    host("overlay", Known(overlay::names), overlay::run),
    host("pages", Known(pages::names), pages::run),
    host("shell", Listed(shell::names), shell::run),
    host("samples", Known(samples::names), samples::run),
    host("patches", Known(patches::names), patches::run),
    host("roots", Known(roots::names), roots::run),
    group("documentation", documentation::names, documentation::run),
    group("config", config::names, config::run),
    group("ktap", ktap::names, ktap::run),
    host("bare", Known(bare::names), bare::run),
    host("mutants", Listed(mutants::names), mutants::run),
    host(
        mutants::GENERATED,
        Known(mutants::generated_names),
        mutants::run_generated,
    ),
    group("mainline", mainline::few_names, mainline::run_few),
    group("compilers", toolchain::few_names, toolchain::run_few),
    group("bench", bench::names, bench::run),
    group("boot", boot::names, boot::run),
    group("machines", matrix::few_names, matrix::run_few),
    group("crashes", crashes::names, crashes::run),
    group("faults", faults::names, faults::run),
    group("registers", registers::names, registers::run),
    group("purgatory", purgatory::names, purgatory::run),
    group("tail", tail::names, tail::run),
    group("selftests", selftests::names, selftests::run),
    group("lint", lint::names, lint::run),
    group(
        "options",
        || [boot::option_names(), handover::names()].concat(),
        |kernels, report| {
            boot::run_options(kernels, report)?;
            handover::run(kernels, report)
        },
    ),
    group("debug", debug::names, debug::run),
    group(
        "toolchain",
        || [toolchain::names(), mainline::other_names()].concat(),
        |kernels, report| {
            toolchain::run(kernels, report)?;
            mainline::run_others(kernels, report)
        },
    ),
    group("matrix", matrix::names, matrix::run),
    host("debian", Known(debian::names), debian::run),
    group(
        "long",
        || {
            [
                crashes::many_names(),
                builds::names(),
                bench::static_names(),
            ]
            .concat()
        },
        |kernels, report| {
            crashes::run_many(kernels, report)?;
            builds::run(kernels, report)?;
            bench::run_static(kernels.layout, report);
            Ok(())
        },
    ),
];

/// Groups that run only if a filter names them: they take longer than all others together, or have
/// what a longer one has too.
const ON_REQUEST: &[&str] = &[
    "compilers",
    "options",
    "toolchain",
    "matrix",
    "debian",
    "debug",
    "long",
    mutants::GENERATED,
];

/// The groups of `make matrix`: machines, kernels, checkers, compilers and crashes. A run that was
/// interrupted goes on where it ended.
const MATRIX: &[&str] = &[
    "compilers",
    "options",
    "debug",
    "toolchain",
    "matrix",
    "long",
];

/// The directories for the JUnit files of `make test` and `make matrix`, below the build directory.
const TEST_FOLDER: &str = "test";
const MATRIX_FOLDER: &str = "matrix";

/// The groups that need no root, no kernel, and no package except git, a C compiler and Rust.
const CHECK: &[&str] = &[CRATES, "overlay", "pages", "shell"];

/// A group whose tests have to be built before their names are known.
const CRATES: &str = "crates";

impl Group {
    fn names(&self, layout: &Layout) -> Result<Vec<String>> {
        match self.names {
            Known(names) => Ok(names()),
            Listed(names) => names(layout),
        }
    }

    /// The names of the tests that `filter` selects. Unless `on_request`, a group of [`ON_REQUEST`]
    /// has to be named.
    fn wanted(&self, layout: &Layout, filter: &Filter, on_request: bool) -> Result<Vec<String>> {
        match filter.group() {
            Some(group) if group != self.name => return Ok(Vec::new()),
            None if ON_REQUEST.contains(&self.name) && !on_request => return Ok(Vec::new()),
            _ => {}
        }
        let mut names = self.names(layout)?;
        names.retain(|name| filter.wants(name));
        Ok(names)
    }

    /// Runs the selected tests.
    fn run<'a>(
        &self,
        layout: &'a Layout,
        kernels: &mut Option<Kernels<'a>>,
        report: &mut Report,
    ) -> Result<()> {
        match self.run {
            Run::Host(run) => run(layout, report),
            Run::Kernels(run) => {
                let kernels = match kernels {
                    Some(kernels) => kernels,
                    None => kernels.insert(Kernels::new(layout)?),
                };
                run(kernels, report)
            }
        }
    }
}

/// Prints the names of the tests that `filter` selects, one per line, and builds nothing. A name
/// that ends in a slash stands for tests below it, whose names are known only when they run.
pub fn list(layout: &Layout, filter: Option<String>) -> Result<bool> {
    let filter = new_filter(filter);
    let groups: Vec<&Group> = GROUPS.iter().collect();
    let mut names = Vec::new();
    for group in &groups {
        match group.name {
            CRATES => names.extend(crates::folders().filter(|name| filter.wants(name))),
            _ => names.extend(group.wanted(layout, &filter, false)?),
        }
    }
    ensure!(!names.is_empty(), none_of(&filter, &groups));
    for name in names {
        println!("{name}");
    }
    Ok(true)
}

/// Runs the tests that `filter` selects. Returns whether all passed. `guest` has the
/// options of the group debian.
pub fn run(layout: &Layout, filter: Option<String>, guest: DebianOptions) -> Result<bool> {
    let groups = GROUPS.iter().collect();
    run_of(layout, filter, Some(guest), groups, TEST_FOLDER)
}

/// Like [`run`], for the groups in [`MATRIX`]. Prints a table of the results.
pub fn run_matrix(layout: &Layout, filter: Option<String>) -> Result<bool> {
    run_of(layout, filter, None, of_names(MATRIX), MATRIX_FOLDER)
}

/// Like [`run`], for the tests that need no root and no kernel.
pub fn check(layout: &Layout, filter: Option<String>) -> Result<bool> {
    run_of(layout, filter, None, of_names(CHECK), "check")
}

/// The groups of these names.
fn of_names(names: &[&str]) -> Vec<&'static Group> {
    GROUPS
        .iter()
        .filter(|group| names.contains(&group.name))
        .collect()
}

fn new_filter(text: Option<String>) -> Filter {
    Filter::new(text, GROUPS.iter().map(|group| group.name))
}

/// A group, and the names of its tests that are selected.
type Wanted = (&'static Group, Result<Vec<String>>);

/// Those of `groups` of which tests are selected.
fn wanted(
    layout: &Layout,
    filter: &Filter,
    groups: &[&'static Group],
    on_request: bool,
) -> Vec<Wanted> {
    groups
        .iter()
        .map(|group| (*group, group.wanted(layout, filter, on_request)))
        .filter(|(_, names)| !names.as_ref().is_ok_and(Vec::is_empty))
        .collect()
}

/// Runs tests of some groups. `folder` is the directory for the JUnit file, below the build
/// directory.
fn run_of(
    layout: &Layout,
    filter: Option<String>,
    guest: Option<DebianOptions>,
    groups: Vec<&'static Group>,
    folder: &str,
) -> Result<bool> {
    let filter = new_filter(filter);
    let mut kernels = None;
    if folder == TEST_FOLDER && filter.text().is_empty() {
        // The groups that need them report why there are none.
        kernels = Kernels::new(layout).ok();
        kernels.iter_mut().for_each(Kernels::start);
    }
    let wanted = wanted(layout, &filter, &groups, folder == MATRIX_FOLDER);
    ensure!(!wanted.is_empty(), none_of(&filter, &groups));
    let names = wanted.iter().map(|(_, names)| names.as_ref().ok());
    let mut report = Report::start(filter, guest, planned(names));
    let mut records = Vec::new();
    for (group, names) in wanted {
        // An error that keeps a group from running counts as a failure.
        let ran = names.and_then(|names| {
            let whole = names == group.names(layout)?;
            // The record does not know what is in a tree of the user's own.
            let resumes = whole && folder == MATRIX_FOLDER && layout.kdir.is_none();
            if resumes {
                report.resume(Passed::of(layout, group.name)?, &names);
            }
            let ran = group.run(layout, &mut kernels, &mut report);
            if ran.is_ok() {
                all_ran(&names, &mut report);
            }
            if resumes {
                records.push(report.ran(&names));
            }
            ran
        });
        if let Err(error) = ran {
            records.push(None);
            report.fail(group.name, &error);
        }
    }
    ensure!(!report.is_empty(), none_of(report.filter(), &groups));
    // A run is complete if all its groups are.
    if let Some(complete) = records.into_iter().collect::<Option<Vec<Passed>>>() {
        complete.iter().try_for_each(Passed::forget)?;
    }
    if folder == MATRIX_FOLDER {
        report.add_table(report.table());
    }
    Ok(report.finish(&layout.build.join(folder).join("junit.xml")))
}

/// The number of tests, if all their names are known.
fn planned<'a>(groups: impl Iterator<Item = Option<&'a Vec<String>>>) -> Option<usize> {
    let mut sum = 0;
    for names in groups {
        let names = names?;
        if names.iter().any(|name| name.ends_with('/')) {
            return None;
        }
        sum += names.len();
    }
    Some(sum)
}

/// Counts a failure for each selected test of a group that was not counted.
fn all_ran(names: &[String], report: &mut Report) {
    for name in names {
        if !name.ends_with('/') && !report.has(name) {
            report.fail(name, &anyhow!("the test was not run"));
        }
    }
}

/// The error if the filter selects no test of these groups.
fn none_of(filter: &Filter, groups: &[&Group]) -> Cause {
    let names: Vec<&str> = groups.iter().map(|group| group.name).collect();
    let mut text = format!(
        "no test matches {:?}; groups are: {}",
        filter.text(),
        names.join(", ")
    );
    // Other commands have no groups that have to be named.
    if groups.len() == GROUPS.len() {
        text += &format!(
            ". A filter for tests of {}, or for tests that only a run reveals, starts with the \
             beginning of their names, as in long/build and boot/y-kunit",
            ON_REQUEST.join(", ")
        );
    }
    Cause::Use(text)
}

#[cfg(test)]
mod tests;
