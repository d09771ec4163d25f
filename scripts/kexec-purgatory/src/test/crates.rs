// SPDX-License-Identifier: GPL-2.0-only

//! The crates that run on the host: their tests, their form, and what clippy says.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, anyhow};

use super::Report;
use crate::command::{cargo, output, tail};
use crate::layout::Layout;
use crate::progress::Step;

/// The host's crates: a name for reports and the folder in the overlay.
const CRATES: &[(&str, &str)] = &[
    ("digest-tests", "arch/x86/purgatory/rust/digest-tests"),
    ("tool", "scripts/kexec-purgatory"),
];

/// The crates are built, as only their tests themselves can tell their names.
pub fn names(layout: &Layout) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for &(name, folder) in CRATES {
        let manifest = layout.overlay.join(folder).join("Cargo.toml");
        names.extend(["fmt", "clippy"].map(|test| format!("crates/{name}/{test}")));
        names.extend(names_of(layout, name, &manifest)?);
    }
    Ok(names)
}

pub fn run(layout: &Layout, report: &mut Report) {
    for &(name, folder) in CRATES {
        let manifest = layout.overlay.join(folder).join("Cargo.toml");
        report.test(&format!("crates/{name}/fmt"), || {
            cargo_does(layout, &manifest, &["fmt", "--check"], &[])
        });
        report.test(&format!("crates/{name}/clippy"), || {
            cargo_does(
                layout,
                &manifest,
                &[
                    "clippy",
                    "--quiet",
                    "--locked",
                    "--release",
                    "--all-targets",
                ],
                &["--", "-D", "warnings"],
            )
        });
        tests(layout, report, name, &manifest);
    }
}

/// Runs cargo on one crate; `last` are the arguments that follow the manifest.
fn cargo_does(layout: &Layout, manifest: &Path, first: &[&str], last: &[&str]) -> Result<()> {
    output(
        cargo()
            .args(first)
            .arg("--manifest-path")
            .arg(manifest)
            .args(last)
            .env("CARGO_TARGET_DIR", layout.build.join("crates")),
    )
    .map(drop)
}

/// `cargo test` for a crate.
fn cargo_test(layout: &Layout, manifest: &Path) -> Command {
    let mut cargo = cargo();
    cargo
        .args(["test", "--locked", "--release", "--no-fail-fast"])
        .arg("--manifest-path")
        .arg(manifest)
        .env("CARGO_TARGET_DIR", layout.build.join("crates"));
    cargo
}

/// The names of a crate's tests.
fn names_of(layout: &Layout, name: &str, manifest: &Path) -> Result<Vec<String>> {
    let step = Step::start(format!("list the tests of crates/{name}"));
    let listed = output(cargo_test(layout, manifest).args(["--", "--list"]))?;
    step.done();
    let tests = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    Ok(tests.map(|test| format!("crates/{name}/{test}")).collect())
}

/// Runs a crate's tests and reports each.
fn tests(layout: &Layout, report: &mut Report, name: &str, manifest: &Path) {
    match names_of(layout, name, manifest) {
        Ok(names) if report.wants_any(&names) => {}
        Ok(_) => return,
        Err(error) => return report.fail(&format!("crates/{name}/test"), &error),
    }
    let ran = match cargo_test(layout, manifest).output() {
        Ok(ran) => ran,
        Err(error) => return report.fail(&format!("crates/{name}/test"), &error.into()),
    };
    let text = String::from_utf8_lossy(&ran.stdout);
    let mut failed = 0;
    for (test, passed) in text.lines().filter_map(result) {
        failed += u32::from(!passed);
        let result = match passed {
            true => Ok(()),
            false => Err(anyhow!("{}", why(&text, test))),
        };
        report.record(&format!("crates/{name}/{test}"), result);
    }
    if !ran.status.success() && failed == 0 {
        let stderr = String::from_utf8_lossy(&ran.stderr);
        report.fail(
            &format!("crates/{name}/test"),
            &anyhow!("{}\n{}", ran.status, tail(&stderr)),
        );
    }
}

/// Reads `test <name> ... ok`; an ignored test is not run, and not counted.
fn result(line: &str) -> Option<(&str, bool)> {
    let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    match result {
        "ok" => Some((name, true)),
        "FAILED" => Some((name, false)),
        _ => None,
    }
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
