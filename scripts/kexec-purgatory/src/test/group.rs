// SPDX-License-Identifier: GPL-2.0-only

//! What a group of tests consists of, and how it is run.

use anyhow::Result;

use super::boot::boot_all;
use super::boot::case::Case;
use super::filter::Filter;
use super::suite::Suite;
use super::{CRATES, Kernels, ON_REQUEST, Report};
use crate::layout::Layout;
use crate::setup::Needs;

use Part::{Cases, Host, HostTable, Listed, Tree, TreeTable};

/// Tests whose names begin with the name of the group.
pub struct Group {
    pub name: &'static str,
    /// What has to be installed before.
    pub needs: &'static [Needs],
    parts: &'static [Part],
}

/// Tests of a group: their names, as [`Filter::wants`] takes them, and what runs those that are
/// selected.
pub enum Part {
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
pub type TreeTest = (&'static str, fn(kernels: &mut Kernels) -> Result<()>);

/// The name of a test, and what it does without a kernel tree.
pub type HostTest = (&'static str, fn(layout: &Layout) -> Result<()>);

pub const fn group(name: &'static str, needs: &'static [Needs], parts: &'static [Part]) -> Group {
    Group { name, needs, parts }
}

/// The names in a table of tests.
pub fn table_names<T>(tests: &[(&'static str, T)]) -> Vec<String> {
    tests.iter().map(|(name, _)| (*name).to_owned()).collect()
}

impl Part {
    fn names(&self, layout: &Layout) -> Result<Vec<String>> {
        match self {
            Tree(names, _) | Host(names, _) => Ok(names()),
            Listed(names, _) => names(layout),
            TreeTable(tests) => Ok(table_names(tests)),
            HostTable(tests) => Ok(table_names(tests)),
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
    pub fn names(&self, layout: &Layout) -> Result<Vec<String>> {
        let names = self.parts.iter().map(|part| part.names(layout));
        Ok(names.collect::<Result<Vec<_>>>()?.concat())
    }

    /// Whether `filter` can select tests of this group, whatever their names are. In
    /// [`Suite::Test`], a group of [`ON_REQUEST`] has to be named.
    fn can_run(&self, filter: &Filter, suite: Suite) -> bool {
        match filter.group() {
            Some(group) => group == self.name,
            None => suite != Suite::Test || !ON_REQUEST.contains(&self.name),
        }
    }

    /// Whether tests may be selected. Builds nothing: the names of [`CRATES`] are not known.
    pub fn may_run(&self, layout: &Layout, filter: &Filter, suite: Suite) -> bool {
        if self.name == CRATES {
            return self.can_run(filter, suite);
        }
        // Listing the names may need what is not yet installed.
        let names = self.wanted(layout, filter, suite);
        !names.is_ok_and(|names| names.is_empty())
    }

    /// The names of the tests that `filter` selects.
    pub fn wanted(&self, layout: &Layout, filter: &Filter, suite: Suite) -> Result<Vec<String>> {
        if !self.can_run(filter, suite) {
            return Ok(Vec::new());
        }
        let mut names = self.names(layout)?;
        names.retain(|name| filter.wants(name));
        Ok(names)
    }

    /// Runs the selected tests. At least one is selected.
    pub fn run<'a>(
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
