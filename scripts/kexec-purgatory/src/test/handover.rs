// SPDX-License-Identifier: GPL-2.0-only

//! Runs the kernel's own tests of kexec handover and live update, unmodified, with images that are
//! entered directly and with verified ones.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};

use super::arm::Arm;
use super::{Kernels, Report};
use crate::command::{command, logged, output};
use crate::guest::{self, Upstream};
use crate::kernel::{self, VERIFY_MODULE, Verify};
use crate::layout::Layout;
use crate::parallel::in_order;
use crate::progress::Step;
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
    Test {
        name: "liveupdate",
        folder: "liveupdate",
        program: Some("luo_kexec_simple"),
        passes: "TEST PASSED",
    },
    Test {
        name: "liveupdate-sessions",
        folder: "liveupdate",
        program: Some("luo_multi_session"),
        passes: "TEST PASSED",
    },
    Test {
        name: "liveupdate-many-files",
        folder: "liveupdate",
        program: Some("luo_stress_files"),
        passes: "TEST PASSED",
    },
    Test {
        name: "liveupdate-many-sessions",
        folder: "liveupdate",
        program: Some("luo_stress_sessions"),
        passes: "TEST PASSED",
    },
];

/// A name, whether the policy is told to verify the image, and the decision.
const DECISIONS: &[(&str, bool, Arm)] = &[
    ("direct", false, Arm::DirectKho),
    ("verified", true, Arm::VerifiedPolicy),
];

fn name(test: &Test, decision: &str) -> String {
    format!("options/{}-selftest-{decision}", test.name)
}

pub fn names() -> Vec<String> {
    TESTS
        .iter()
        .flat_map(|test| DECISIONS.iter().map(|(decision, ..)| name(test, decision)))
        .collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    if !report.wants_any(&names()) {
        return Ok(());
    }
    let kernel = kernels.get(STATE)?;
    let module = kernel.module(VERIFY_MODULE)?;
    let layout = kernels.layout;
    let folder = layout.build.join("handover");
    fs::create_dir_all(&folder)?;
    let headers = headers(layout, kernels.tree(), &folder)?;

    let mut jobs = Vec::new();
    for test in TESTS {
        let source = kernels
            .tree()
            .join("tools/testing/selftests")
            .join(test.folder);
        let built = build(kernels.tree(), &source, &headers, &folder, test);
        for (decision, verified, arm) in DECISIONS {
            let name = name(test, decision);
            if !report.wants(&name) {
                continue;
            }
            let guest = match &built {
                Ok((init, program)) => guest::upstream(
                    layout,
                    &Upstream {
                        name: &name.replace('/', "-"),
                        kernel: kernel.image(),
                        init,
                        program: program.as_deref(),
                        module: &module,
                        verified: *verified,
                    },
                ),
                Err(error) => Err(anyhow!("{error:#}")),
            };
            jobs.push((name, test, *arm, guest));
        }
    }
    in_order(
        &jobs,
        |(name, .., guest)| match guest {
            Ok(guest) => qemu::boot(layout, &name.replace('/', "-"), kernel.image(), guest, None),
            Err(error) => Err(anyhow!("{error:#}")),
        },
        |(name, test, arm, _), log| {
            let result = log.and_then(|log| judge(test, *arm, &log).with_context(|| log.tail()));
            report.record(name, result);
        },
    );
    Ok(())
}

/// Checks that the image was treated as decided, and that the data arrived.
fn judge(test: &Test, arm: Arm, log: &SerialLog) -> Result<()> {
    let decided = format!("kexec: normal image: {}", arm.text());
    ensure!(
        log.lines().any(|line| line == decided),
        "the log has no {decided:?}"
    );
    // The next kernel knows how it was entered.
    let entered = match arm.is_verified() {
        true => ": verified ",
        false => ": direct: ",
    };
    ensure!(
        log.lines()
            .any(|line| line.starts_with("kexec: entered by ") && line.contains(entered)),
        "the next kernel does not tell that it was entered{entered}"
    );
    ensure!(
        log.lines().any(|line| line.contains(test.passes)),
        "the log has no {:?}",
        test.passes
    );
    Ok(())
}

/// Installs the kernel's headers for user space.
fn headers(layout: &Layout, tree: &Path, folder: &Path) -> Result<PathBuf> {
    let to = folder.join("usr");
    let mut step = Step::start("install the kernel's headers");
    logged(
        STATE
            .toolchain()
            .make(layout, tree, &kernel::folder(layout, STATE), "x86_64")?
            .arg("headers_install")
            .arg(format!("INSTALL_HDR_PATH={}", to.display())),
        &layout.log("headers-install")?,
        &mut step,
    )?;
    step.done();
    Ok(to.join("include"))
}

/// Compiles a test's `/init` and its program with nolibc, as its `vmtest.sh` does.
fn build(
    tree: &Path,
    source: &Path,
    headers: &Path,
    folder: &Path,
    test: &Test,
) -> Result<(PathBuf, Option<PathBuf>)> {
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
