// SPDX-License-Identifier: GPL-2.0-only

//! A damaged normal image, whose purgatory enters the crash image.

use anyhow::{Context, Result, ensure};

use super::outcome;
use crate::expected::{self, ENTERED};
use crate::machine::loaded::Segment;
use crate::machine::{Machine, Stop};
use crate::qemu::SerialLog;

/// What the purgatory of the normal image prints when it goes on.
const ENTERS: &str = "entering the crash image";

/// Lets a machine run. Checks that the purgatory named exactly these regions as damaged, that the
/// crash kernel reports one of them, and that it reads the memory of the kernel that was left.
pub fn check(machine: &mut Machine, damaged: &[Segment]) -> Result<()> {
    let stop = machine.run(|log| log.after("guest: finished").is_some())?;
    let log = machine.log();
    ensure!(
        stop == Stop::Printed,
        "the crash kernel did not read the vmcore: {stop:?}\n{}",
        log.tail()
    );
    check_log(&log, damaged).with_context(|| log.tail())
}

fn check_log(log: &SerialLog, damaged: &[Segment]) -> Result<()> {
    let said = outcome::said(log);
    outcome::check_named(&said, damaged)?;
    check_entered(&said)?;

    let names: Vec<&str> = damaged
        .iter()
        .map(|segment| expected::region(segment.kind))
        .collect();
    let told = log
        .after(ENTERED)
        .and_then(|line| line.split_once(" after a mismatch in "))
        .and_then(|(_, rest)| rest.split_once(" of the normal image: verified "))
        .context("the crash kernel does not tell why it was entered")?;
    ensure!(
        names.contains(&told.0),
        "the crash kernel tells {:?}",
        told.0
    );
    let vmcore = log.after("guest: vmcore ").unwrap_or_default();
    let ending = format!(" at a mismatch in {}", told.0);
    ensure!(vmcore.ends_with(&ending), "the vmcore is {vmcore:?}");
    Ok(())
}

/// Checks that the purgatory entered the crash image, once.
pub fn check_entered(said: &[String]) -> Result<()> {
    let count = said.iter().filter(|line| *line == ENTERS).count();
    ensure!(
        count == 1,
        "entered the crash image {count} times: {said:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_log;
    use crate::machine::loaded::Segment;
    use crate::qemu::SerialLog;

    const KERNEL: Segment = Segment::KERNEL;
    const LOG: &str = "\
purgatory: MISMATCH in kernel 0x1000000-0x120cfff: expected cc4d3ce42f0fc6c2, found f5e375bfce204ef0
purgatory: entering the crash image
[ 1.0] kexec: entered by 7.3.4 after a mismatch in kernel of the normal image: verified 4 regions
guest: vmcore 100 MiB, crashed 7.3.4 at a mismatch in kernel
";

    #[test]
    fn a_dump_must_tell_what_was_damaged() {
        let check = |text: &str, damaged: &[Segment]| {
            check_log(&SerialLog::new(text.as_bytes()), damaged).is_ok()
        };
        assert!(check(LOG, &[KERNEL]));
        assert!(!check(LOG, &[]));
        assert!(!check(
            &LOG.replace("in kernel of", "in initramfs of"),
            &[KERNEL]
        ));
        assert!(!check(
            &LOG.replace("at a mismatch in kernel", "at 7"),
            &[KERNEL]
        ));
        assert!(!check(&LOG.replace("entering", "leaving"), &[KERNEL]));
        assert!(!check(&LOG.replace("1000000", "2000000"), &[KERNEL]));
    }
}
