// SPDX-License-Identifier: GPL-2.0-only

//! The kselftests of the overlay, run in guests of every state.

use std::fs;
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::{Kernels, Report, ktap};
use crate::command::{command, output};
use crate::guest;
use crate::kernel::{SAMPLE_MODULE, VERIFY_MODULE, Verify};
use crate::qemu::{self, ANY_PROCESSOR, SerialLog};

/// Where they lie, in the overlay as in the kernel tree.
const FOLDER: &str = "tools/testing/selftests/kexec";

/// Modules that they load; those of the `m` kernel, which the others must refuse.
const MODULES: &[&str] = &[VERIFY_MODULE, SAMPLE_MODULE];

const STATES: &[Verify] = &[Verify::Norust, Verify::Y, Verify::M, Verify::N];

/// How a kselftest exits that passed, or that has nothing to test.
const PASSED: &str = "exit 0";
const SKIPPED: &str = "exit 4";

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let programs = build(kernels)?;
    let kernel = kernels.get(Verify::M)?;
    let modules = MODULES
        .iter()
        .map(|name| kernel.module(name))
        .collect::<Result<Vec<_>>>()?;
    let guest = guest::selftests(kernels.layout, &kernels.next, &programs, &modules)?;
    for &verify in STATES {
        let group = format!("selftests/{}", verify.name());
        if !report.wants_group(&group) {
            continue;
        }
        let log = group.replace('/', "-");
        let booted = kernels.get(verify).and_then(|kernel| {
            qemu::boot(kernels.layout, &log, kernel.image(), &guest, ANY_PROCESSOR)
        });
        match booted {
            // Mainline's purgatory has nothing that the tests of ours could look at.
            Ok(log) => read(
                report,
                &group,
                &log,
                programs.len(),
                verify == Verify::Norust,
            ),
            Err(error) => report.record(&group, Err(error)),
        }
    }
    Ok(())
}

/// Reports what each program of a guest printed.
fn read(report: &mut Report, group: &str, log: &SerialLog, programs: usize, may_skip: bool) {
    let mut printed: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in log.lines() {
        if let Some(name) = line.strip_prefix("guest: selftest ") {
            printed.push((name, Vec::new()));
        } else if let Some(line) = line.strip_prefix("guest: ktap ")
            && let Some((_, lines)) = printed.last_mut()
        {
            lines.push(line);
        }
    }
    let all = printed.len() == programs && log.after("guest: finished").is_some();
    let ended = match all {
        true => Ok(()),
        false => Err(anyhow!("{} of {programs} ran", printed.len())),
    };
    report.record(group, ended.with_context(|| log.tail()));
    for (name, lines) in printed {
        let group = format!("{group}/{name}");
        report.record(&group, exited(&lines, may_skip));
        for outcome in ktap::parse(lines.into_iter()) {
            outcome.report(report, &group, may_skip);
        }
    }
}

/// Whether a program printed as many results as it planned, and exited as one that passed.
fn exited(lines: &[&str], may_skip: bool) -> Result<()> {
    match lines.last() {
        Some(&PASSED) => {}
        Some(&SKIPPED) if may_skip => return Ok(()),
        other => bail!("{other:?}\n{}", lines.join("\n")),
    }
    let planned: usize = lines
        .iter()
        .find_map(|line| line.strip_prefix("1..")?.parse().ok())
        .context("no plan")?;
    let results = lines
        .iter()
        .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "))
        .count();
    ensure!(results == planned, "{results} of {planned} tests ran");
    Ok(())
}

/// The scripts, and the programs built as kselftest does but linked statically.
fn build(kernels: &Kernels) -> Result<Vec<PathBuf>> {
    let to = kernels.layout.build.join("selftests");
    fs::create_dir_all(&to)?;
    let mut scripts = Vec::new();
    let mut programs = Vec::new();
    for entry in kernels.layout.overlay.join(FOLDER).read_dir()? {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("sh") => scripts.push(path),
            Some("c") => programs.push(to.join(path.file_stem().context("a nameless test")?)),
            _ => {}
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
    Ok([scripts, programs].concat())
}
