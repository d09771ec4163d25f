// SPDX-License-Identifier: GPL-2.0-only

//! The commands that run tests. Selects the tests of a command, and runs and counts them.

use anyhow::{Result, anyhow, ensure};
use indexmap::IndexSet;

use super::filter::Filter;
use super::{CHECK, CRATES, GROUPS, Group, Kernels, MATRIX, ON_REQUEST, Report, crates};
use crate::debian::DebianOptions;
use crate::exit::Cause;
use crate::layout::Layout;
use crate::passed::Passed;
use crate::setup::Needs;

/// The tests of a command.
#[derive(Clone, Copy, PartialEq)]
pub enum Suite {
    /// `make test`: those of all groups. A group of [`ON_REQUEST`] has to be named.
    Test,
    /// `make matrix`: those of the groups in [`MATRIX`]. A table of the results is printed.
    Matrix,
    /// `make check`: those of the groups in [`CHECK`].
    Check,
}

impl Suite {
    /// The directory for the JUnit file, below the build directory.
    fn folder(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Matrix => "matrix",
            Self::Check => "check",
        }
    }

    fn groups(self) -> impl Iterator<Item = &'static Group> {
        GROUPS.iter().filter(move |group| match self {
            Self::Test => true,
            Self::Matrix => MATRIX.contains(&group.name),
            Self::Check => CHECK.contains(&group.name),
        })
    }
}

/// Prints the names of the tests of [`Suite::Test`] that `filter` selects, one per line, and builds
/// nothing. A name that ends in a slash stands for tests below it, whose names are known only when
/// they run.
pub fn list(layout: &Layout, filter: Option<String>) -> Result<bool> {
    let filter = new_filter(filter);
    let mut names = Vec::new();
    for group in GROUPS {
        match group.name {
            CRATES => names.extend(crates::folders().filter(|name| filter.wants(name))),
            _ => names.extend(group.wanted(layout, &filter, Suite::Test)?),
        }
    }
    ensure!(!names.is_empty(), none_of(&filter, Suite::Test));
    for name in names {
        println!("{name}");
    }
    Ok(true)
}

/// What the tests need that `filter` selects.
pub fn needs(layout: &Layout, suite: Suite, filter: Option<String>) -> Vec<Needs> {
    let filter = new_filter(filter);
    suite
        .groups()
        .filter(|group| group.may_run(layout, &filter, suite))
        .flat_map(|group| group.needs)
        .copied()
        .collect::<IndexSet<_>>()
        .into_iter()
        .collect()
}

/// Runs the tests that `filter` selects. Returns whether all passed. `guest` has the options of the
/// group debian, if that can be selected.
pub fn run(
    layout: &Layout,
    suite: Suite,
    filter: Option<String>,
    guest: Option<DebianOptions>,
) -> Result<bool> {
    let filter = new_filter(filter);
    let mut kernels = None;
    if suite == Suite::Test && filter.text().is_empty() {
        kernels = match Kernels::new(layout) {
            Ok(kernels) => Some(kernels),
            Err(error) if error.is::<Cause>() => return Err(error),
            // The groups that need them report why there are none.
            Err(_) => None,
        };
        kernels.iter_mut().for_each(Kernels::start);
    }
    let wanted: Vec<(&Group, Result<Vec<String>>)> = suite
        .groups()
        .map(|group| (group, group.wanted(layout, &filter, suite)))
        .filter(|(_, names)| !names.as_ref().is_ok_and(Vec::is_empty))
        .collect();
    ensure!(!wanted.is_empty(), none_of(&filter, suite));
    let names = wanted.iter().map(|(_, names)| names.as_ref().ok());
    let mut report = Report::start(filter, guest, planned(names));
    let mut records = Vec::new();
    for (group, names) in wanted {
        // An error that keeps a group from running counts as a failure.
        let ran = names.and_then(|names| {
            let whole = names == group.names(layout)?;
            // The record does not know what is in a tree of the user's own.
            let resumes = whole && suite == Suite::Matrix && layout.kdir.is_none();
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
    ensure!(!report.is_empty(), none_of(report.filter(), suite));
    // A run is complete if all its groups are.
    if let Some(complete) = records.into_iter().collect::<Option<Vec<Passed>>>() {
        complete.iter().try_for_each(Passed::forget)?;
    }
    if suite == Suite::Matrix {
        report.add_table(report.table());
    }
    let good = report.finish(&layout.build.join(suite.folder()).join("junit.xml"));
    let skipped = "no test was run; the lines above say what is missing";
    Ok(good.ok_or_else(|| Cause::Missing(skipped.to_owned()))?)
}

pub fn new_filter(text: Option<String>) -> Filter {
    Filter::new(text, GROUPS.iter().map(|group| group.name))
}

/// The number of tests, if all their names are known.
pub fn planned<'a>(groups: impl Iterator<Item = Option<&'a Vec<String>>>) -> Option<usize> {
    let known = |names: &&Vec<String>| !names.iter().any(|name| name.ends_with('/'));
    groups.map(|names| names.filter(known).map(Vec::len)).sum()
}

/// Counts a failure for each selected test of a group that was not counted.
pub fn all_ran(names: &[String], report: &mut Report) {
    for name in names {
        if !name.ends_with('/') && !report.has(name) {
            report.fail(name, &anyhow!("the test was not run"));
        }
    }
}

/// The error if the filter selects no test.
pub fn none_of(filter: &Filter, suite: Suite) -> Cause {
    let names: Vec<&str> = suite.groups().map(|group| group.name).collect();
    let mut text = format!(
        "no test matches {:?}; groups are: {}",
        filter.text(),
        names.join(", ")
    );
    // Other commands have no groups that have to be named.
    if suite == Suite::Test {
        text += &format!(
            ". A filter for tests of {}, or for tests that only a run reveals, starts with the \
             beginning of their names, as in long/build and boot/y-kunit",
            ON_REQUEST.join(", ")
        );
    }
    Cause::Use(text)
}
