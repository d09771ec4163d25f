// SPDX-License-Identifier: GPL-2.0-only

//! The crates that run on the host: their tests, their form, and what clippy says.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::Report;
use crate::command::{cargo, output, tail};
use crate::layout::Layout;

/// The host's crates: a name for reports and the folder in the overlay.
const CRATES: &[(&str, &str)] = &[
    ("digest-tests", "arch/x86/purgatory/rust/digest-tests"),
    ("tool", "scripts/kexec-purgatory"),
];

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
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
        if report.wants_group(&format!("crates/{name}/")) {
            tests(layout, report, name, &manifest);
        }
    }
    Ok(())
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

/// Runs a crate's tests and reports each.
fn tests(layout: &Layout, report: &mut Report, name: &str, manifest: &Path) {
    let ran = cargo()
        .args(["test", "--locked", "--release", "--no-fail-fast"])
        .arg("--manifest-path")
        .arg(manifest)
        .env("CARGO_TARGET_DIR", layout.build.join("crates"))
        .output();
    let ran = match ran {
        Ok(ran) => ran,
        Err(error) => return report.record(&format!("crates/{name}/test"), Err(error.into())),
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
        report.record(
            &format!("crates/{name}/test"),
            Err(anyhow!("{}\n{}", ran.status, tail(&stderr))),
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
