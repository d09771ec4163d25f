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
use indexmap::IndexSet;

use self::boot::boot_all;
use self::boot::case::Case;
use self::crashes::contexts;
use self::filter::Filter;
use self::kernels::Kernels;
use self::report::Report;
pub use self::selftests::build as build_selftests;
use crate::debian::DebianOptions;
use crate::exit::Cause;
use crate::layout::Layout;
use crate::passed::Passed;
use crate::setup::Needs;

use Needs::{
    Bochs, Compression, Disk, Guest, Kernel, Quilt, Root, RustChecks, Selftests, Shellcheck,
    Source, Sparse, Sphinx, Tpm, Uefi,
};
use Part::{Cases, Host, HostTable, Listed, Tree, TreeTable};

/// Tests whose names begin with the name of the group.
struct Group {
    name: &'static str,
    /// What has to be installed before.
    needs: &'static [Needs],
    parts: &'static [Part],
}

/// Tests of a group: their names, as [`Filter::wants`] takes them, and what runs those that are
/// selected.
enum Part {
    /// With the grafted tree and kernels built from it.
    Tree(
        fn() -> Vec<String>,
        fn(kernels: &mut Kernels, report: &mut Report) -> Result<()>,
    ),
    /// Without a kernel tree.
    Host(
        fn() -> Vec<String>,
        fn(layout: &Layout, report: &mut Report) -> Result<()>,
    ),
    /// Like [`Part::Host`], but files have the names. Listing them builds no kernel.
    Listed(
        fn(layout: &Layout) -> Result<Vec<String>>,
        fn(layout: &Layout, report: &mut Report) -> Result<()>,
    ),
    /// Like [`Part::Tree`], with a function for each test.
    TreeTable(&'static [TreeTest]),
    /// Like [`Part::Host`], with a function for each test.
    HostTable(&'static [HostTest]),
    /// Kernels that are booted and enter others.
    Cases(fn() -> Vec<Case>),
}

/// The name of a test, and what it does with the grafted tree and kernels built from it.
type TreeTest = (&'static str, fn(kernels: &mut Kernels) -> Result<()>);

/// The name of a test, and what it does without a kernel tree.
type HostTest = (&'static str, fn(layout: &Layout) -> Result<()>);

const fn group(name: &'static str, needs: &'static [Needs], parts: &'static [Part]) -> Group {
    Group { name, needs, parts }
}

/// What a group needs that builds kernels.
const BUILD: &[Needs] = &[Source, Kernel];

/// What a group needs that boots kernels in QEMU.
const BOOT: &[Needs] = &[Source, Kernel, Guest];

/// Quick ones come first.
const GROUPS: &[Group] = &[
    group(
        CRATES,
        &[Source, RustChecks],
        &[Listed(crates::names, crates::run)],
    ),
    group("overlay", &[Source], &[HostTable(overlay::TESTS)]),
    group("pages", &[Source], &[HostTable(pages::TESTS)]),
    group(
        "shell",
        &[Source, Shellcheck],
        &[Listed(shell::names, shell::run)],
    ),
    group("samples", &[], &[Host(samples::names, samples::run)]),
    group(
        "patches",
        &[Source, Kernel, Quilt],
        &[Host(patches::names, patches::run)],
    ),
    group("roots", &[Source, Root], &[HostTable(roots::TESTS)]),
    group(
        "documentation",
        &[Source, Kernel, Sphinx],
        &[TreeTable(documentation::TESTS)],
    ),
    group("config", BUILD, &[Tree(config::names, config::run)]),
    group("ktap", BUILD, &[Tree(ktap::names, ktap::run)]),
    group(
        "bare",
        &[Source, Kernel, Guest, Bochs],
        &[Host(
            || bare::names("bare"),
            |layout, report| bare::run(layout, report, "bare", None),
        )],
    ),
    group(
        "mutants",
        &[Source, Kernel, Guest, Bochs],
        &[Listed(mutants::names, mutants::run)],
    ),
    group(
        mutants::GENERATED,
        &[Source],
        &[Host(mutants::generated_names, mutants::run_generated)],
    ),
    group(
        "mainline",
        BUILD,
        &[Tree(
            || mainline::names(mainline::FEW),
            |kernels, report| mainline::run(kernels, report, mainline::FEW),
        )],
    ),
    group(
        "compilers",
        &[Source, Kernel, Root],
        &[TreeTable(toolchain::COMPILERS)],
    ),
    group("bench", BUILD, &[Tree(bench::names, bench::run)]),
    group("boot", BOOT, &[HostTable(boot::TESTS), Cases(boot::cases)]),
    group(
        "machines",
        &[Source, Kernel, Guest, Root, Uefi],
        &[Cases(matrix::few)],
    ),
    group(
        "crashes",
        &[Source, Kernel, Guest, Root],
        &[
            Tree(crashes::names, crashes::run),
            Tree(
                || contexts::names(contexts::few()),
                |kernels, report| contexts::run(kernels, report, &contexts::few()),
            ),
        ],
    ),
    group("faults", BOOT, &[Tree(faults::names, faults::run)]),
    group("registers", BOOT, &[Tree(registers::names, registers::run)]),
    group(
        "purgatory",
        BUILD,
        &[Tree(purgatory::names, purgatory::run)],
    ),
    group("tail", BOOT, &[Tree(tail::names, tail::run)]),
    group(
        "selftests",
        &[Source, Kernel, Guest, Selftests],
        &[Tree(selftests::names, selftests::run)],
    ),
    group(
        "lint",
        &[Source, Kernel, Sparse, RustChecks],
        &[Tree(lint::names, lint::run)],
    ),
    group(
        "options",
        &[Source, Kernel, Guest, Root, Tpm],
        &[Cases(boot::options), Tree(handover::names, handover::run)],
    ),
    group(
        "debug",
        &[Source, Kernel, Guest, Root, Selftests],
        &[Tree(debug::names, debug::run)],
    ),
    group(
        "toolchain",
        &[Source, Kernel, Guest, Bochs, Root],
        &[
            TreeTable(toolchain::TESTS),
            Host(toolchain::bare_names, toolchain::run_bare),
            Tree(
                || mainline::names(mainline::OTHERS),
                |kernels, report| mainline::run(kernels, report, mainline::OTHERS),
            ),
        ],
    ),
    group(
        "matrix",
        &[Source, Kernel, Guest, Root, Uefi, Compression],
        &[
            Cases(matrix::rows),
            TreeTable(registers::IN_BOCHS),
            Tree(
                || contexts::names(contexts::many()),
                |kernels, report| contexts::run(kernels, report, &contexts::many()),
            ),
        ],
    ),
    group(
        "debian",
        &[Source, Guest, Root, Uefi, Disk],
        &[Host(debian::names, debian::run)],
    ),
    group(
        "long",
        &[Source, Kernel, Guest, Root],
        &[
            Tree(crashes::many_names, crashes::run_many),
            Tree(builds::names, builds::run),
            HostTable(bench::STATIC),
        ],
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

impl Part {
    fn names(&self, layout: &Layout) -> Result<Vec<String>> {
        match self {
            Tree(names, _) | Host(names, _) => Ok(names()),
            Listed(names, _) => names(layout),
            TreeTable(tests) => Ok(tests.iter().map(|(name, _)| (*name).to_owned()).collect()),
            HostTable(tests) => Ok(tests.iter().map(|(name, _)| (*name).to_owned()).collect()),
            Cases(cases) => Ok(cases().iter().flat_map(Case::names).collect()),
        }
    }

    /// Runs the selected tests. Makes `kernels` if they are needed first here.
    fn run<'a>(
        &self,
        layout: &'a Layout,
        kernels: &mut Option<Kernels<'a>>,
        report: &mut Report,
    ) -> Result<()> {
        match self {
            Tree(_, run) => return run(made(layout, kernels)?, report),
            Host(_, run) | Listed(_, run) => return run(layout, report),
            TreeTable(tests) => {
                let kernels = made(layout, kernels)?;
                for (name, test) in *tests {
                    report.test(name, || test(kernels));
                }
            }
            HostTable(tests) => {
                for (name, test) in *tests {
                    report.test(name, || test(layout));
                }
            }
            Cases(cases) => boot_all(made(layout, kernels)?, report, &cases()),
        }
        Ok(())
    }
}

/// The grafted tree and its kernels. Makes them if there are none yet.
fn made<'k, 'a>(
    layout: &'a Layout,
    kernels: &'k mut Option<Kernels<'a>>,
) -> Result<&'k mut Kernels<'a>> {
    match kernels {
        Some(kernels) => Ok(kernels),
        None => Ok(kernels.insert(Kernels::new(layout)?)),
    }
}

impl Group {
    fn names(&self, layout: &Layout) -> Result<Vec<String>> {
        let names = self.parts.iter().map(|part| part.names(layout));
        Ok(names.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Whether `filter` can select tests of this group, whatever their names are. Unless
    /// `on_request`, a group of [`ON_REQUEST`] has to be named.
    fn can_run(&self, filter: &Filter, on_request: bool) -> bool {
        match filter.group() {
            Some(group) => group == self.name,
            None => on_request || !ON_REQUEST.contains(&self.name),
        }
    }

    /// Whether tests may be selected. Builds nothing: the names of [`CRATES`] are not known.
    fn may_run(&self, layout: &Layout, filter: &Filter, on_request: bool) -> bool {
        if self.name == CRATES {
            return self.can_run(filter, on_request);
        }
        // Listing the names may need what is not yet installed.
        let names = self.wanted(layout, filter, on_request);
        !names.is_ok_and(|names| names.is_empty())
    }

    /// The names of the tests that `filter` selects. Unless `on_request`, a group of [`ON_REQUEST`]
    /// has to be named.
    fn wanted(&self, layout: &Layout, filter: &Filter, on_request: bool) -> Result<Vec<String>> {
        if !self.can_run(filter, on_request) {
            return Ok(Vec::new());
        }
        let mut names = self.names(layout)?;
        names.retain(|name| filter.wants(name));
        Ok(names)
    }

    /// Runs the selected tests. At least one is selected.
    fn run<'a>(
        &self,
        layout: &'a Layout,
        kernels: &mut Option<Kernels<'a>>,
        report: &mut Report,
    ) -> Result<()> {
        self.parts
            .iter()
            .try_for_each(|part| part.run(layout, kernels, report))
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

/// What the tests need that [`run`] runs for `filter`.
pub fn needs(layout: &Layout, filter: Option<String>) -> Vec<Needs> {
    needs_of(layout, filter, GROUPS.iter().collect(), false)
}

/// What the tests need that [`run_matrix`] runs for `filter`.
pub fn needs_of_matrix(layout: &Layout, filter: Option<String>) -> Vec<Needs> {
    needs_of(layout, filter, of_names(MATRIX), true)
}

fn needs_of(
    layout: &Layout,
    filter: Option<String>,
    groups: Vec<&Group>,
    on_request: bool,
) -> Vec<Needs> {
    let filter = new_filter(filter);
    groups
        .into_iter()
        .filter(|group| group.may_run(layout, &filter, on_request))
        .flat_map(|group| group.needs)
        .copied()
        .collect::<IndexSet<_>>()
        .into_iter()
        .collect()
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
