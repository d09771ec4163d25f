// SPDX-License-Identifier: GPL-2.0-only

//! Mutants of the digest crate that cargo-mutants makes: it replaces each operator, each condition
//! and each value that a function returns. The tests on the host must notice.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use super::Fate;
use super::sources::Sources;
use crate::command::{cargo, logged, logged_step, tail};
use crate::files;
use crate::layout::Layout;
use crate::progress::{self, Step};
use crate::setup;

/// The crate that is mutated, and the one with its tests; their directories in the purgatory's.
const CRATE: &str = "purgatory_digest";
const TESTS: &str = "digest-tests";
const FOLDERS: [&str; 2] = ["digest", TESTS];

/// Makes a workspace of the two: cargo-mutants needs one to test the first with the second.
const WORKSPACE: &str = r#"[workspace]
members = ["digest", "digest-tests"]
resolver = "3"

[profile.dev]
opt-level = 2
"#;

/// How long the tests may run for one mutant, in seconds. They take 10 on one idle processor. A
/// mutant that never ends does not count as noticed.
const LONGEST: u32 = 600;

/// Mutants that are left out, each with the reason.
const EXCLUDED: &str = "cargo-mutants.toml";

/// What cargo-mutants writes about a run.
#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
    /// None if the run did not finish: the file is written after each mutant.
    end_time: Option<String>,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "scenario")]
    tested: Tested,
    summary: Summary,
    /// Relative to the directory of the run.
    log_path: PathBuf,
}

#[derive(Deserialize)]
enum Tested {
    /// The sources without a mutant.
    Baseline,
    Mutant {
        /// File, line, column and the change.
        name: String,
    },
}

#[derive(Clone, Copy, Deserialize)]
enum Summary {
    Success,
    CaughtMutant,
    MissedMutant,
    /// It does not compile.
    Unviable,
    Timeout,
    Failure,
}

/// Makes the mutants, tries them, and hands each to `report` with its name and result. Those that
/// do not compile do not count; their number is printed.
pub fn each(layout: &Layout, mut report: impl FnMut(&str, Result<Fate>)) -> Result<()> {
    let folder = layout.build.join("mutants/generated");
    let sources = workspace(layout, folder.join("sources"))?;
    let target = folder.join("target");

    // The results for mutants mean nothing if the tests fail without one.
    logged_step(
        "test the digest crate without a mutant",
        &layout.log("cargo-mutants-none")?,
        cargo()
            .args(["test", "--quiet", "--locked", "--workspace", "--tests"])
            .current_dir(&sources)
            .env("CARGO_TARGET_DIR", &target),
    )?;

    let run = folder.join("mutants.out");
    files::remove(&run)?;
    let mut command = cargo();
    command
        .arg("mutants")
        .args(["--package", CRATE, "--test-workspace", "true"])
        .args(["--colors", "never", "--no-shuffle", "--all-logs"])
        .args(["--baseline", "skip", "--timeout"])
        .arg(LONGEST.to_string())
        .arg("--config")
        .arg(layout.tool(EXCLUDED))
        .arg("--output")
        .arg(&folder)
        .args(["--", "--locked", "--tests"])
        .current_dir(&sources);
    setup::add_cargo_mutants(layout, &mut command)?;
    let mut step = Step::start("try the mutants of cargo-mutants");
    // Its exit status reports mutants that survived, which the file of outcomes names.
    let ran = logged(&mut command, &layout.log("cargo-mutants")?, &mut step);
    let text = match fs::read_to_string(run.join("outcomes.json")) {
        Ok(text) => text,
        Err(error) => return ran.and(Err(error.into())),
    };
    step.done();
    let outcomes: Outcomes = serde_json::from_str(&text)?;
    if outcomes.end_time.is_none() {
        ran.context("cargo-mutants was ended early")?;
        bail!("cargo-mutants did not finish");
    }
    let (mut tried, mut unviable) = (0, 0);
    for outcome in outcomes.outcomes {
        let Tested::Mutant { name } = &outcome.tested else {
            continue;
        };
        let log = run.join(&outcome.log_path);
        let fate = match outcome.summary {
            Summary::CaughtMutant => Ok(Fate::Killed(name.clone())),
            Summary::MissedMutant => Ok(Fate::Survived),
            Summary::Unviable => {
                unviable += 1;
                continue;
            }
            Summary::Timeout => Err(ended(&log, "the tests did not end")),
            Summary::Success | Summary::Failure => Err(ended(&log, "no test was run")),
        };
        tried += 1;
        report(name, fate);
    }
    ensure!(tried > 0, "no mutant was tried");
    progress::print(&format!(
        "# {tried} mutants were tried, {unviable} more do not compile"
    ));
    Ok(())
}

/// Makes a workspace of the two crates. Returns its directory.
fn workspace(layout: &Layout, folder: PathBuf) -> Result<PathBuf> {
    let sources = Sources::copy(layout, folder)?;
    let folder = sources.folder();
    for member in FOLDERS {
        let manifest = folder.join(member).join("Cargo.toml");
        let text = fs::read_to_string(&manifest)?;
        // Each is a separate workspace in the overlay.
        let member = text.replace("[workspace]\n", "");
        ensure!(member != text, "{} is no workspace", manifest.display());
        fs::write(&manifest, member)?;
    }
    fs::write(folder.join("Cargo.toml"), WORKSPACE)?;
    // Cargo reads the lock file and the settings at the root.
    for file in ["Cargo.lock", ".cargo"] {
        fs::rename(folder.join(TESTS).join(file), folder.join(file))
            .with_context(|| format!("cannot move {TESTS}/{file}"))?;
    }
    Ok(folder.to_owned())
}

/// The error for a mutant of which nothing is known.
fn ended(log: &Path, why: &str) -> anyhow::Error {
    let text = fs::read_to_string(log).unwrap_or_default();
    anyhow!("{why}\n{}", tail(&text))
}
