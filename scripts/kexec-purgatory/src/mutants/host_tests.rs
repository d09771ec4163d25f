// SPDX-License-Identifier: GPL-2.0-only

//! Mutants that the tests on the host notice.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, bail, ensure};

use super::{Fate, Sources};
use crate::command::{cargo, tail};
use crate::files;
use crate::layout::Layout;

/// Test programs in the order in which they run: first those that most mutants fail, and those that
/// take milliseconds. Others come last.
const ORDER: &[&str] = &["check", "vectors", "engines", "abi", "tree", "bounds"];

/// The tests of `digest-tests` with the sources of a mutant.
pub struct HostTests {
    crate_folder: PathBuf,
    target: PathBuf,
    /// The names of the test programs.
    tests: Vec<String>,
}

impl HostTests {
    /// Checks that the tests pass without a mutant; otherwise their results mean nothing.
    pub fn new(layout: &Layout, sources: &Sources) -> Result<Self> {
        let crate_folder = sources.folder().join("digest-tests");
        let tests = tests(&crate_folder)?;
        let this = Self {
            crate_folder,
            target: layout.build.join("mutants/host"),
            tests,
        };
        if let Fate::Killed(test) = this.run()? {
            bail!("{test} fails without a mutant");
        }
        Ok(this)
    }

    /// Runs the tests until one fails.
    pub fn run(&self) -> Result<Fate> {
        for test in &self.tests {
            let output = self.cargo(test)?;
            if output.status.success() {
                continue;
            }
            let errors = String::from_utf8_lossy(&output.stderr);
            // A mutant that does not compile does not count as noticed.
            ensure!(
                !errors.contains("error: could not compile"),
                "{test} does not build:\n{}",
                tail(&errors)
            );
            let failure = failure(test, &output)
                .with_context(|| format!("{test} did not finish:\n{}", tail(&errors)))?;
            return Ok(Fate::Killed(failure));
        }
        Ok(Fate::Survived)
    }

    fn cargo(&self, test: &str) -> Result<Output> {
        cargo()
            .args(["test", "--quiet", "--locked", "--test", test])
            .current_dir(&self.crate_folder)
            .env("CARGO_TARGET_DIR", &self.target)
            .output()
            .with_context(|| format!("cannot run cargo in {}", self.crate_folder.display()))
    }
}

/// The names of a crate's test programs in the order of [`ORDER`].
fn tests(crate_folder: &Path) -> Result<Vec<String>> {
    let mut tests = Vec::new();
    for path in files::with_extension(&crate_folder.join("tests"), "rs")? {
        let name = path.file_stem().context("a file without a name")?;
        tests.push(name.to_string_lossy().into_owned());
    }
    let place = |test: &String| ORDER.iter().position(|name| name == test);
    tests.sort_by_key(|test| (place(test).unwrap_or(ORDER.len()), test.clone()));
    Ok(tests)
}

/// The name of the test that failed, or of the program if it died. None if neither happened, or if
/// something else ended the program, as the kernel does when memory is short.
fn failure(test: &str, output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"));
    if let Some(name) = name {
        return Some(format!("{test}: {name}"));
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let how = errors
        .lines()
        .find_map(|line| line.rsplit_once("(signal: ")?.1.strip_suffix(')'))?;
    (!how.contains("SIGKILL")).then(|| format!("{test}: signal {how}"))
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    #[test]
    fn only_a_test_that_fails_or_dies_is_a_failure() {
        let failure = |stdout: &str, stderr: &str| {
            let output = Output {
                status: ExitStatus::default(),
                stdout: stdout.into(),
                stderr: stderr.into(),
            };
            failure("tree", &output)
        };
        let died = |signal| format!("process didn't exit successfully: `tree` (signal: {signal})");
        let sum = "---- every_length stdout ----\nassertion failed";
        assert_eq!(failure(sum, "").as_deref(), Some("tree: every_length"));
        assert_eq!(
            failure("", &died("11, SIGSEGV: invalid memory reference")).as_deref(),
            Some("tree: signal 11, SIGSEGV: invalid memory reference")
        );
        assert_eq!(failure("", &died("9, SIGKILL: kill")), None);
        assert_eq!(failure("", "error: No space left on device"), None);
    }
}
