// SPDX-License-Identifier: GPL-2.0-only

//! Counts tests, prints a KTAP line as each ends, and writes JUnit XML at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use anyhow::{Error, Result, anyhow};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite, XmlString};

use super::filter::Filter;
use crate::debian::DebianOptions;
use crate::files;
use crate::passed::Passed;
use crate::progress;

/// The result of a test in the table.
const FAILED: &str = "failed";

/// The results so far.
pub struct Report {
    filter: Filter,
    /// The options of the group debian, if it can be selected.
    guest: Option<DebianOptions>,
    /// The number of tests, if it is known.
    planned: Option<usize>,
    /// Skipped parts of tests, which are not in the plan.
    skipped_parts: usize,
    /// Each test's name and result, for a table.
    results: Vec<(String, String)>,
    /// The record of what has passed, if one is kept.
    kept: Option<Passed>,
    /// Tests that an earlier run has passed.
    before: BTreeSet<String>,
    /// Printed at the end.
    tables: Vec<Table>,
    /// All tests and skipped parts, and how many there are of each result.
    junit: TestSuite,
    /// When the previous test ended.
    last: Instant,
}

impl Report {
    /// Prints the head of the KTAP stream: its version, and a plan if the number of tests is known.
    pub fn start(filter: Filter, guest: Option<DebianOptions>, planned: Option<usize>) -> Self {
        println!("KTAP version 1");
        if let Some(planned) = planned {
            println!("1..{planned}");
        }
        Self {
            filter,
            guest,
            planned,
            skipped_parts: 0,
            results: Vec::new(),
            kept: None,
            before: BTreeSet::new(),
            tables: Vec::new(),
            junit: TestSuite::new("kexec-purgatory"),
            last: Instant::now(),
        }
    }

    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    pub fn guest(&self) -> Option<DebianOptions> {
        self.guest
    }

    /// Whether a test is selected, see [`Filter::wants`], and has still to run.
    pub fn wants(&self, name: &str) -> bool {
        self.filter.wants(name) && !self.before.contains(name)
    }

    /// Counts those of `names` that an interrupted earlier run has passed, and records what passes
    /// after this.
    pub fn resume(&mut self, passed: Passed, names: &[String]) {
        for name in passed.names() {
            if names.contains(&name) && self.wants(&name) {
                self.pass(&name, " # passed before");
                self.before.insert(name);
            }
        }
        self.kept = Some(passed);
    }

    /// Stops recording what passes. Returns the record if all of `names` were counted.
    pub fn ran(&mut self, names: &[String]) -> Option<Passed> {
        // Names that end in a slash stand for tests that only a run reveals.
        let all = names
            .iter()
            .all(|name| name.ends_with('/') || self.has(name));
        self.kept.take().filter(|_| all)
    }

    /// Records that all tests below the folder `prefix` have passed, unless one of them failed. A
    /// log of them that is incomplete is a failure of `prefix` itself.
    pub fn ran_below(&mut self, prefix: &str) {
        let failed =
            |(name, result): &(String, String)| name.starts_with(prefix) && result == FAILED;
        if !self.results.iter().any(failed) {
            self.keep(&format!("{prefix}/"));
        }
    }

    /// Adds a name to the record of what has passed, if one is kept.
    fn keep(&self, name: &str) {
        if let Some(Err(error)) = self.kept.as_ref().map(|kept| kept.add(name)) {
            eprintln!("{error:#}");
        }
    }

    fn pass(&mut self, name: &str, remark: &str) {
        self.add(name, TestCaseStatus::success());
        self.line("ok", name, remark);
    }

    /// Whether one of these tests is selected and has still to run.
    pub fn wants_any(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.wants(name))
    }

    /// Whether a test of that name was counted.
    pub fn has(&self, name: &str) -> bool {
        self.junit.test_cases.iter().any(|case| case.name == *name)
    }

    /// Runs a test, if it is selected.
    pub fn test(&mut self, name: &str, test: impl FnOnce() -> Result<()>) {
        if self.wants(name) {
            self.record(name, test());
        }
    }

    /// Counts a test that was run, if it is selected.
    pub fn record(&mut self, name: &str, result: Result<(), Error>) {
        if !self.wants(name) {
            return;
        }
        match result {
            Ok(()) => {
                self.pass(name, "");
                self.keep(name);
            }
            Err(error) => self.fail(name, &error),
        }
    }

    /// Counts a failure, selected or not: it may have kept selected tests from running.
    pub fn fail(&mut self, name: &str, error: &Error) {
        let text = format!("{error:#}");
        for line in text.lines() {
            progress::print(&format!("# {line}"));
        }
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message(text.lines().next().unwrap_or_default());
        status.set_description(text);
        self.add(name, status);
        self.line("not ok", name, "");
    }

    /// Counts a test that cannot run here, if it is selected. `reason` names what is missing.
    pub fn skip(&mut self, name: &str, reason: &str) {
        if !self.wants(name) {
            return;
        }
        self.add_skipped(name, reason);
        self.line("ok", name, &format!(" # SKIP {reason}"));
    }

    /// Counts a part of a test that cannot run here, if it is selected. The part is a comment in
    /// the KTAP stream, because the test has its own line. `reason` names what is missing.
    pub fn skip_part(&mut self, name: &str, reason: &str) {
        if !self.wants(name) {
            return;
        }
        self.skipped_parts += 1;
        progress::print(&format!("# {name}: SKIP {reason}"));
        self.add_skipped(name, reason);
    }

    fn add_skipped(&mut self, name: &str, reason: &str) {
        let mut status = TestCaseStatus::skipped();
        status.set_message(reason);
        self.add(name, status);
    }

    /// Prints the result line of the test that was added last.
    fn line(&mut self, result: &str, name: &str, directive: &str) {
        let number = self.count();
        progress::print(&format!("{result} {number} {name}{directive}"));
        let remark = directive.trim_start_matches(" # ");
        let result = match result {
            "ok" if remark.is_empty() => "passed",
            "ok" => remark,
            _ => FAILED,
        };
        self.results.push((name.to_owned(), result.to_owned()));
    }

    /// Prints a table at the end, before the counts.
    pub fn add_table(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// A table of the results, with one row for the tests of a folder that have numbers in place of
    /// names, and for KUnit tests, unless they failed.
    pub fn table(&self) -> Table {
        let mut rows: BTreeMap<(String, &str), usize> = BTreeMap::new();
        for (name, result) in &self.results {
            let row = match (name.split_once("kunit/"), name.rsplit_once('/')) {
                _ if result == FAILED => name.clone(),
                (Some((kernel, _)), _) => format!("{kernel}kunit"),
                (None, Some((folder, last)))
                    if folder.contains('/') && last.starts_with(char::is_numeric) =>
                {
                    folder.to_owned()
                }
                _ => name.clone(),
            };
            *rows.entry((row, result)).or_default() += 1;
        }
        let mut table = Table::new();
        table
            .load_style(ASCII_MARKDOWN)
            .set_header(["test", "tests", "result"]);
        for ((row, result), number) in rows {
            table.add_row([row, number.to_string(), result.to_owned()]);
        }
        table
    }

    /// Adds a test to the JUnit file. Its time counts from the end of the previous test.
    fn add(&mut self, name: &str, status: TestCaseStatus) {
        let mut case = TestCase::new(XmlString::new(name), status);
        case.set_classname(name.split('/').next().unwrap_or(name));
        case.set_time(self.last.elapsed());
        self.last = Instant::now();
        self.junit.add_test_case(case);
    }

    /// The number of counted tests.
    fn count(&self) -> usize {
        self.junit.tests - self.skipped_parts
    }

    /// Whether no test was counted so far, not even a skipped one.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Writes JUnit XML to the file `junit`, and prints the counts as the last line. Returns
    /// whether all tests passed, or `None` if all were skipped.
    pub fn finish(mut self, junit: &Path) -> Option<bool> {
        if let Some(planned) = self.planned
            && planned != self.count()
            && self.junit.failures == 0
        {
            let error = anyhow!("{} tests were counted, {planned} planned", self.count());
            self.fail("plan", &error);
        }
        if let Err(error) = self.write(junit) {
            self.fail("junit", &error);
        }
        for table in &self.tables {
            println!("{table}");
        }
        let (failed, skipped) = (self.junit.failures, self.junit.skipped);
        let passed = self.junit.tests - failed - skipped;
        println!("{passed} passed, {failed} failed, {skipped} skipped");
        (failed + passed > 0).then_some(failed == 0)
    }

    fn write(&self, junit: &Path) -> Result<()> {
        let mut report = quick_junit::Report::new("kexec-purgatory");
        report.add_test_suite(self.junit.clone());
        files::write(junit, report.to_string()?)
    }
}

#[cfg(test)]
mod results_tests;
