// SPDX-License-Identifier: GPL-2.0-only

//! How a machine that was on its way to the next kernel ended.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::expected;
use crate::machine::gdb::Break;
use crate::machine::loaded::Segment;
use crate::machine::monitor::halted;
use crate::machine::{Machine, Stop};
use crate::qemu::{SILENCE, SerialLog};

/// The prefix of the purgatory's lines, and its last line if it does not reset the machine.
const PREFIX: &str = "purgatory: ";
const STOPPED: &str = "purgatory: stopped";
const MISMATCH: &str = "MISMATCH in ";

/// QEMU's name for the end of a machine that its guest has reset.
const GUEST_RESET: &str = "guest-reset";

/// Where a machine ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// At the first instruction of the next kernel.
    Entered,
    /// The processor is halted with interrupts off.
    Halted,
    /// The machine was reset.
    Reset,
    /// It still runs, and prints nothing.
    Silent,
}

/// How a machine ended, and what it printed.
#[derive(Debug)]
pub struct Outcome {
    pub end: End,
    /// The lines that the purgatory printed, without the prefix.
    pub said: Vec<String>,
}

/// Lets a stopped machine run until it reaches `entry`, a virtual address, or ends. A machine at
/// `entry` can run on.
pub fn follow(machine: &mut Machine, entry: u64) -> Result<Outcome> {
    machine.gdb.insert(Break::Execute, entry)?;
    let end = match machine.run(|log| log.after(STOPPED).is_some())? {
        Stop::Breakpoint => {
            let rip = machine.gdb.registers()?.get("rip")?;
            ensure!(rip == entry, "stopped at {rip:#x}, not at {entry:#x}");
            machine.gdb.remove(Break::Execute, entry)?;
            End::Entered
        }
        Stop::Printed if halts(machine)? => End::Halted,
        Stop::Printed | Stop::Silent => End::Silent,
        Stop::Ended => match machine.qmp.shutdown_reason()? {
            reason if reason == GUEST_RESET => End::Reset,
            reason => bail!("the machine ended: {reason}"),
        },
    };
    Ok(Outcome {
        end,
        said: said(&machine.log()),
    })
}

/// Whether the processor comes to a halt from which no interrupt wakes it.
fn halts(machine: &mut Machine) -> Result<bool> {
    // It may still have to execute a few instructions.
    let asked = Instant::now();
    while asked.elapsed() < SILENCE {
        if let Some(waits) = halted(&machine.qmp.monitor("info registers")?)? {
            return Ok(!waits);
        }
    }
    Ok(false)
}

/// The lines that the purgatory printed, without the prefix.
pub fn said(log: &SerialLog) -> Vec<String> {
    log.all_after(PREFIX).map(str::to_owned).collect()
}

impl Outcome {
    /// Checks that the purgatory named exactly these regions as damaged, and then did what `panic=`
    /// says.
    pub fn check_mismatch(&self, damaged: &[Segment], panic: i32) -> Result<()> {
        check_named(&self.said, damaged).with_context(|| format!("ended {:?}", self.end))?;
        self.check_end(panic)
    }

    /// Checks that the purgatory gave a reason not to enter the next kernel that begins with
    /// `reason`, and then did what `panic=` says.
    pub fn check_refused(&self, reason: &str, panic: i32) -> Result<()> {
        let wanted = format!("not entering the next kernel: {reason}");
        ensure!(
            self.said
                .first()
                .is_some_and(|line| line.starts_with(&wanted)),
            "said {:?} in place of {wanted:?}, and {:?}",
            self.said,
            self.end
        );
        self.check_end(panic)
    }

    /// Checks that the next kernel was entered without complaint.
    pub fn check_entered(&self) -> Result<()> {
        let complaint = self.said.iter().find(|line| !line.starts_with("verified "));
        ensure!(
            self.end == End::Entered && complaint.is_none(),
            "{:?}, and said {:?}",
            self.end,
            self.said
        );
        Ok(())
    }

    fn check_end(&self, panic: i32) -> Result<()> {
        let (end, last) = match panic {
            0 => (End::Halted, "stopped".to_owned()),
            ..0 => (End::Reset, "resetting the machine".to_owned()),
            _ => (
                End::Reset,
                format!("resetting the machine in {panic} seconds"),
            ),
        };
        ensure!(
            self.end == end && self.said.last() == Some(&last),
            "{:?} in place of {end:?} with panic={panic}, and said {:?}",
            self.end,
            self.said
        );
        Ok(())
    }
}

/// Checks that the purgatory, which printed `said`, named exactly these regions as damaged.
pub fn check_named(said: &[String], damaged: &[Segment]) -> Result<()> {
    let mut wanted: Vec<String> = damaged.iter().map(range).collect();
    let mut named = Vec::new();
    for line in said {
        if let Some(rest) = line.strip_prefix(MISMATCH) {
            let (region, digests) = rest.split_once(": ").unwrap_or((rest, ""));
            check_digests(digests)?;
            named.push(region.to_owned());
        }
    }
    wanted.sort();
    named.sort();
    ensure!(named == wanted, "named {named:?} in place of {wanted:?}");
    Ok(())
}

/// The name of a region in messages.
pub fn range(region: &Segment) -> String {
    format!(
        "{} {:#x}-{:#x}",
        expected::region(region.kind),
        region.start,
        region.end() - 1
    )
}

/// Checks that `text` has two digests that differ.
fn check_digests(text: &str) -> Result<()> {
    let digests = text
        .strip_prefix("expected ")
        .and_then(|rest| rest.split_once(", found "));
    let is_digest = |text: &str| text.len() == 16 && u64::from_str_radix(text, 16).is_ok();
    match digests {
        Some((one, two)) if one != two && is_digest(one) && is_digest(two) => Ok(()),
        _ => bail!("no digests in {text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Outcome};
    use crate::machine::loaded::Segment;

    const KERNEL: Segment = Segment::KERNEL;
    const LINE: &str =
        "MISMATCH in kernel 0x1000000-0x120cfff: expected cc4d3ce42f0fc6c2, found f5e375bfce204ef0";

    fn outcome(end: End, said: &[&str]) -> Outcome {
        Outcome {
            end,
            said: said.iter().map(|&line| line.to_owned()).collect(),
        }
    }

    #[test]
    fn a_mismatch_must_be_named_and_end_as_asked() {
        let check =
            |end, said: &[&str], panic| outcome(end, said).check_mismatch(&[KERNEL], panic).is_ok();
        assert!(check(End::Halted, &[LINE, "stopped"], 0));
        assert!(check(End::Reset, &[LINE, "resetting the machine"], -1));
        assert!(!check(End::Entered, &[LINE, "stopped"], 0));
        assert!(!check(End::Halted, &["stopped"], 0));
        assert!(!check(End::Halted, &[LINE, LINE, "stopped"], 0));
        assert!(!check(End::Halted, &[LINE, "stopped"], -1));
        assert!(!check(
            End::Halted,
            &[&LINE.replace("kernel", "initramfs"), "stopped"],
            0
        ));
        assert!(!check(
            End::Halted,
            &[&LINE.replace("cfff", "dfff"), "stopped"],
            0
        ));
        assert!(!check(
            End::Halted,
            &[
                &LINE.replace("f5e375bfce204ef0", "cc4d3ce42f0fc6c2"),
                "stopped"
            ],
            0
        ));
    }

    #[test]
    fn an_image_is_entered_without_complaint() {
        assert!(outcome(End::Entered, &[]).check_entered().is_ok());
        assert!(
            outcome(End::Entered, &["verified 3 regions"])
                .check_entered()
                .is_ok()
        );
        assert!(outcome(End::Entered, &[LINE]).check_entered().is_err());
        assert!(outcome(End::Reset, &[]).check_entered().is_err());
    }
}
