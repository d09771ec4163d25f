// SPDX-License-Identifier: GPL-2.0-only

//! Runs the kselftests on a kernel that checks memory and locks, and whose allocations can fail.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::group::table_names;
use super::selftests::{self, MODULES};
use super::{Kernels, Report};
use crate::command::{command, output};
use crate::expected::ENTERED;
use crate::files;
use crate::guest::{self, KUNIT, Purpose, Selftests};
use crate::kernel::{self, SAMPLE_MODULE, Verify};
use crate::qemu::{self, SerialLog};

/// The name of the group.
const GROUP: &str = "debug";

/// The tests, in this order. The last one leaves an image that survived it, which is then entered.
const TESTS: &[&str] = &[
    "test_kexec_purgatory",
    "test_kexec_check",
    "test_kexec_header",
    "test_kexec_policy.sh",
    "test_kexec_policy_race",
    "test_kexec_pressure",
];

/// What the kernel must have printed when its checkers started.
const WATCHERS: &[&str] = &[
    "Lock dependency validator: ",
    "KernelAddressSanitizer initialized",
    "kmemleak: Kernel memory leak detector initialized",
];

/// The beginnings of the lines in which the kernel reports a problem.
const COMPLAINTS: &[&str] = &[
    "BUG: ",
    "WARNING: ",
    "INFO: ",
    "Oops: ",
    "Kernel panic",
    "UBSAN: ",
    "kmemleak: ",
];

/// What can come before a complaint.
const DETECTORS: &[&str] = &["watchdog: ", "rcu: "];

/// How many lines of the log to show from the first complaint on: enough for a stack trace.
const SHOWN: usize = 60;

/// Not a complaint: one of the allocations that were made to fail was kmemleak's own, and it can do
/// without.
const HARMLESS: &str = "kmemleak: Cannot allocate a scan area, scanning the full object";

/// The beginning of a kernel's first line.
const FIRST_LINE: &str = "Linux version ";

/// Not a complaint if nothing turned it on.
const KMEMLEAK_OFF: &str = "kmemleak: Kernel memory leak detector disabled";

/// Not a complaint if the guest is to crash.
const CRASH: &str = "Kernel panic - not syncing: sysrq triggered crash";

/// Makes the kernel keep a trace of each page's allocation. test_kexec_pressure uses it to find
/// pages that an image lost.
const PAGES: &str = " page_owner=on";

/// How often test_kexec_check checks images while they are replaced, instead of its default. The
/// kernel passes parameters that it does not know to /init as environment variables.
const MANY_IMAGE_CHECKS: &str = " KEXEC_CHECKS=200";

/// Makes the kernel search for memory that nothing refers to.
const WATCH: &str = " kmemleak=on";

/// On the command line of a kernel with KASAN: four levels of page tables. identify_cpu() clears
/// the processor's features and reads them again with interrupts enabled. Meanwhile, KASAN assumes
/// four levels. With five, it reports an access by an interrupt as a wild one.
pub const FOUR_LEVELS: &str = " no5lvl";

/// 64 KiB, in the initramfs of the small image. That image is loaded once for each of its pages.
const PAYLOAD: u64 = 64 << 10;

/// The name of the test that a policy can be built out of tree.
const OUT_OF_TREE: &str = "debug/out-of-tree";

/// A check of the log.
type Check = fn(log: &SerialLog) -> Result<()>;

const CHECKS: &[(&str, Check)] = &[
    ("debug/watched", watched),
    ("debug/leaks", leaks),
    ("debug/quiet", quiet),
    ("debug/entered", entered),
];

pub fn names() -> Vec<String> {
    let modules = MODULES.iter().map(|module| modinfo(module));
    selftests::names_of(GROUP, TESTS)
        .into_iter()
        .chain([OUT_OF_TREE.to_owned()])
        .chain(modules)
        .chain(table_names(CHECKS))
        .collect()
}

/// The name of the test that modinfo describes a module.
fn modinfo(module: &str) -> String {
    format!("debug/modinfo/{module}")
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    // A resumed run may have passed all of them.
    if !report.wants_any(&names()) {
        return Ok(());
    }
    let programs = selftests::build(kernels.layout, kernels.tree())?;
    let kernel = kernels.get(Verify::OptionsM)?;
    let mut modules = kernel.modules(MODULES)?;
    let sample = out_of_tree(kernels);
    if let Ok(sample) = &sample {
        // The tests load it instead of the one that was built with the kernel.
        modules.retain(|module| module.file_name() != sample.file_name());
        modules.push(sample.clone());
    }
    report.record(OUT_OF_TREE, sample.map(drop));
    for module in &modules {
        let name = module.file_stem().unwrap_or_default().to_string_lossy();
        report.test(&modinfo(&name), || described(module));
    }
    let initramfs = Selftests {
        kernel: kernels.get(Verify::Y)?.image(),
        payload: &guest::bytes(PAYLOAD),
        programs: &programs,
        modules: &modules,
    }
    .archive(kernels.layout)?;
    let mut guest = Selftests::guest(&initramfs, TESTS, true);
    guest.arguments += &[" ", KUNIT, WATCH, FOUR_LEVELS, PAGES, MANY_IMAGE_CHECKS].concat();
    let log = qemu::boot(kernels.layout, GROUP, kernel.image(), &guest, None)?;
    selftests::read(kernels, report, GROUP, &log, TESTS, &[]);
    for (name, check) in CHECKS {
        report.test(name, || check(&log));
    }
    Ok(())
}

/// Builds the sample policy out of tree, for the kernel that is booted.
fn out_of_tree(kernels: &Kernels) -> Result<PathBuf> {
    let (layout, tree) = (kernels.layout, kernels.tree());
    let source = layout.build.join("out-of-tree");
    let file = format!("{SAMPLE_MODULE}.rs");
    files::empty(&source)?;
    let sample = layout.overlay.join("samples/rust").join(&file);
    fs::copy(sample, source.join(&file))?;
    let kbuild = format!("obj-m := {SAMPLE_MODULE}.o\n");
    fs::write(source.join("Kbuild"), kbuild)?;
    kernel::build_module(layout, tree, Verify::OptionsM, &source, SAMPLE_MODULE)
}

/// Checks that modinfo tells an administrator what a module is.
fn described(module: &Path) -> Result<()> {
    for field in ["license", "description", "author", "vermagic"] {
        let found = output(command("modinfo").args(["-F", field]).arg(module))?;
        let found = found.trim();
        ensure!(!found.is_empty(), "no {field}");
        ensure!(
            field != "license" || found.starts_with("GPL"),
            "license {found}"
        );
    }
    Ok(())
}

fn watched(log: &SerialLog) -> Result<()> {
    for watcher in WATCHERS {
        ensure!(log.after(watcher).is_some(), "the log has no '{watcher}'");
    }
    Ok(())
}

/// Checks that kmemleak searched for memory that the tests lost, and found none.
fn leaks(log: &SerialLog) -> Result<()> {
    let found: Vec<&str> = log.all_after("guest: leak: ").collect();
    ensure!(found.is_empty(), "{}", found.join("\n"));
    log.after("guest: scanned")
        .context("kmemleak did not look for leaks")?;
    Ok(())
}

/// Checks that the kernel did not complain.
fn quiet(log: &SerialLog) -> Result<()> {
    quiet_with(&log.lines().collect::<Vec<_>>(), &[])
}

/// The same for a kernel in which kmemleak is off. The next kernel is checked as well if it is the
/// `same` one.
pub fn are_quiet(log: &SerialLog, purpose: Purpose, same: bool) -> Result<()> {
    let lines = match same {
        true => log.lines().collect(),
        false => of_first_kernel(log)?,
    };
    match purpose {
        Purpose::Enter => quiet_with(&lines, &[KMEMLEAK_OFF]),
        Purpose::Crash => quiet_with(&lines, &[KMEMLEAK_OFF, CRASH]),
    }
}

/// What the kernels before the last one logged.
pub fn of_first_kernel(log: &SerialLog) -> Result<Vec<&str>> {
    let mut lines: Vec<&str> = log.lines().collect();
    let begins = |line: &&str| line.starts_with(FIRST_LINE);
    let (first, last) = (
        lines.iter().position(begins),
        lines.iter().rposition(begins),
    );
    ensure!(
        first < last,
        "the log does not have the first lines of two kernels"
    );
    lines.truncate(last.unwrap_or_default());
    Ok(lines)
}

/// Like [`are_quiet`], for kernels that end with a panic after a line that contains `last`.
pub fn are_quiet_until(log: &SerialLog, last: &str) -> Result<()> {
    let lines: Vec<&str> = log.lines().collect();
    let end = lines.iter().position(|line| line.contains(last));
    quiet_with(&lines[..end.unwrap_or(lines.len())], &[KMEMLEAK_OFF])
}

/// Checks that the kernel did not complain, except in lines that are `harmless`.
fn quiet_with(lines: &[&str], harmless: &[&str]) -> Result<()> {
    let complaint: Vec<&str> = lines
        .iter()
        .copied()
        .skip_while(|line| !complains(line) || harmless.contains(line))
        .take(SHOWN)
        .collect();
    ensure!(complaint.is_empty(), "{}", complaint.join("\n"));
    Ok(())
}

fn complains(line: &str) -> bool {
    // The detectors of hangs put their own names before.
    let text = DETECTORS
        .iter()
        .find_map(|name| line.strip_prefix(name))
        .unwrap_or(line);
    COMPLAINTS.iter().any(|begin| text.starts_with(begin))
        && !WATCHERS.iter().any(|begin| line.starts_with(begin))
        && line != HARMLESS
}

/// Checks that the image that survived the failed loads was verified and entered.
fn entered(log: &SerialLog) -> Result<()> {
    log.expect_no_failure()?;
    log.after("guest: release ")
        .with_context(|| format!("no second kernel came up\n{}", log.tail()))?;
    // KUnit tests of the first kernel log such a line, too.
    let lines: Vec<&str> = log.lines().collect();
    let next = lines.rsplit(|line| line.starts_with(FIRST_LINE)).next();
    ensure!(
        next.unwrap_or_default().iter().any(|line| {
            line.strip_prefix(ENTERED)
                .is_some_and(|by| by.contains(": verified "))
        }),
        "the second kernel does not say that it was verified\n{}",
        log.tail()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{are_quiet, of_first_kernel};
    use crate::guest::Purpose;
    use crate::qemu::SerialLog;

    const FIRST: &str = "[    0.000000] Linux version 7.3.4\n[    1.000000] BUG: x\n";

    #[test]
    fn the_first_kernel_ends_where_the_next_one_begins() {
        let next = "[    0.000000] Linux version 6.12\n[    1.000000] WARNING: y\n";
        let log = SerialLog::new([FIRST, next].concat().as_bytes());
        let lines = of_first_kernel(&log).unwrap();
        assert_eq!(lines, ["Linux version 7.3.4", "BUG: x"]);
        let error = are_quiet(&log, Purpose::Enter, false).unwrap_err();
        assert!(error.to_string().starts_with("BUG: x"), "{error}");
    }

    #[test]
    fn a_crash_on_request_is_no_complaint_but_what_follows_is() {
        let crash = "Linux version 7.3.4\nKernel panic - not syncing: sysrq triggered crash\n";
        let quiet =
            |text: &str, purpose| are_quiet(&SerialLog::new(text.as_bytes()), purpose, true);
        assert!(quiet(crash, Purpose::Crash).is_ok());
        assert!(quiet(crash, Purpose::Enter).is_err());
        let error = quiet(&[crash, "WARNING: y\n"].concat(), Purpose::Crash).unwrap_err();
        assert_eq!(error.to_string(), "WARNING: y");
    }

    #[test]
    fn a_log_of_one_kernel_is_not_taken_for_two() {
        for text in ["", FIRST] {
            let log = SerialLog::new(text.as_bytes());
            assert!(of_first_kernel(&log).is_err());
            assert!(are_quiet(&log, Purpose::Enter, false).is_err());
        }
    }
}
