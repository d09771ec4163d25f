// SPDX-License-Identifier: GPL-2.0-only

//! Checks what the running kernel does with an image that was damaged while it waits.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::outcome::range;
use crate::expected;
use crate::guest::Purpose;
use crate::machine::Machine;
use crate::machine::loaded::Segment;
use crate::qemu::SerialLog;

/// Makes a stopped guest check an image. Checks that sysfs and the log name exactly these regions
/// of it as damaged.
pub fn check(machine: &mut Machine, purpose: Purpose, damaged: &[Segment]) -> Result<()> {
    let logged = machine.log().lines().count();
    machine.type_line(&format!("check-{}", purpose.name()))?;
    machine.run_until("guest: checked")?;
    let log = machine.log();
    let result = log
        .after("guest: check ")
        .context("the guest does not tell the result")?;
    check_result(result, damaged).with_context(|| log.tail())?;
    check_logged(&log, logged, purpose, damaged)
}

/// Checks how the write to sysfs ended, and what a read shows after it.
fn check_result(result: &str, damaged: &[Segment]) -> Result<()> {
    if damaged.is_empty() {
        ensure!(result == "succeeds: intact", "the check {result}");
        return Ok(());
    }
    let named: Option<BTreeSet<&str>> = result
        .strip_prefix("fails: damaged: ")
        .map(|names| names.split(", ").collect());
    let wanted: BTreeSet<&str> = damaged
        .iter()
        .map(|segment| expected::region(segment.kind))
        .collect();
    ensure!(
        named.as_ref() == Some(&wanted),
        "the check {result}; damaged are {wanted:?}"
    );
    Ok(())
}

/// Checks which regions of the image the kernel's log names after its first `skipped` lines.
pub fn check_logged(
    log: &SerialLog,
    skipped: usize,
    purpose: Purpose,
    damaged: &[Segment],
) -> Result<()> {
    let begin = format!("kexec: {} image: check: MISMATCH in ", purpose.name());
    let named: BTreeSet<String> = log
        .lines()
        .skip(skipped)
        .filter_map(|line| line.strip_prefix(&begin))
        .map(str::to_owned)
        .collect();
    let wanted: BTreeSet<String> = damaged.iter().map(range).collect();
    ensure!(named == wanted, "named {named:?} in place of {wanted:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_logged, check_result};
    use crate::guest::Purpose;
    use crate::machine::loaded::Segment;
    use crate::qemu::SerialLog;

    const KERNEL: Segment = Segment::KERNEL;

    #[test]
    fn the_result_must_name_what_is_damaged() {
        assert!(check_result("succeeds: intact", &[]).is_ok());
        assert!(check_result("fails: damaged: kernel", &[KERNEL]).is_ok());
        assert!(check_result("succeeds: intact", &[KERNEL]).is_err());
        assert!(check_result("succeeds: damaged: kernel", &[KERNEL]).is_err());
        assert!(check_result("fails: damaged: kernel, initramfs", &[KERNEL]).is_err());
        assert!(check_result("fails: damaged: initramfs", &[KERNEL]).is_err());
        assert!(check_result("fails: damaged: kernel", &[]).is_err());
        assert!(check_result("fails: not checked", &[]).is_err());
    }

    #[test]
    fn the_log_must_name_what_is_damaged() {
        const LINE: &str =
            "[ 1.0] kexec: crash image: check: MISMATCH in kernel 0x1000000-0x120cfff\n";
        let check = |text: &str, purpose, damaged: &[Segment]| {
            check_logged(&SerialLog::new(text.as_bytes()), 0, purpose, damaged).is_ok()
        };
        let log = SerialLog::new(LINE.as_bytes());
        assert!(check_logged(&log, 1, Purpose::Crash, &[]).is_ok());
        assert!(check(LINE, Purpose::Crash, &[KERNEL]));
        assert!(check("", Purpose::Crash, &[]));
        assert!(!check(LINE, Purpose::Crash, &[]));
        assert!(!check(LINE, Purpose::Enter, &[KERNEL]));
        assert!(!check(
            &LINE.replace("cfff", "dfff"),
            Purpose::Crash,
            &[KERNEL]
        ));
        assert!(!check("", Purpose::Crash, &[KERNEL]));
    }
}
