// SPDX-License-Identifier: GPL-2.0-only

//! Runs the kernel's own tests of kexec handover and live update, unmodified, with images that are
//! entered directly and with verified ones.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::arm::Arm;
use super::{Kernels, Report, debug, shared};
use crate::command::{command, logged_step, output};
use crate::expected::ENTERED;
use crate::guest::{self, Guest, Upstream};
use crate::kernel::{self, VERIFY_MODULE, Verify};
use crate::layout::Layout;
use crate::parallel::in_order;
use crate::qemu::{self, SerialLog};

/// The state whose kernel supports them.
const STATE: Verify = Verify::OptionsM;

/// A test: its directory below `tools/testing/selftests`, the program besides its `/init`, and what
/// is printed if data reached the next kernel.
struct Test {
    name: &'static str,
    folder: &'static str,
    program: Option<&'static str>,
    passes: &'static str,
}

const TESTS: &[Test] = &[
    Test {
        name: "kho",
        folder: "kho",
        program: None,
        passes: "KHO restore succeeded",
    },
    liveupdate("liveupdate", "luo_kexec_simple"),
    liveupdate("liveupdate-sessions", "luo_multi_session"),
    liveupdate("liveupdate-many-files", "luo_stress_files"),
    liveupdate("liveupdate-many-sessions", "luo_stress_sessions"),
];

/// A test of live update that runs `program`.
const fn liveupdate(name: &'static str, program: &'static str) -> Test {
    Test {
        name,
        folder: "liveupdate",
        program: Some(program),
        passes: "TEST PASSED",
    }
}

/// A name, and a decision. If it is to verify the image, the policy is told so.
const DECISIONS: &[(&str, Arm)] = &[
    ("direct", Arm::DirectKho),
    ("verified", Arm::VerifiedPolicy),
];

/// A test, and the decision about its image.
struct Row {
    name: String,
    test: &'static Test,
    arm: Arm,
}

/// Every test with every decision.
fn rows() -> Vec<Row> {
    let row = |test: &'static Test, &(decision, arm): &(&str, Arm)| Row {
        name: format!("options/{}-selftest-{decision}", test.name),
        test,
        arm,
    };
    TESTS
        .iter()
        .flat_map(|test| DECISIONS.iter().map(move |decision| row(test, decision)))
        .collect()
}

pub fn names() -> Vec<String> {
    rows().into_iter().map(|row| row.name).collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let mut rows = rows();
    rows.retain(|row| report.wants(&row.name));
    if rows.is_empty() {
        return Ok(());
    }
    let kernel = kernels.get(STATE)?;
    let module = kernel.module(VERIFY_MODULE)?;
    let layout = kernels.layout;
    let folder = layout.build.join("handover");
    fs::create_dir_all(&folder)?;
    let headers = headers(layout, kernels.tree(), &folder)?;

    let guest = |row: &Row| -> Result<Guest> {
        let (init, program) = build(kernels.tree(), &headers, &folder, row.test)?;
        let mut guest = guest::upstream(
            layout,
            &Upstream {
                name: &row.name.replace('/', "-"),
                kernel: kernel.image(),
                init: &init,
                program: program.as_deref(),
                module: &module,
                verified: row.arm.is_verified(),
            },
        )?;
        // The next kernel gets the same command line.
        guest.arguments += debug::FOUR_LEVELS;
        Ok(guest)
    };
    let jobs: Vec<(&Row, Result<Guest>)> = rows.iter().map(|row| (row, guest(row))).collect();
    in_order(
        &jobs,
        |(row, guest)| {
            let log = row.name.replace('/', "-");
            qemu::boot(layout, &log, kernel.image(), shared(guest)?, None)
        },
        |(row, _), log| {
            let judged = |log: SerialLog| judge(row, &log).with_context(|| log.tail());
            report.record(&row.name, log.and_then(judged));
        },
    );
    Ok(())
}

/// Checks that the image was treated as decided, and that the data arrived.
fn judge(row: &Row, log: &SerialLog) -> Result<()> {
    let decided = format!("kexec: normal image: {}", row.arm.text());
    ensure!(
        log.lines().any(|line| line == decided),
        "the log has no {decided:?}"
    );
    // Only a purgatory that ran records a time for the verification.
    let entered = log.after(ENTERED).unwrap_or_default();
    let verified = entered.contains(": verified ") && entered.contains(" verify ");
    let direct = entered.contains(": direct: ") && !entered.contains(" verify ");
    ensure!(
        match row.arm.is_verified() {
            true => verified,
            false => direct,
        },
        "the next kernel was entered by {entered:?}"
    );
    ensure!(
        log.lines().any(|line| line.contains(row.test.passes)),
        "the log has no {:?}",
        row.test.passes
    );
    // Without a program, the next kernel has no /init, and panics.
    debug::are_quiet_until(log, row.test.passes)
}

/// Installs the kernel's headers for user space.
fn headers(layout: &Layout, tree: &Path, folder: &Path) -> Result<PathBuf> {
    let to = folder.join("usr");
    logged_step(
        "install the kernel's headers",
        &layout.log("headers-install")?,
        STATE
            .toolchain()
            .make(layout, tree, &kernel::folder(layout, STATE), "x86_64")?
            .arg("headers_install")
            .arg(format!("INSTALL_HDR_PATH={}", to.display())),
    )?;
    Ok(to.join("include"))
}

/// Compiles a test's `/init` and its program with nolibc, as its `vmtest.sh` does.
fn build(
    tree: &Path,
    headers: &Path,
    folder: &Path,
    test: &Test,
) -> Result<(PathBuf, Option<PathBuf>)> {
    let source = tree.join("tools/testing/selftests").join(test.folder);
    let compile = |name: &str, sources: &[PathBuf]| -> Result<PathBuf> {
        let to = folder.join(format!("{}-{name}", test.folder));
        let mut compiler = command("gcc");
        compiler
            .args(["-s", "-static", "-O2", "-nostdinc", "-nostdlib"])
            .args(["-fno-asynchronous-unwind-tables", "-fno-ident"])
            .arg("-fno-stack-protector")
            .arg("-I")
            .arg(headers)
            .arg("-I")
            .arg(tree.join("tools/include/nolibc"))
            .arg("-I")
            .arg(source.join("lib/include"))
            .arg("-o")
            .arg(&to)
            .args(sources);
        output(&mut compiler)?;
        Ok(to)
    };
    let init = compile("init", &[source.join("init.c")])?;
    let program = test
        .program
        .map(|name| {
            let sources = [format!("{name}.c"), "lib/lu_utils.c".to_owned()];
            compile(name, &sources.map(|file| source.join(file)))
        })
        .transpose()?;
    Ok((init, program))
}
