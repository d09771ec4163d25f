// SPDX-License-Identifier: GPL-2.0-only

//! Reads KTAP, the format in which KUnit and the kselftests report. The kernel's own parser,
//! `tools/testing/kunit/kunit_parser.py`, decides what a stream says and whether it is complete.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use super::{Kernels, Report};
use crate::command::{command, tail};
use crate::files;

/// Reasons for which a KUnit test may be skipped, by their beginning.
pub const CPU: &[&str] = &["this CPU does not have what "];

/// A test of a stream with no tests below it.
#[derive(Debug, Deserialize)]
struct Test {
    name: String,
    status: String,
    reason: String,
    log: Vec<String>,
}

/// What `ktap.py` prints.
#[derive(Debug, Deserialize)]
pub struct Stream {
    /// What is wrong with the stream as a whole: it is cut off, has no plan, or has no test.
    errors: Vec<String>,
    tests: Vec<Test>,
}

impl Stream {
    /// Makes the parser of the kernel tree judge these lines.
    pub fn parse<'a>(kernels: &Kernels, lines: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut parser = command("/usr/bin/python3")
            .arg("-B")
            .arg(kernels.layout.tool("ktap.py"))
            .arg(kernels.tree().join("tools/testing/kunit"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run python3")?;
        let mut input = parser.stdin.take().context("no input")?;
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        // The script reads everything before it prints anything.
        let written = input.write_all(text.as_bytes());
        drop(input);
        let ended = parser.wait_with_output()?;
        if !ended.status.success() {
            let errors = String::from_utf8_lossy(&ended.stderr);
            bail!("ktap.py: {}\n{}", ended.status, tail(&errors));
        }
        written?;
        serde_json::from_slice(&ended.stdout).context("ktap.py printed no JSON")
    }

    /// Counts the tests as tests of a group. A test may be skipped for a reason that begins like
    /// one of `skips`. An incomplete stream is a failure of the group.
    pub fn report(&self, report: &mut Report, group: &str, skips: &[&str]) {
        for test in &self.tests {
            let name = format!("{group}/{}", test.name);
            let may_skip = || skips.iter().any(|begin| test.reason.starts_with(begin));
            match &*test.status {
                "SUCCESS" => report.record(&name, Ok(())),
                "SKIPPED" if may_skip() => report.skip(&name, &test.reason),
                status => {
                    let log = test.log.join("\n");
                    let error = anyhow!("{status} {}\n{log}", test.reason);
                    report.record(&name, Err(error));
                }
            }
        }
        if let Err(error) = self.is_whole() {
            report.fail(group, &error);
        }
        report.ran_below(group);
    }

    /// Fails if the stream is incomplete.
    fn is_whole(&self) -> Result<()> {
        ensure!(self.errors.is_empty(), "{}", self.errors.join("\n"));
        ensure!(!self.tests.is_empty(), "no tests");
        Ok(())
    }

    /// Fails unless each of these suites has a test that ran.
    pub fn ran(&self, suites: &[&str]) -> Result<()> {
        for suite in suites {
            let of_suite = |test: &&Test| {
                let below = test.name.strip_prefix(suite);
                below.is_some_and(|rest| rest.starts_with('/'))
            };
            let mut tests = self.tests.iter().filter(of_suite);
            ensure!(
                tests.any(|test| test.status != "SKIPPED"),
                "no test of {suite} ran"
            );
        }
        Ok(())
    }
}

/// Streams in `ktap/` of the tool's directory, and the error in each; an empty text means that
/// there is none.
const STREAMS: &[(&str, &str)] = &[
    ("whole", ""),
    ("parameters", ""),
    ("parameter-lost", "engines: no plan"),
    ("parameters-not-counted", "engines: no plan"),
    ("empty", "no KTAP"),
    ("no-ktap", "no KTAP"),
    ("no-plan", "main: no plan"),
    ("no-plan-below", "digest: no plan"),
    ("plan-at-the-end", "main: no plan"),
    ("plan-of-none", "0 tests run!"),
    ("cut-after-a-test", "missing expected subtest!"),
    ("cut-after-a-suite", "missing expected subtest!"),
    ("cut-after-the-plan", "missing expected subtest!"),
    ("wrong-number", "Expected test number 2 but found 3"),
    ("more-than-planned", "more tests than planned: ok 3 third"),
];

pub fn names() -> Vec<String> {
    STREAMS.iter().map(|(stream, _)| name(stream)).collect()
}

fn name(stream: &str) -> String {
    format!("ktap/{stream}")
}

/// Checks that damaged streams are refused, each for its own error.
pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    for (stream, wanted) in STREAMS {
        report.test(&name(stream), || judged(kernels, stream, wanted));
    }
    Ok(())
}

fn judged(kernels: &Kernels, stream: &str, wanted: &str) -> Result<()> {
    let path = kernels.layout.tool(&format!("ktap/{stream}.txt"));
    let text = files::read_text(&path)?;
    let lines = text.lines().filter(|line| !line.contains("SPDX-"));
    let found = Stream::parse(kernels, lines)?;
    match wanted {
        "" => found.is_whole(),
        wanted => {
            ensure!(
                found.errors.iter().any(|error| error.contains(wanted)),
                "the errors are {:?}, not {wanted:?}",
                found.errors
            );
            ensure!(found.is_whole().is_err(), "the stream is accepted");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::filter::Filter;

    fn stream(json: &str) -> Stream {
        serde_json::from_str(json).unwrap()
    }

    fn test(name: &str, status: &str, reason: &str) -> String {
        format!(r#"{{"name": "{name}", "status": "{status}", "reason": "{reason}", "log": []}}"#)
    }

    /// Whether a stream with these errors and tests leaves a report good.
    fn good(errors: &str, tests: &[String]) -> bool {
        let text = format!(
            r#"{{"errors": [{errors}], "tests": [{}]}}"#,
            tests.join(",")
        );
        let folder = tempfile::tempdir().unwrap();
        let mut report = Report::start(Filter::new(None, [].into_iter()), None, None);
        stream(&text).report(&mut report, "boot/y-kunit", CPU);
        report.finish(&folder.path().join("junit.xml")) == Some(true)
    }

    #[test]
    fn every_status_but_success_is_a_failure() {
        let passed = test("digest/empty", "SUCCESS", "");
        assert!(good("", std::slice::from_ref(&passed)));
        for status in [
            "FAILURE",
            "TEST_CRASHED",
            "NO_TESTS",
            "FAILURE_TO_PARSE_TESTS",
        ] {
            let other = test("digest/two", status, "");
            assert!(!good("", &[passed.clone(), other]), "{status}");
        }
        assert!(!good("", &[]));
        assert!(!good(r#""main: no plan""#, &[passed]));
    }

    #[test]
    fn only_what_the_processor_lacks_is_a_reason_to_skip() {
        let passed = test("digest/empty", "SUCCESS", "");
        let skipped = |reason| [passed.clone(), test("digest/two", "SKIPPED", reason)];
        assert!(good(
            "",
            &skipped("this CPU does not have what avx512-x16 needs")
        ));
        assert!(!good(
            "",
            &skipped("no memory is reserved, see crashkernel=")
        ));
        assert!(!good("", &skipped("")));
    }

    #[test]
    fn a_suite_whose_tests_are_all_skipped_did_not_run() {
        let tests = [test("a/one", "SKIPPED", ""), test("b/one", "SUCCESS", "")].join(",");
        let stream = stream(&format!(r#"{{"errors": [], "tests": [{tests}]}}"#));
        assert!(stream.ran(&["b"]).is_ok());
        for suites in [["a"], ["c"]] {
            assert!(stream.ran(&suites).is_err(), "{suites:?}");
        }
    }
}
