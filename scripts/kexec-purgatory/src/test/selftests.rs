// SPDX-License-Identifier: GPL-2.0-only

//! The kselftests of the overlay, run in guests of every state.

use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, ensure};

use super::ktap::{self, Outcome};
use super::{Kernels, Report};
use crate::command::{command, output};
use crate::guest;
use crate::kernel::Verify;
use crate::qemu;

/// Where they lie, in the overlay as in the kernel tree.
const FOLDER: &str = "tools/testing/selftests/kexec";

const STATES: &[Verify] = &[Verify::Norust, Verify::Y, Verify::M, Verify::N];

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let programs = build(kernels)?;
    let guest = guest::selftests(kernels.layout, &kernels.next, &programs)?;
    for &verify in STATES {
        let group = format!("selftests/{}", verify.name());
        if !report.wants_group(&group) {
            continue;
        }
        let log = group.replace('/', "-");
        let booted = kernels
            .get(verify)
            .and_then(|kernel| qemu::boot(kernels.layout, &log, &kernel.image(), &guest));
        let log = match booted {
            Ok(log) => log,
            Err(error) => {
                report.record(&group, Err(error));
                continue;
            }
        };
        let outcomes = ktap::parse(
            log.lines()
                .filter_map(|line| line.strip_prefix("guest: ktap ")),
        );
        report.record(
            &group,
            finished(&outcomes, log.after("guest: finished").is_some()).with_context(|| log.tail()),
        );
        // Mainline's purgatory has nothing that the tests of ours could look at.
        let may_skip = verify == Verify::Norust;
        for outcome in outcomes {
            outcome.report(report, &group, may_skip);
        }
    }
    Ok(())
}

/// Whether the guest ran tests and came to its end.
fn finished(outcomes: &[Outcome], end: bool) -> Result<()> {
    ensure!(!outcomes.is_empty(), "no test was run");
    ensure!(end, "the guest did not finish");
    Ok(())
}

/// Builds the overlay's test programs as kselftest does, but linked statically.
fn build(kernels: &Kernels) -> Result<Vec<PathBuf>> {
    let to = kernels.layout.build.join("selftests");
    fs::create_dir_all(&to)?;
    let mut programs = Vec::new();
    for entry in kernels.layout.overlay.join(FOLDER).read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            programs.push(to.join(path.file_stem().context("a test without a name")?));
        }
    }
    output(
        command("make")
            .arg("-C")
            .arg(kernels.tree().join(FOLDER))
            .args(["LLVM=-19", "USERLDFLAGS=-static"])
            .arg(format!("OUTPUT={}", to.display()))
            .arg(format!("-j{}", thread::available_parallelism()?))
            .args(&programs),
    )?;
    Ok(programs)
}
