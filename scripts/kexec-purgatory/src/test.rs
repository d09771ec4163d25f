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
mod filter;
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

use anyhow::{Result, ensure};

use self::filter::Filter;
use self::kernels::Kernels;
use self::report::Report;
use crate::layout::Layout;

/// Tests whose names begin with that of the group.
struct Group {
    name: &'static str,
    names: Names,
    run: Run,
}

/// The names of a group's tests, as [`Filter::wants`] takes them. No kernel is built for them.
type Names = fn(layout: &Layout) -> Result<Vec<String>>;

/// Runs those of a group's tests that are asked for; some are.
type Run = fn(kernels: &mut Kernels, report: &mut Report) -> Result<()>;

const fn group(name: &'static str, names: Names, run: Run) -> Group {
    Group { name, names, run }
}

/// Quick ones come first.
const GROUPS: &[Group] = &[
    group("crates", crates::names, |kernels, report| {
        crates::run(kernels.layout, report);
        Ok(())
    }),
    group(
        "patches",
        |_| Ok(patches::names()),
        |kernels, report| patches::run(kernels.layout, report),
    ),
    group(
        "documentation",
        |_| Ok(documentation::names()),
        |kernels, report| documentation::run(kernels, report),
    ),
    group(
        "config",
        |_| Ok(config::names()),
        |kernels, report| config::run(kernels, report),
    ),
    group(
        "bare",
        |_| Ok(bare::names()),
        |kernels, report| bare::run(kernels.layout, report),
    ),
    group("mutants", mutants::names, |kernels, report| {
        mutants::run(kernels.layout, report)
    }),
    group(
        "mainline",
        |_| Ok(mainline::names()),
        |kernels, report| mainline::run(kernels, report),
    ),
    group("bench", |_| Ok(bench::names()), bench::run),
    group("boot", |_| Ok(boot::names()), boot::run),
    group("faults", |_| Ok(faults::names()), faults::run),
    group("registers", |_| Ok(registers::names()), registers::run),
    group("purgatory", |_| Ok(purgatory::names()), purgatory::run),
    group("tail", |_| Ok(tail::names()), tail::run),
    group("selftests", |_| Ok(selftests::names()), selftests::run),
    group(ON_REQUEST, |_| Ok(debug::names()), debug::run),
];

/// A group that only a filter that names it asks for: its kernel alone takes longer to build than
/// all others together.
const ON_REQUEST: &str = "debug";

impl Group {
    /// Whether some test of it is asked for.
    fn is_wanted(&self, layout: &Layout, filter: &Filter) -> Result<bool> {
        match filter.group() {
            Some(group) if group != self.name => return Ok(false),
            None if self.name == ON_REQUEST => return Ok(false),
            _ => {}
        }
        // What the group's own name has, all of its tests have.
        Ok(filter.wants(self.name) || (self.names)(layout)?.iter().any(|name| filter.wants(name)))
    }
}

/// Runs the tests that `filter` asks for; says whether all passed.
pub fn run(layout: &Layout, filter: Option<String>) -> Result<bool> {
    let filter = Filter::new(filter, GROUPS.iter().map(|group| group.name));
    let mut report = Report::new(filter.clone());
    let mut wanted = Vec::new();
    for group in GROUPS {
        match group.is_wanted(layout, &filter) {
            Ok(true) => wanted.push(group),
            Ok(false) => {}
            // What keeps a group from running is a failure too.
            Err(error) => report.fail(group.name, &error),
        }
    }
    if !wanted.is_empty() {
        let mut kernels = Kernels::new(layout)?;
        for group in wanted {
            if let Err(error) = (group.run)(&mut kernels, &mut report) {
                report.fail(group.name, &error);
            }
        }
    }
    ensure!(!report.is_empty(), none_of(&filter));
    Ok(report.finish())
}

/// Why no test was run.
fn none_of(filter: &Filter) -> String {
    let groups: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
    format!(
        "no test's name has {:?}; groups are: {}. Tests of {ON_REQUEST}, and those that only a run \
         tells, are found by the beginning of their names, as in {ON_REQUEST}/quiet and boot/y-kunit",
        filter.text(),
        groups.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// All but one, which is not asked for the names of its tests: it takes a build to tell them.
    fn groups() -> impl Iterator<Item = &'static Group> {
        GROUPS.iter().filter(|group| group.name != "crates")
    }

    /// Of this checkout. Nothing is made there.
    fn layout() -> Layout {
        let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        Layout {
            build: overlay.join("build"),
            cache: overlay.join("build"),
            overlay,
        }
    }

    /// The groups that run with a filter.
    fn wanted(text: &str) -> Vec<&'static str> {
        let filter = Filter::new(Some(text.to_owned()), GROUPS.iter().map(|group| group.name));
        groups()
            .filter(|group| group.is_wanted(&layout(), &filter).unwrap())
            .map(|group| group.name)
            .collect()
    }

    #[test]
    fn groups_run_for_the_names_of_their_tests() {
        for (text, expected) in [
            ("added-lines", "patches"),
            ("html", "documentation"),
            ("prompt", "config"),
            ("engine/avx512", "bare"),
            ("magic-unchecked", "mutants"),
            ("s390", "mainline"),
            ("programs", "bench"),
            ("y-normal", "boot"),
            ("y-shani-x2", "boot"),
            ("y-kunit/rust_kexec_decision", "boot"),
            ("clean load", "faults"),
            ("registers/verified", "registers"),
            ("stack-bound", "purgatory"),
            ("own-nokaslr", "tail"),
            ("as-mainline", "selftests"),
            ("test_kexec_policy.sh/", "selftests"),
        ] {
            assert_eq!(wanted(text), [expected], "{text}");
        }
        assert_eq!(
            wanted("scalar"),
            [
                "bare",
                "mutants",
                "boot",
                "faults",
                "registers",
                "purgatory"
            ]
        );
    }

    #[test]
    fn a_group_that_is_named_runs_alone() {
        for group in groups() {
            assert_eq!(wanted(group.name), [group.name]);
        }
        assert_eq!(wanted("purgatory/stack"), ["purgatory"]);
        assert_eq!(wanted("debug/modinfo"), ["debug"]);
    }

    #[test]
    fn nothing_runs_for_what_no_name_has() {
        for text in ["no such test", "boot/y-normale", "boot-y", "watched"] {
            assert!(wanted(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn names_begin_with_that_of_the_group() {
        for group in groups() {
            for name in (group.names)(&layout()).unwrap() {
                let rest = name.strip_prefix(group.name).unwrap_or(&name);
                assert!(rest.is_empty() || rest.starts_with('/'), "{name}");
            }
        }
    }
}
