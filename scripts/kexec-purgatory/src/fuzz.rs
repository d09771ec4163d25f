// SPDX-License-Identifier: GPL-2.0-only

//! Fuzzes what the purgatory reads: libFuzzer searches for inputs that break a property of
//! `digest-tests/src/fuzz.rs`, guided by the branches that each input takes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{cargo, command, logged, logged_step};
use crate::files;
use crate::layout::Layout;
use crate::progress::Step;

/// The crate with the properties and their corpus, in the overlay.
const CRATE: &str = "arch/x86/purgatory/rust/digest-tests";

/// The properties.
const TARGETS: &[&str] = &["params", "digest"];

/// The longest input, in bytes.
const LONGEST: u32 = 400;

/// The target triple of the host. Naming it keeps the flags below out of build scripts.
const HOST: &str = "x86_64-unknown-linux-gnu";

/// Flags that count branches and record comparisons for libFuzzer, and that detect overflows.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
    "-Coverflow-checks",
    // As in the crate's own configuration, which these flags replace.
    "--cfg=sha2_backend=\"soft\"",
];

/// Searches for inputs that break a property: tries `runs` inputs for each property, or, if it is
/// `None`, as many as it can in `seconds`. Returns whether it found none.
///
/// `keep`: adds inputs that reach something new to the corpus in the overlay.
pub fn run(layout: &Layout, seconds: u32, runs: Option<u64>, keep: bool) -> Result<bool> {
    let limit = match runs {
        Some(runs) => format!("-runs={runs}"),
        None => format!("-max_total_time={seconds}"),
    };
    let program = build(layout)?;
    let (mut tried, mut new, mut failed) = (0, 0, 0);
    for name in TARGETS {
        let target = Target::new(layout, name, &program)?;
        let kept = target.write_corpus()?;
        match target.fuzz(layout, &limit) {
            Ok(runs) => tried += runs,
            Err(error) => {
                failed += 1;
                eprintln!("{name}: {error:#}");
                continue;
            }
        }
        let found = target.merge(layout)?;
        let more = found.difference(&kept).count();
        println!("{name}: {} inputs kept, {more} more found", kept.len());
        new += more;
        if keep && more > 0 {
            target.keep(kept.union(&found))?;
        }
    }
    if new > 0 && !keep {
        println!("KEEP=1 adds them to the corpus in {CRATE}/corpus");
    }
    println!(
        "{} properties, {tried} inputs tried, {failed} failed",
        TARGETS.len()
    );
    Ok(failed == 0)
}

/// Builds the properties with libFuzzer.
fn build(layout: &Layout) -> Result<PathBuf> {
    let folder = layout.build.join("fuzz/crates");
    let flags: Vec<String> = FLAGS.iter().map(|flag| format!("{flag:?}")).collect();
    logged_step(
        "build with libFuzzer",
        &layout.log("fuzz-build")?,
        cargo()
            .args(["build", "--locked", "--release", "--features", "fuzz"])
            .args(["--bin", "fuzz", "--target", HOST])
            .arg("--config")
            .arg(format!("build.rustflags=[{}]", flags.join(",")))
            .current_dir(layout.overlay.join(CRATE))
            .env("CARGO_TARGET_DIR", &folder),
    )?;
    Ok(folder.join(HOST).join("release/fuzz"))
}

/// A property, and the paths of its inputs.
struct Target<'a> {
    name: &'static str,
    program: &'a Path,
    /// The corpus in the overlay, in text form.
    text: PathBuf,
    /// The same corpus with a file for each input, as libFuzzer reads it.
    corpus: PathBuf,
    /// What libFuzzer found.
    found: PathBuf,
    /// The smallest part of both that still reaches everything that they reach.
    merged: PathBuf,
    /// Where libFuzzer puts inputs that break the property.
    failures: PathBuf,
}

type Inputs = BTreeSet<Vec<u8>>;

impl<'a> Target<'a> {
    fn new(layout: &Layout, name: &'static str, program: &'a Path) -> Result<Self> {
        let folder = layout.build.join("fuzz").join(name);
        files::remove(&folder)?;
        let sub = |name: &str| {
            let folder = folder.join(name);
            fs::create_dir_all(&folder)?;
            anyhow::Ok(folder)
        };
        Ok(Self {
            name,
            program,
            text: layout
                .overlay
                .join(CRATE)
                .join("corpus")
                .join(name)
                .with_extension("hex"),
            corpus: sub("corpus")?,
            found: sub("found")?,
            merged: sub("merged")?,
            failures: sub("failures")?,
        })
    }

    /// Writes the corpus as files, and returns its inputs.
    fn write_corpus(&self) -> Result<Inputs> {
        let text = files::read_text(&self.text)?;
        let inputs = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                hex::decode(line).with_context(|| format!("{} has {line:?}", self.text.display()))
            })
            .collect::<Result<Inputs>>()?;
        for (i, input) in inputs.iter().enumerate() {
            fs::write(self.corpus.join(i.to_string()), input)?;
        }
        Ok(inputs)
    }

    /// Runs libFuzzer up to a limit, one of its options; returns how many inputs it tried.
    fn fuzz(&self, layout: &Layout, limit: &str) -> Result<u64> {
        let log = layout.log(&format!("fuzz-{}", self.name))?;
        let mut step = Step::start(format!("fuzz {}", self.name));
        let ran = logged(
            self.libfuzzer()
                .args([
                    limit,
                    "-print_final_stats=1",
                    &format!("-max_len={LONGEST}"),
                ])
                .arg(format!("-artifact_prefix={}/", self.failures.display()))
                .args([&self.found, &self.corpus]),
            &log,
            &mut step,
        );
        for failure in files::below(&self.failures)? {
            let input = files::read(&failure)?;
            eprintln!("the property does not hold for {}", hex::encode(&input));
        }
        ran?;
        step.done();
        files::read_text(&log)?
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
            .and_then(|count| count.trim().parse().ok())
            .with_context(|| format!("{} does not say what was tried", log.display()))
    }

    /// Finds the inputs that are worth keeping.
    fn merge(&self, layout: &Layout) -> Result<Inputs> {
        logged_step(
            format!("merge {}", self.name),
            &layout.log(&format!("fuzz-{}-merge", self.name))?,
            self.libfuzzer()
                .arg("-merge=1")
                .args([&self.merged, &self.corpus, &self.found]),
        )?;
        files::below(&self.merged)?
            .iter()
            .map(|path| files::read(path))
            .collect()
    }

    /// Writes the corpus to the overlay, and keeps the comments there.
    fn keep<'b>(&self, inputs: impl Iterator<Item = &'b Vec<u8>>) -> Result<()> {
        let old = files::read_text(&self.text)?;
        let mut text: String = old
            .lines()
            .take_while(|line| line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        for input in inputs {
            writeln!(text, "{}", hex::encode(input))?;
        }
        files::write(&self.text, text)
    }

    fn libfuzzer(&self) -> Command {
        let mut program = command(self.program);
        program.env("FUZZ_TARGET", self.name);
        program
    }
}
