// SPDX-License-Identifier: GPL-2.0-only

//! Tests the crates that run on the host: their own tests, their format, and clippy.
//!
//! A test program skips what this machine cannot run, and prints a line about each such part on
//! standard error: `SKIP <what>: <reason>`. Each of these lines counts as a skipped part of that
//! program.

use std::process::Command;

use anyhow::{Result, anyhow, ensure};

use super::Report;
use crate::command::{cargo, output, tail};
use crate::layout::Layout;
use crate::progress::Step;

/// The host's crates: a name for reports and the directory in the overlay.
const CRATES: &[(&str, &str)] = &[
    ("digest-tests", "arch/x86/purgatory/rust/digest-tests"),
    ("tool", "scripts/kexec-purgatory"),
    ("guest", "scripts/kexec-purgatory/guest/programs"),
];

/// The beginning of the names of each crate's tests.
pub fn folders() -> impl Iterator<Item = String> {
    CRATES.iter().map(|(name, _)| format!("crates/{name}/"))
}

/// Reasons for which a test program may skip something, by their beginning.
const SKIPS: &[&str] = super::ktap::CPU;

/// Builds the crates, because only their tests can list their names.
pub fn names(layout: &Layout) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for &(name, folder) in CRATES {
        names.extend(["fmt", "clippy"].map(|test| format!("crates/{name}/{test}")));
        names.extend(names_of(layout, name, folder)?);
    }
    Ok(names)
}

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
    for &(name, folder) in CRATES {
        report.test(&format!("crates/{name}/fmt"), || {
            output(cargo_in(layout, folder, "fmt").arg("--check")).map(drop)
        });
        report.test(&format!("crates/{name}/clippy"), || {
            output(
                cargo_in(layout, folder, "clippy")
                    .args(["--quiet", "--locked", "--all-targets"])
                    .args(features(name))
                    .args(["--", "-D", "warnings"]),
            )
            .map(drop)
        });
        if let Err(error) = tests(layout, report, name, folder) {
            report.fail(&format!("crates/{name}/test"), &error);
        }
    }
    Ok(())
}

/// Cargo with a subcommand, for the crate in a directory.
fn cargo_in(layout: &Layout, folder: &str, subcommand: &str) -> Command {
    let folder = layout.overlay.join(folder);
    let mut cargo = cargo();
    cargo
        .arg(subcommand)
        .arg("--manifest-path")
        .arg(folder.join("Cargo.toml"))
        // Cargo reads a crate's own configuration only in the crate's directory.
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", layout.build.join(TARGET));
    cargo
}

/// Where the crates are built: in the tool's target directory, so that shared dependencies are
/// built once.
const TARGET: &str = "tool";

/// The features to build a crate with. For this tool, those of the running program.
fn features(name: &str) -> &'static [&'static str] {
    match name {
        "tool" if !cfg!(feature = "openssl") => &["--no-default-features"],
        _ => &[],
    }
}

/// `cargo test` for a crate.
fn cargo_test(layout: &Layout, name: &str, folder: &str) -> Command {
    let mut cargo = cargo_in(layout, folder, "test");
    cargo
        .args(["--locked", "--no-fail-fast"])
        .args(features(name));
    cargo
}

/// The names of a crate's tests.
fn names_of(layout: &Layout, name: &str, folder: &str) -> Result<Vec<String>> {
    let step = Step::start(format!("list the tests of crates/{name}"));
    let listed = output(cargo_test(layout, name, folder).args(["--", "--list"]))?;
    step.done();
    let tests = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    Ok(tests.map(|test| format!("crates/{name}/{test}")).collect())
}

/// Runs a crate's tests and reports each. Fails if cargo fails and no test does.
fn tests(layout: &Layout, report: &mut Report, name: &str, folder: &str) -> Result<()> {
    if !report.wants_any(&names_of(layout, name, folder)?) {
        return Ok(());
    }
    let ran = cargo_test(layout, name, folder).output()?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    let mut failed = false;
    for (test, verdict) in text.lines().filter_map(result) {
        let result = match verdict {
            "ok" => Ok(()),
            "FAILED" => Err(anyhow!("{}", why(&text, test))),
            _ => Err(anyhow!("the test is ignored")),
        };
        failed |= result.is_err();
        report.record(&format!("crates/{name}/{test}"), result);
    }
    for (what, reason) in skipped(&errors) {
        let name = format!("crates/{name}/{what}");
        match SKIPS.iter().any(|begin| reason.starts_with(begin)) {
            true => report.skip_part(&name, reason),
            false => report.record(&name, Err(anyhow!("skipped: {reason}"))),
        }
    }
    ensure!(
        ran.status.success() || failed,
        "{}\n{}",
        ran.status,
        tail(&errors)
    );
    Ok(())
}

/// Reads `test <name> ... ok`, or `FAILED` or `ignored` in place of `ok`.
fn result(line: &str) -> Option<(&str, &str)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    // A reason may follow the last one.
    let known = matches!(result, "ok" | "FAILED") || result.starts_with("ignored");
    known.then_some((name, result))
}

/// What test programs said that they skip: the program's name and the part, and the reason. Before
/// each program, cargo prints a line `Running tests/<program>.rs (<path>)`.
fn skipped(errors: &str) -> Vec<(String, &str)> {
    let mut program = "";
    let mut skipped = Vec::new();
    for line in errors.lines() {
        if let Some(path) = line.trim_start().strip_prefix("Running ") {
            let file = path.split(".rs").next().unwrap_or_default();
            program = file.rsplit('/').next().unwrap_or(file);
        } else if let Some((what, reason)) = line
            .strip_prefix("SKIP ")
            .and_then(|rest| rest.split_once(": "))
        {
            skipped.push((format!("{program}/{what}"), reason));
        }
    }
    skipped
}

/// What a failed test printed.
fn why(text: &str, test: &str) -> String {
    let heading = format!("---- {test} stdout ----");
    text.lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with("---- ") && *line != "failures:")
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_apart() {
        assert_eq!(result("test a::b ... ok"), Some(("a::b", "ok")));
        for verdict in ["FAILED", "ignored", "ignored, not yet"] {
            let line = format!("test a ... {verdict}");
            assert_eq!(result(&line), Some(("a", verdict)));
        }
        assert_eq!(result("test result: ok. 1 passed; 0 failed"), None);
    }

    #[test]
    fn skips_have_the_name_of_the_program() {
        let errors = "     Running unittests src/lib.rs (target/lib-1)
     Running tests/bounds.rs (target/bounds-1)
SKIP avx512-x16: this CPU does not have what avx512-x16 needs
warning: SKIP no: such thing
     Running tests/tree.rs (target/tree-1)
SKIP avx512-x16: no time
";
        let avx512 = "this CPU does not have what avx512-x16 needs";
        assert_eq!(
            skipped(errors),
            [
                ("bounds/avx512-x16".to_owned(), avx512),
                ("tree/avx512-x16".to_owned(), "no time")
            ]
        );
    }
}
