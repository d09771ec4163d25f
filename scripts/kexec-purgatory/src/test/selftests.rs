// SPDX-License-Identifier: GPL-2.0-only

//! Runs the kselftests of kexec, the overlay's and the kernel's own, in guests of every state.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use super::ktap::Stream;
use super::{Kernels, Report, shared};
use crate::command::{command, output};
use crate::guest::{self, Selftests};
use crate::kernel::{Built, SAMPLE_MODULE, VERIFY_MODULE, Verify};
use crate::layout::Layout;
use crate::parallel::in_order;
use crate::qemu::{self, SerialLog};

/// Their directory, in the overlay as in the kernel tree.
const FOLDER: &str = "tools/testing/selftests/kexec";

/// Modules that they load. They belong to the `m` kernel; the other kernels must refuse them.
pub const MODULES: &[&str] = &[VERIFY_MODULE, SAMPLE_MODULE];

/// The kernel's own tests, which print no KTAP. They must end in the same way in every state.
const UPSTREAM: &[&str] = &[
    "test_kexec_load.sh",
    "test_kexec_file_load.sh",
    "test_kexec_jump.sh",
];

/// What these need: a script, and a program that is built.
const UPSTREAM_LIBRARY: &str = "kexec_common_lib.sh";
const UPSTREAM_PROGRAM: &str = "test_kexec_jump";

/// The overlay's tests that run in every state.
const TESTS: &[&str] = &[
    "test_kexec_check",
    "test_kexec_purgatory",
    "test_kexec_sysfs",
    "test_kexec_policy.sh",
];

/// Tests that run only where a load is short: mainline hashes and zeroes all the memory that a
/// header asks for.
const LONG_TESTS: &[&str] = &["test_kexec_header"];

/// The first state is the reference for the kernel's own tests.
const STATES: &[Verify] = &[Verify::Norust, Verify::Y, Verify::M, Verify::N];

/// The overlay's tests of images that have memory in CMA, which the guests above do not have; the
/// state, whose kernel aligns that memory as the image's segments ask for; and the parameter that
/// reserves it.
const CMA_TESTS: &[&str] = &["test_kexec_cma"];
const CMA_STATE: Verify = Verify::M;
const CMA: &str = " cma=256M";

/// The overlay's tests that must leave a policy module alone that is loaded before them, and why
/// they skip what they would need it for.
const POLICY_TESTS: &[&str] = &["test_kexec_purgatory", "test_kexec_policy.sh"];
const POLICY_SKIP: &str = "a policy module is loaded";

/// The last line of a kselftest that passed, or that has nothing to test.
const PASSED: &str = "exit 0";
const SKIPPED: &str = "exit 4";

/// What a program prints before the reason if it skips all of its tests.
const SKIPS_ALL: &str = "1..0 # SKIP ";

/// Why the overlay's tests may be skipped on a mainline kernel: its purgatory has nothing for them
/// to look at.
const MAINLINE: &[&str] = &["the kernel has no CONFIG_KEXEC_PURGATORY_RUST"];

pub fn names() -> Vec<String> {
    let states = STATES.iter().flat_map(|&verify| names_in(verify));
    states
        .chain(names_of(&cma_group(), CMA_TESTS))
        .chain([policy_group()])
        .collect()
}

fn names_in(verify: Verify) -> Vec<String> {
    let mut names = names_of(&group(verify), &tests(verify));
    if verify != Verify::Norust {
        names.push(as_mainline(verify));
    }
    names
}

/// The names of what [`read`] reports.
pub fn names_of(group: &str, tests: &[&str]) -> Vec<String> {
    let mut names = vec![group.to_owned()];
    for test in tests {
        names.extend([format!("{group}/{test}"), format!("{group}/{test}/")]);
    }
    names
}

fn group(verify: Verify) -> String {
    format!("selftests/{}", verify.name())
}

fn cma_group() -> String {
    group(CMA_STATE) + "-cma"
}

fn policy_group() -> String {
    group(Verify::M) + "-policy"
}

/// The name of the test that the kernel's own tests end as on mainline.
fn as_mainline(verify: Verify) -> String {
    group(verify) + "/as-mainline"
}

/// The tests that run in a state.
fn tests(verify: Verify) -> Vec<&'static str> {
    let long = match verify {
        Verify::Norust => &[],
        _ => LONG_TESTS,
    };
    [TESTS, long, UPSTREAM].concat()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let programs = build(kernels.layout, kernels.tree())?;
    let kernel = kernels.get(Verify::M)?;
    let modules = kernel.modules(MODULES)?;
    let initramfs = Selftests {
        kernel: &kernels.next.image,
        // Larger than what the sample policy calls small.
        payload: &guest::bytes(guest::PAYLOAD),
        programs: &programs,
        modules: &modules,
    }
    .archive(kernels.layout)?;

    let mut boots = Vec::new();
    for &verify in STATES {
        let compared = |other: &Verify| report.wants(&as_mainline(*other));
        let needed = verify == Verify::Norust && STATES.iter().any(compared);
        if needed || report.wants_any(&names_in(verify)) {
            boots.push(Boot {
                verify,
                group: group(verify),
                tests: tests(verify),
                arguments: "",
                upstream: true,
                kernel: kernels.get(verify),
            });
        }
    }
    if report.wants_any(&names_of(&cma_group(), CMA_TESTS)) {
        boots.push(Boot {
            verify: CMA_STATE,
            group: cma_group(),
            tests: CMA_TESTS.to_vec(),
            arguments: CMA,
            upstream: false,
            kernel: kernels.get(CMA_STATE),
        });
    }

    if report.wants(&policy_group()) {
        let kernel = kernels.get(Verify::M);
        report.test(&policy_group(), || {
            with_policy(kernels, shared(&kernel)?, &initramfs)
        });
    }

    let kernels = &*kernels;
    let mut mainline = None;
    in_order(
        &boots,
        |boot| boot.run(kernels.layout, &initramfs),
        |boot, log| match log {
            Ok(log) => boot.report(kernels, report, &log, &mut mainline),
            Err(error) => report.fail(&boot.group, &error),
        },
    );
    Ok(())
}

/// A guest that runs some tests.
struct Boot {
    verify: Verify,
    group: String,
    tests: Vec<&'static str>,
    /// Added to the command line.
    arguments: &'static str,
    /// Whether the kernel's own tests are among them.
    upstream: bool,
    kernel: Result<Built>,
}

impl Boot {
    fn run(&self, layout: &Layout, initramfs: &Path) -> Result<SerialLog> {
        let kernel = shared(&self.kernel)?;
        let mut guest = Selftests::guest(initramfs, &self.tests, false);
        guest.arguments += self.arguments;
        let log = self.group.replace('/', "-");
        qemu::boot(layout, &log, kernel.image(), &guest, None)
    }

    /// Reports what the tests printed. Compares how the kernel's own tests ended with `mainline`,
    /// if that is known; the boot of the kernel without Rust sets it.
    fn report(
        &self,
        kernels: &Kernels,
        report: &mut Report,
        log: &SerialLog,
        mainline: &mut Option<Vec<(String, Vec<String>)>>,
    ) {
        let skips = match self.verify {
            Verify::Norust => MAINLINE,
            _ => &[],
        };
        read(kernels, report, &self.group, log, &self.tests, skips);
        if !self.upstream {
            return;
        }
        let ended = upstream(log);
        if self.verify == Verify::Norust {
            *mainline = Some(ended);
        } else if let Some(mainline) = mainline {
            report.test(&as_mainline(self.verify), || {
                ensure!(ended == *mainline, "{ended:?}, mainline: {mainline:?}");
                Ok(())
            });
        }
    }
}

/// With a policy module, the tests skip what they would need the module for, pass otherwise, and
/// leave it loaded.
fn with_policy(kernels: &Kernels, kernel: &Built, initramfs: &Path) -> Result<()> {
    let mut guest = Selftests::guest(initramfs, POLICY_TESTS, false);
    guest.arguments += &format!(" guest.modules={VERIFY_MODULE}");
    let log = qemu::boot(
        kernels.layout,
        "selftests-m-policy",
        kernel.image(),
        &guest,
        None,
    )?;
    let printed = printed(&log);
    ensure!(printed.len() == POLICY_TESTS.len(), "{}", log.tail());
    for (name, lines) in printed {
        let skips = lines.iter().any(|line| line.ends_with(POLICY_SKIP));
        let failed = lines.iter().any(|line| line.starts_with("not ok "));
        let ended = lines
            .last()
            .is_some_and(|line| [PASSED, SKIPPED].contains(line));
        ensure!(skips && !failed && ended, "{name}:\n{}", lines.join("\n"));
    }
    let policy = log.after("guest: verify_policy ");
    ensure!(
        policy == Some(&format!("policy: {VERIFY_MODULE}")),
        "verify_policy is {policy:?}"
    );
    Ok(())
}

/// The programs of a guest, and the lines that each printed. The last line is the exit status.
fn printed(log: &SerialLog) -> Vec<(&str, Vec<&str>)> {
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
    printed
}

/// How the kernel's own tests ended: the last line that each printed, and its exit status.
fn upstream(log: &SerialLog) -> Vec<(String, Vec<String>)> {
    printed(log)
        .into_iter()
        .filter(|(name, _)| UPSTREAM.contains(name))
        .map(|(name, lines)| {
            let end = lines.iter().rev().take(2).map(|line| (*line).to_owned());
            (name.to_owned(), end.collect())
        })
        .collect()
}

/// Reports what each program of a guest printed. One of the overlay's programs may skip tests for a
/// reason that begins like one of `skips`.
pub fn read(
    kernels: &Kernels,
    report: &mut Report,
    group: &str,
    log: &SerialLog,
    tests: &[&str],
    skips: &[&str],
) {
    let printed = printed(log);
    let ran: Vec<&str> = printed.iter().map(|(name, _)| *name).collect();
    match ran == tests && log.after("guest: finished").is_some() {
        true => report.record(group, Ok(())),
        false => {
            let error = anyhow!("{ran:?} of {tests:?} ran");
            report.fail(group, &error.context(log.tail()));
        }
    }
    for (name, lines) in printed {
        let group = format!("{group}/{name}");
        if let Some(why) = skipped(name, &lines, skips) {
            report.skip(&group, why);
            continue;
        }
        report.record(&group, passed(&lines));
        if !UPSTREAM.contains(&name) {
            match Stream::parse(kernels, lines.into_iter()) {
                Ok(stream) => stream.report(report, &group, skips),
                Err(error) => report.fail(&group, &error),
            }
        }
    }
}

/// Why a program skipped all of its tests, if it may. The kernel's own tests have to pass.
fn skipped<'a>(name: &str, lines: &[&'a str], skips: &[&str]) -> Option<&'a str> {
    let why = lines.iter().find_map(|line| line.strip_prefix(SKIPS_ALL))?;
    let may_skip = !UPSTREAM.contains(&name) && skips.contains(&why);
    (may_skip && lines.last() == Some(&SKIPPED)).then_some(why)
}

fn passed(lines: &[&str]) -> Result<()> {
    ensure!(lines.last() == Some(&PASSED), "{}", lines.join("\n"));
    Ok(())
}

/// The scripts and the programs. The programs are built as kselftest does, but linked statically.
pub fn build(layout: &Layout, tree: &Path) -> Result<Vec<PathBuf>> {
    let to = layout.build.join("selftests");
    fs::create_dir_all(&to)?;
    let tree = tree.join(FOLDER);
    let mut scripts: Vec<PathBuf> = UPSTREAM
        .iter()
        .chain([&UPSTREAM_LIBRARY])
        .map(|name| tree.join(name))
        .collect();
    let mut programs = vec![to.join(UPSTREAM_PROGRAM)];
    for entry in layout.overlay.join(FOLDER).read_dir()? {
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
            .arg(&tree)
            .args(["LLVM=-19", "USERLDFLAGS=-static"])
            .arg(format!("OUTPUT={}", to.display()))
            .arg(format!("-j{}", thread::available_parallelism()?))
            .args(&programs),
    )?;
    Ok([scripts, programs].concat())
}

#[cfg(test)]
mod tests {
    use super::{MAINLINE, SKIPPED, TESTS, UPSTREAM, passed, skipped};

    #[test]
    fn only_the_overlays_tests_may_be_skipped() {
        let line = format!("1..0 # SKIP {}", MAINLINE[0]);
        let lines = ["TAP version 13", &line, SKIPPED];
        assert_eq!(skipped(TESTS[0], &lines, MAINLINE), Some(MAINLINE[0]));
        assert_eq!(skipped(TESTS[0], &lines, &[]), None);
        assert_eq!(skipped(TESTS[0], &lines[..2], MAINLINE), None);
        for name in UPSTREAM {
            assert_eq!(skipped(name, &lines, MAINLINE), None);
            let lines = ["[INFO] kexec_load is not enabled", SKIPPED];
            assert_eq!(skipped(name, &lines, MAINLINE), None);
        }
        assert!(passed(&lines).is_err());
    }
}
