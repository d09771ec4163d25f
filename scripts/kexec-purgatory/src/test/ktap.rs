// SPDX-License-Identifier: GPL-2.0-only

//! Reading KTAP, the form in which KUnit and the kselftests report.

use anyhow::anyhow;

use super::Report;

/// How a test ended.
#[derive(Debug, PartialEq)]
enum Verdict {
    Passed,
    /// With the lines before it.
    Failed(String),
    Skipped(String),
}

/// One test of a KTAP report, and how it ended.
pub struct Outcome {
    name: String,
    verdict: Verdict,
}

impl Outcome {
    /// Counts the test as one of a group. A skipped one either may be, or it failed.
    pub fn report(self, report: &mut Report, group: &str, may_skip: bool) {
        let name = format!("{group}/{}", self.name);
        match self.verdict {
            Verdict::Passed => report.record(&name, Ok(())),
            Verdict::Skipped(why) if may_skip => {
                let reason = why.rsplit("# SKIP").next().unwrap_or_default();
                report.skip(&name, reason.trim());
            }
            Verdict::Failed(why) | Verdict::Skipped(why) => report.record(&name, Err(anyhow!(why))),
        }
    }
}

/// A subtest whose results are being read.
struct Subtest {
    indent: usize,
    name: String,
    results: usize,
}

/// The innermost tests of a report, with the names of those around them.
pub fn parse<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Outcome> {
    let mut open: Vec<Subtest> = Vec::new();
    let mut outcomes = Vec::new();
    let mut notes = Vec::new();
    for line in lines {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if let Some(name) = text.strip_prefix("# Subtest: ") {
            open.push(Subtest {
                indent,
                name: name.trim().to_owned(),
                results: 0,
            });
            continue;
        }
        let Some((passed, name)) = result(text) else {
            notes.push(text);
            continue;
        };
        let mut results = 0;
        while open.last().is_some_and(|subtest| subtest.indent > indent) {
            results += open.pop().map_or(0, |subtest| subtest.results);
        }
        if let Some(subtest) = open.last_mut() {
            subtest.results += 1;
        }
        // The line that sums a subtest up is not a test of its own.
        if results == 0 {
            let mut names: Vec<&str> = open.iter().map(|subtest| &*subtest.name).collect();
            names.push(name.split('#').next().unwrap_or(name).trim());
            let why = || format!("{}\n{text}", notes.join("\n"));
            outcomes.push(Outcome {
                name: names.join("/"),
                verdict: match passed {
                    true if name.contains("# SKIP") => Verdict::Skipped(why()),
                    true => Verdict::Passed,
                    false => Verdict::Failed(why()),
                },
            });
        }
        notes.clear();
    }
    outcomes
}

/// Reads `ok <number> <name>` or `not ok <number> <name>`.
fn result(text: &str) -> Option<(bool, &str)> {
    let (passed, rest) = match text.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok ")?),
    };
    let (number, name) = rest.split_once(' ')?;
    number.parse::<u32>().ok()?;
    Some((passed, name.strip_prefix("- ").unwrap_or(name)))
}

#[cfg(test)]
mod tests {
    use super::{Verdict, parse};

    const KUNIT: &str = "\
KTAP version 1
1..2
    KTAP version 1
    # Subtest: digest
    1..2
    ok 1 empty
    # two: EXPECTATION FAILED
    not ok 2 two
not ok 1 digest
ok 2 plain
ok 3 later # SKIP no such thing
";

    #[test]
    fn innermost_tests_are_reported() {
        let names: Vec<String> = parse(KUNIT.lines())
            .into_iter()
            .map(|outcome| outcome.name)
            .collect();
        assert_eq!(names, ["digest/empty", "digest/two", "plain", "later"]);
    }

    #[test]
    fn results_are_told_apart() {
        let outcomes = parse(KUNIT.lines());
        assert_eq!(outcomes[0].verdict, Verdict::Passed);
        assert_eq!(outcomes[2].verdict, Verdict::Passed);
        assert!(matches!(outcomes[3].verdict, Verdict::Skipped(_)));
        let Verdict::Failed(why) = &outcomes[1].verdict else {
            panic!("not failed");
        };
        assert!(why.contains("EXPECTATION FAILED"));
    }
}
