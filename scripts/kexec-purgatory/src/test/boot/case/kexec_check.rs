// SPDX-License-Identifier: GPL-2.0-only

//! Checks whether a kexec did what its case says.

use std::fmt::Debug;
use std::iter;

use anyhow::{Context, Result, bail, ensure};

use super::{Case, Expected, Target};
use crate::device_tree::MODEL;
use crate::guest::{Extra, Loader, Purpose};
use crate::kexec::{Kexec, expect_engine};
use crate::machine::loaded::Loaded;
use crate::qemu::SerialLog;
use crate::test::arm::Arm;
use crate::test::debug;

/// The end of the first entry that a kernel makes in its IMA list, and the only one without a
/// policy.
const BOOT_AGGREGATE: &str = " boot_aggregate";

/// The parameter that reserves memory for CMA, where only normal images are placed.
const CMA: &str = "cma=";

/// The end of the entry of the program that enters the next kernel.
const ENTERED_BY: &str = "/kexec";

/// Fails unless `found` is `wanted`. `what` names it in the message.
pub fn is<T: Debug + PartialEq>(what: &str, found: Option<T>, wanted: T) -> Result<()> {
    ensure!(
        found.as_ref() == Some(&wanted),
        "{what}: {found:?}, not {wanted:?}"
    );
    Ok(())
}

/// What sysfs must show as deciding about normal images that are not entirely in CMA.
fn verify_policy(case: &Case) -> String {
    if let [module] = case.plan.modules {
        return format!("policy: {module}");
    }
    let by_default = Case::enter("", case.verify).expected;
    let arm = match (case.expected, by_default) {
        (Expected::Decided(Arm::DirectKho), _) => Arm::DirectKho,
        (_, Expected::Decided(arm)) => arm,
        (_, Expected::Undecided(text)) => return text.to_owned(),
    };
    arm.text().to_owned()
}

/// Checks everything that the case says.
pub fn check(kexec: &Kexec, case: &Case) -> Result<()> {
    match case.expected {
        Expected::Decided(arm) => {
            let outcome = kexec.check(arm.is_verified())?;
            is("the decision", kexec.decision.as_deref(), arm.text())?;
            outcome
        }
        Expected::Undecided(sysfs) => {
            if let Some(decision) = &kexec.decision {
                bail!("nothing was to be decided, this was: {decision}");
            }
            let file = case.plan.purpose.sysfs();
            is(file, kexec.log.after(&format!("guest: {file} ")), sysfs)?;
            kexec.outcome()?
        }
    };
    if case.plan.purpose == Purpose::Enter {
        let policy = kexec.log.after("guest: policy ");
        is("verify_policy", policy, &verify_policy(case))?;
    }
    if let Some(engine) = case.plan.engine {
        expect_engine(&kexec.log, case.plan.purpose, engine)?;
    }
    if let Some(regions) = case.regions {
        let found = kexec.work.as_ref().map(|work| work.regions);
        is("the number of verified regions", found, regions)?;
    }
    let verified = matches!(case.expected, Expected::Decided(arm) if arm.is_verified());
    if case.plan.loader == Loader::Debug {
        purgatory_spoke(kexec, verified)?;
    }
    if verified {
        let bytes = kexec.work.as_ref().map(|work| work.bytes);
        ensure!(
            bytes >= Some(case.plan.payload),
            "{bytes:?} bytes are verified, fewer than the initramfs has"
        );
    }
    if case.quiet {
        debug::are_quiet(&kexec.log, case.plan.purpose, case.target == Target::Own)?;
    }
    let properties = [
        ("levels", case.levels),
        ("processors", case.processors),
        ("kaslr", case.kaslr),
    ];
    for (what, wanted) in properties {
        for (which, wanted) in iter::zip(["first", "next"], wanted.into_iter().flatten()) {
            let said = format!("{which} kernel has {what}");
            let found = kexec.log.after(&format!("guest: {said} "));
            is(&said, found, &wanted.to_string())?;
        }
    }
    if case.high {
        lies_high(kexec)?;
    }
    if let Some(line) = case.logs {
        ensure!(
            debug::of_first_kernel(&kexec.log)?.contains(&line),
            "the log of the first kernel has no line {line:?}"
        );
    }
    if let Some(Extra::Hotplug | Extra::MemoryHotplug | Extra::DmCryptKey) = case.plan.extra {
        found_intact(&kexec.log)?;
    }
    if case.plan.extra == Some(Extra::DmCryptKey) {
        let restored = kexec.log.after("guest: restored keys ");
        is("the number of restored keys", restored, "1")?;
    }
    match case.plan.purpose {
        Purpose::Crash => all_dumped(&kexec.log)?,
        Purpose::Enter if case.plan.arguments.contains(CMA) => {
            let pages = kexec.log.after("guest: pages in CMA ");
            ensure!(
                pages.is_some_and(|pages| pages != "0"),
                "{pages:?} pages were allocated in CMA"
            );
        }
        Purpose::Enter => {}
    }
    if case.plan.hardware.uefi {
        let variables = kexec.log.after("guest: EFI variables ");
        ensure!(
            variables.is_some_and(|number| number != "0"),
            "the next kernel finds {variables:?} variables of UEFI"
        );
    }
    if case.plan.hardware.tpm {
        let version = kexec.log.after("guest: TPM ");
        is("the next kernel's version of TPM", version, "2")?;
    }
    if case.plan.hardware.device_tree {
        let model = kexec.log.after("guest: device tree of ");
        is("the next kernel's device tree", model, MODEL)?;
    }
    if case.measured {
        measurements_carried(&kexec.log)?;
    }
    ensure!(
        kexec.log.after("guest: finished").is_some(),
        "the guest did not finish"
    );
    Ok(())
}

/// Checks that all segments, including the purgatory's, lie above 4 GiB.
fn lies_high(kexec: &Kexec) -> Result<()> {
    let loaded = format!("guest: {} ", kexec.purpose.sysfs());
    let decision = kexec.log.after(&loaded).context("nothing was loaded")?;
    let image = Loaded::parse(&kexec.log, &(loaded + decision))?;
    for memory in &image.memory {
        ensure!(
            memory.start >= 4 << 30,
            "{} lies at {:#x}",
            image.place(memory.start),
            memory.start
        );
    }
    Ok(())
}

/// Checks that the running kernel found the image intact.
pub fn found_intact(log: &SerialLog) -> Result<()> {
    let check = log.after("guest: check ");
    is("the check", check, "succeeds: intact")
}

/// Checks that the dump has all memory that the first kernel had, as it said last.
pub fn all_dumped(log: &SerialLog) -> Result<()> {
    let mib = |begin| {
        let number = log.all_after(begin).last()?.split_once(" MiB")?.0;
        number.parse::<u64>().ok()
    };
    let memory = mib("guest: first kernel has memory of ").context("the memory is not known")?;
    let dumped = mib("guest: vmcore ");
    ensure!(
        dumped >= Some(memory),
        "{dumped:?} MiB of {memory} MiB were dumped"
    );
    Ok(())
}

/// Checks that the second kernel's IMA list begins with the first one's. That list must have what
/// was measured after the image was loaded.
fn measurements_carried(log: &SerialLog) -> Result<()> {
    let first: Vec<&str> = log.all_after("guest: first measured ").collect();
    let next: Vec<&str> = log.all_after("guest: next measured ").collect();
    ensure!(
        first.len() > 1,
        "the first kernel measured only {}",
        first.join(", ")
    );
    let own = next.strip_prefix(first.as_slice()).with_context(|| {
        format!(
            "the second kernel's list does not begin with the first one's {} entries",
            first.len()
        )
    })?;
    ensure!(
        own.iter().any(|entry| entry.ends_with(ENTERED_BY)),
        "the second kernel's list does not have the last program of the first one"
    );
    ensure!(
        own.last()
            .is_some_and(|entry| entry.ends_with(BOOT_AGGREGATE)),
        "the second kernel's list does not end with its own entry"
    );
    Ok(())
}

/// Checks that the purgatory said that it verified what the kernel announced. If the next kernel is
/// entered directly, the purgatory must not have run.
fn purgatory_spoke(kexec: &Kexec, verified: bool) -> Result<()> {
    let said = kexec.log.after("purgatory: ");
    if !verified {
        ensure!(said.is_none(), "purgatory ran: {said:?}");
        return Ok(());
    }
    let said = said.context("purgatory said nothing")?;
    let work = kexec
        .work
        .as_ref()
        .with_context(|| format!("no work was announced, but the purgatory said {said:?}"))?;
    let announced = format!(" {} bytes, engine {},", work.bytes, work.engine);
    ensure!(
        said.starts_with("verified ") && said.contains(&announced),
        "purgatory said {said:?}, not that it verified{announced}"
    );
    Ok(())
}
