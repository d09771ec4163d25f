// SPDX-License-Identifier: GPL-2.0-only

//! One kexec in a guest: loads the distribution's kernel, enters it, and reads from the log what
//! happened.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::bochs;
use crate::engines::EngineKind;
use crate::fetch::DistributionKernel;
use crate::guest::{self, Guest, Plan, Purpose};
use crate::kernel::Built;
use crate::layout::Layout;
use crate::processors;
use crate::qemu::{self, SerialLog};

/// The beginnings of a decision. The reason follows.
const VERIFIED: &str = "verified: ";
const DIRECT: &str = "direct: ";

/// What a guest's log says about one kexec.
pub struct Kexec {
    pub purpose: Purpose,
    /// What the kernel decided about the image, and why: `verified: <reason>` or
    /// `direct: <reason>`. None on a kernel that does not decide, such as mainline's.
    pub decision: Option<String>,
    /// The same decision as sysfs shows it.
    pub sysfs: Option<String>,
    /// What the kernel said at load time that it will verify.
    pub work: Option<Work>,
    /// What the second kernel found.
    pub outcome: Result<String>,
    pub log: SerialLog,
}

impl Purpose {
    /// What the kernel's log calls such an image.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enter => "normal",
            Self::Crash => "crash",
        }
    }

    /// The file in sysfs that shows the decision about it.
    pub fn sysfs(self) -> &'static str {
        match self {
            Self::Enter => "verify_loaded",
            Self::Crash => "verify_crash",
        }
    }
}

/// Boots `kernel` with a guest, and waits until the guest has finished or the purgatory resets the
/// machine. With an engine, the processor is one on which the loader picks that engine, in the
/// emulator that has such a processor.
pub fn boot(
    layout: &Layout,
    name: &str,
    kernel: &Path,
    guest: &Guest,
    engine: Option<EngineKind>,
) -> Result<SerialLog> {
    match engine {
        Some(engine) if !processors::in_qemu(engine) => bochs::boot(layout, name, kernel, guest),
        engine => qemu::boot(layout, name, kernel, guest, engine),
    }
}

/// Boots a kernel, loads the distribution's kernel there, and enters it.
pub fn run(
    layout: &Layout,
    name: &str,
    kernel: &Built,
    next: &DistributionKernel,
    plan: &Plan<'_>,
) -> Result<Kexec> {
    let purpose = plan.purpose;
    let (guest, payload) = guest::loading(layout, kernel, next, plan)?;
    let log = boot(layout, name, kernel.image(), &guest, plan.engine)?;
    let said = about(purpose);
    let decision = decision(log.all_after(&said));
    let sysfs = decision_in_sysfs(&log, purpose);
    let outcome = match purpose {
        Purpose::Enter => arrival(&log, next, plan.payload, &payload),
        Purpose::Crash => vmcore(&log, next),
    };
    Ok(Kexec {
        purpose,
        decision,
        sysfs,
        work: work(&log, purpose),
        outcome,
        log,
    })
}

/// The beginning of the kernel's lines about an image.
fn about(purpose: Purpose) -> String {
    format!("kexec: {} image: ", purpose.name())
}

/// The last of these texts that is a decision.
fn decision<'a>(texts: impl Iterator<Item = &'a str>) -> Option<String> {
    let begins = |text: &&str| text.starts_with(VERIFIED) || text.starts_with(DIRECT);
    texts.filter(begins).last().map(str::to_owned)
}

/// What the kernel said last that it will verify.
pub fn work(log: &SerialLog, purpose: Purpose) -> Option<Work> {
    let said = about(purpose);
    log.all_after(&said).filter_map(to_verify).last()
}

/// Fails unless the kernel said last that it will verify the image with `engine`.
pub fn expect_engine(log: &SerialLog, purpose: Purpose, engine: EngineKind) -> Result<()> {
    let found = work(log, purpose).map(|work| work.engine);
    ensure!(
        found.as_deref() == Some(engine.name()),
        "the engine of the {} image is {found:?}, not {}",
        purpose.name(),
        engine.name()
    );
    Ok(())
}

/// The decision in sysfs, from the last line that shows it: a crash interrupts what the console
/// prints, and the kernel then prints it again.
fn decision_in_sysfs(log: &SerialLog, purpose: Purpose) -> Option<String> {
    let read = format!("guest: {} ", purpose.sysfs());
    decision(log.all_after(&read))
}

/// What the kernel says that it will verify.
pub struct Work {
    pub regions: u32,
    /// The size of the regions.
    pub bytes: u64,
    /// The name of the engine that will verify them.
    pub engine: String,
}

/// Reads `<R> regions, <B> bytes to verify, engine <name>`.
pub fn to_verify(text: &str) -> Option<Work> {
    let (numbers, engine) = text.split_once(" bytes to verify, engine ")?;
    let (regions, bytes) = numbers.split_once(" regions, ")?;
    Some(Work {
        regions: regions.parse().ok()?,
        bytes: bytes.parse().ok()?,
        engine: engine.to_owned(),
    })
}

impl Kexec {
    /// Checks that the decision, in the log and in sysfs, is `verified`, and that the image was
    /// entered. Returns what the second kernel found.
    pub fn check(&self, verified: bool) -> Result<&str> {
        let decision = self.check_decision(verified)?;
        match &self.sysfs {
            Some(sysfs) if sysfs == decision => {}
            Some(sysfs) => bail!("the log has {decision}, sysfs has {sysfs}"),
            None => bail!("sysfs has no {}", self.purpose.sysfs()),
        }
        match (verified, &self.work) {
            (true, None | Some(Work { bytes: 0, .. })) => bail!("no bytes are verified"),
            (false, Some(work)) => bail!("{} bytes are to be verified", work.bytes),
            _ => {}
        }
        self.outcome()
    }

    /// The decision that the kernel logged. Fails if it is another one than `verified` says.
    pub fn check_decision(&self, verified: bool) -> Result<&str> {
        let decision = self
            .decision
            .as_deref()
            .context("the kernel's log has no decision")?;
        ensure!(
            decision.starts_with(VERIFIED) == verified,
            "decided {decision}"
        );
        Ok(decision)
    }

    /// What the second kernel found. Fails if that is not what it should find.
    pub fn outcome(&self) -> Result<&str> {
        match &self.outcome {
            Ok(outcome) => Ok(outcome),
            Err(error) => bail!("{error}"),
        }
    }
}

/// Checks that the second kernel is the distribution's and that its initramfs, with a payload of
/// `size` bytes that `wanted` describes, is intact.
fn arrival(log: &SerialLog, next: &DistributionKernel, size: u64, wanted: &str) -> Result<String> {
    check_release(log, next)?;
    match log.after("guest: payload ") {
        Some(found) if found == wanted => Ok(format!(
            "entered {}, initramfs of {} MiB intact",
            next.release,
            size >> 20
        )),
        found => bail!("initramfs damaged: {found:?} in place of {wanted}"),
    }
}

/// Checks that the crash kernel could read the dead kernel's memory.
fn vmcore(log: &SerialLog, next: &DistributionKernel) -> Result<String> {
    check_release(log, next)?;
    let found = log
        .after("guest: vmcore ")
        .context("/proc/vmcore was not read")?;
    Ok(format!("entered {}, vmcore {found}", next.release))
}

fn check_release(log: &SerialLog, next: &DistributionKernel) -> Result<()> {
    log.expect_no_failure()?;
    match log.after("guest: release ") {
        Some(release) if release == next.release => Ok(()),
        Some(release) => bail!("entered {release} in place of {}", next.release),
        None => bail!("no second kernel came up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_printed_again_counts() {
        let log = SerialLog::new(
            b"guest: verify_crash verified: cra\n\
              ** replaying previous printk message **\n\
              guest: verify_crash verified: crash image\n",
        );
        let read = decision_in_sysfs(&log, Purpose::Crash);
        assert_eq!(read.as_deref(), Some("verified: crash image"));
    }
}
