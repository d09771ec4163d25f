// SPDX-License-Identifier: GPL-2.0-only

//! Counting tests, a line for each as it ends.

use anyhow::{Error, Result};

/// What was run so far.
pub struct Report {
    filter: Option<String>,
    passed: u32,
    failed: u32,
}

impl Report {
    pub fn new(filter: Option<String>) -> Self {
        Self {
            filter,
            passed: 0,
            failed: 0,
        }
    }

    /// Whether some test of a group may be asked for.
    pub fn wants_group(&self, group: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.starts_with(group) || group.contains(filter.as_str()))
    }

    /// Whether a test is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()))
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
            Err(error) => {
                self.failed += 1;
                println!("not ok {name}");
                for line in format!("{error:#}").lines() {
                    println!("# {line}");
                }
            }
        }
    }

    /// Tells of a test that could not be run here; it is not counted.
    pub fn skip(&self, name: &str, reason: &str) {
        if self.wants(name) {
            println!("# skipped {name}: {reason}");
        }
    }

    /// Prints the counts; says whether tests were run and all passed.
    pub fn finish(self) -> bool {
        println!("{} passed, {} failed", self.passed, self.failed);
        self.failed == 0 && self.passed > 0
    }
}
