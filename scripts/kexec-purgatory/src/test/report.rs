// SPDX-License-Identifier: GPL-2.0-only

//! Counting tests, a line for each as it ends.

use anyhow::{Error, Result};

use super::filter::Filter;

/// What was run so far.
pub struct Report {
    filter: Filter,
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Report {
    pub fn new(filter: Filter) -> Self {
        Self {
            filter,
            passed: 0,
            failed: 0,
            skipped: 0,
        }
    }

    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether a test is asked for; see [`Filter::wants`].
    pub fn wants(&self, name: &str) -> bool {
        self.filter.wants(name)
    }

    /// Whether one of these tests is asked for.
    pub fn wants_any(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.wants(name))
    }

    /// Runs a test, if it is asked for.
    pub fn test(&mut self, name: &str, test: impl FnOnce() -> Result<()>) {
        if self.wants(name) {
            self.record(name, test());
        }
    }

    /// Counts a test that was run, if it is asked for.
    pub fn record(&mut self, name: &str, result: Result<(), Error>) {
        if !self.wants(name) {
            return;
        }
        match result {
            Ok(()) => {
                self.passed += 1;
                println!("ok {name}");
            }
            Err(error) => self.fail(name, &error),
        }
    }

    /// Counts a failure, whatever is asked for: it may have kept tests that are from running.
    pub fn fail(&mut self, name: &str, error: &Error) {
        self.failed += 1;
        println!("not ok {name}");
        for line in format!("{error:#}").lines() {
            println!("# {line}");
        }
    }

    /// Tells of a test that could not be run here; it is no failure.
    pub fn skip(&mut self, name: &str, reason: &str) {
        if self.wants(name) {
            self.skipped += 1;
            println!("# skipped {name}: {reason}");
        }
    }

    /// Whether there was no test so far, not even one to skip.
    pub fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }

    /// Prints the counts; says whether tests were run and all passed.
    pub fn finish(self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0 && self.passed > 0
    }
}
