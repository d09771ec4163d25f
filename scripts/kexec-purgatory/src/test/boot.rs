// SPDX-License-Identifier: GPL-2.0-only

//! Kernels of every state, built and booted.

use std::borrow::Cow;
use std::iter;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::arm::{self, Arm};
use super::ktap::{self, Stream};
use super::{Kernels, Report};
use crate::engines::EngineKind;
use crate::fetch::DistributionKernel as Next;
use crate::guest::{DUMPED_WITH_ADDED, Extra, KUNIT, Loader, MEMORY_TO_ADD, Purpose};
use crate::kernel::{Built, SAMPLE_MODULE, VERIFY_MODULE, Verify};
use crate::kexec::{self, Kexec, Plan};
use crate::parallel::in_order;
use crate::processors::qemu_engines;
use crate::qemu::SerialLog;

/// What a kexec is expected to do with the image.
#[derive(Clone, Copy)]
enum Expected {
    Decided(Arm),
    /// Another purgatory than ours, which does not say what it does. sysfs has this.
    Undecided(&'static str),
}

/// One kexec in a guest.
#[derive(Clone)]
struct Case {
    name: Cow<'static, str>,
    verify: Verify,
    purpose: Purpose,
    expected: Expected,
    loader: Loader,
    modules: &'static [&'static str],
    /// The engine that must verify it; any one that the processor has if none is named.
    engine: Option<EngineKind>,
    /// More of the first kernel's command line.
    arguments: &'static str,
    /// What the guest does beside loading.
    extra: Option<Extra>,
    /// The regions that must be verified, where the case tells.
    regions: Option<u32>,
    /// The next kernel is this one and not the distribution's.
    own: bool,
    /// The KUnit tests that the kernel ran at boot are reported.
    kunit: bool,
}

impl Case {
    const fn new(name: &'static str, verify: Verify, purpose: Purpose, expected: Expected) -> Self {
        Self {
            name: Cow::Borrowed(name),
            verify,
            purpose,
            expected,
            loader: Loader::Kexec,
            modules: &[],
            engine: None,
            arguments: "",
            extra: None,
            regions: None,
            own: false,
            kunit: false,
        }
    }

    /// What the KUnit tests that this case reports are below, if it does.
    fn kunit(&self) -> Option<String> {
        let group = self.name.split('/').next().unwrap_or_default();
        self.kunit
            .then(|| format!("{group}/{}-kunit", self.verify.name()))
    }

    /// The names of all that this case reports.
    fn names(&self) -> Vec<String> {
        let kunit = self.kunit().map(|kunit| kunit + "/");
        iter::once(self.name.to_string()).chain(kunit).collect()
    }

    /// With modules loaded.
    const fn modules(mut self, modules: &'static [&'static str]) -> Self {
        self.modules = modules;
        self
    }

    /// A normal image on a processor for that engine.
    fn engine(engine: EngineKind) -> Self {
        Self {
            name: format!("boot/y-{}", engine.name()).into(),
            engine: Some(engine),
            ..Self::new("", Y, Enter, Decided(VerifiedConfig)).debug()
        }
    }

    /// With `kexec_load()`, where the purgatory is that of the distribution's kexec.
    const fn kexec_load(mut self) -> Self {
        self.loader = Loader::KexecLoad;
        self
    }

    /// With `KEXEC_FILE_DEBUG`, so that the purgatory says what it did.
    const fn debug(mut self) -> Self {
        self.loader = Loader::Debug;
        self
    }

    /// With more on the first kernel's command line.
    const fn arguments(mut self, arguments: &'static str) -> Self {
        self.arguments = arguments;
        self
    }

    /// With something done beside loading.
    const fn extra(mut self, extra: Extra) -> Self {
        self.extra = Some(extra);
        self
    }

    /// With so many regions to verify.
    const fn regions(mut self, regions: u32) -> Self {
        self.regions = Some(regions);
        self
    }

    /// With this kernel as the next one.
    const fn own(mut self) -> Self {
        self.own = true;
        self
    }

    /// With the KUnit tests that ran at boot. Some need memory for a crash kernel.
    const fn kunit_reported(mut self) -> Self {
        self.kunit = true;
        self
    }
}

use Arm::{
    DirectCma, DirectConfig, DirectKho, DirectNoPolicy, DirectPolicy, VerifiedConfig,
    VerifiedCrash, VerifiedPolicy,
};
use Expected::{Decided, Undecided};
use Purpose::{Crash, Enter};
use Verify::{M, N, Norust, Options, OptionsM, Y};

/// What sysfs has on a mainline kernel.
const ABSENT: Expected = Undecided("absent");
/// What it has on ours of an image that `kexec_load()` loaded.
const UNKNOWN: Expected = Undecided("unknown: loaded with kexec_load()");

/// Kexec handover, with room for the image in the memory that it reserves.
const KHO: &str = "kho=on kho_scratch=16M,192M,16M";

/// The regions of a normal image: kernel, `boot_params` and initramfs. The list of IMA, which changes
/// after the image was loaded, is not verified.
const PLAIN: u32 = 3;

/// Those of a crash image: the ELF core header as well.
const DUMP: u32 = PLAIN + 1;

#[rustfmt::skip] // a table
const CASES: &[Case] = &[
    Case::new("boot/norust-normal", Norust, Enter, ABSENT),
    Case::new("boot/norust-kexec-load", Norust, Enter, ABSENT).kexec_load(),
    Case::new("boot/norust-crash", Norust, Crash, ABSENT),
    Case::new("boot/y-normal", Y, Enter, Decided(VerifiedConfig)),
    Case::new("boot/y-normal-debug", Y, Enter, Decided(VerifiedConfig)).debug().regions(PLAIN),
    Case::new("boot/y-kexec-load", Y, Enter, UNKNOWN).kexec_load(),
    Case::new("boot/y-crash", Y, Crash, Decided(VerifiedCrash)).kunit_reported(),
    Case::new("boot/m-normal", M, Enter, Decided(DirectNoPolicy)),
    Case::new("boot/m-module-normal", M, Enter, Decided(VerifiedPolicy)).modules(&[VERIFY_MODULE]),
    // The initramfs is larger than what the sample verifies.
    Case::new("boot/m-sample-normal", M, Enter, Decided(DirectPolicy)).modules(&[SAMPLE_MODULE]),
    Case::new("boot/m-crash", M, Crash, Decided(VerifiedCrash)).kunit_reported(),
    Case::new("boot/n-normal", N, Enter, Decided(DirectConfig)),
    Case::new("boot/n-normal-debug", N, Enter, Decided(DirectConfig)).debug(),
    Case::new("boot/n-crash", N, Crash, Decided(VerifiedCrash)).kunit_reported(),
    Case::new("boot/n-crash-debug", N, Crash, Decided(VerifiedCrash)).debug().regions(DUMP),
    // The same kernels with kexec handover on, or memory for CMA. Of y it aligns the kernel less than
    // that asks for, of m enough.
    Case::new("boot/y-kho", Y, Enter, Decided(DirectKho)).debug().arguments(KHO),
    Case::new("boot/y-kho-off", Y, Enter, Decided(VerifiedConfig)).arguments("kho=off"),
    Case::new("boot/y-kho-crash", Y, Crash, Decided(VerifiedCrash)).debug().arguments(KHO)
        .regions(DUMP),
    Case::new("boot/y-cma-unaligned", Y, Enter, Decided(VerifiedConfig)).debug()
        .arguments("cma=256M").regions(PLAIN),
    // The kernel does not fit.
    Case::new("boot/y-cma-some", Y, Enter, Decided(VerifiedConfig)).debug().arguments("cma=16M")
        .regions(PLAIN),
    Case::new("boot/m-kho", M, Enter, Decided(DirectKho)).arguments(KHO).modules(&[VERIFY_MODULE]),
    // Handover adds a segment: the list of its scratch areas.
    Case::new("boot/m-kho-spared", M, Enter, Decided(VerifiedPolicy)).arguments(KHO)
        .modules(&[VERIFY_MODULE]).extra(Extra::VerifySpared).debug().regions(PLAIN + 1),
    Case::new("boot/m-cma", M, Enter, Decided(DirectCma)).debug().arguments("cma=256M")
        .modules(&[VERIFY_MODULE]),
    Case::new("boot/m-cma-crash", M, Crash, Decided(VerifiedCrash)).debug().arguments("cma=256M")
        .regions(DUMP),
];

/// On kernels with more options and with what watches memory and locks, which take long to build.
#[rustfmt::skip] // a table
const OPTIONS: &[Case] = &[
    // Signatures are checked, an untrusted one is none, and the list of IMA is there in each.
    Case::new("options/normal", Options, Enter, Decided(VerifiedConfig)).debug().regions(PLAIN),
    Case::new("options/ima", Options, Enter, Decided(VerifiedConfig)).own().debug()
        .regions(PLAIN),
    Case::new("options/crash", Options, Crash, Decided(VerifiedCrash)).kunit_reported(),
    Case::new("options/hotplug", Options, Crash, Decided(VerifiedCrash)).debug()
        .extra(Extra::Hotplug).regions(DUMP),
    Case::new("options/memory-hotplug", Options, Crash, Decided(VerifiedCrash)).debug()
        .arguments(MEMORY_TO_ADD).extra(Extra::MemoryHotplug).regions(DUMP),
    Case::new("options/dm-crypt", Options, Crash, Decided(VerifiedCrash)).debug()
        .extra(Extra::DmCryptKey).regions(DUMP + 1),
    Case::new("options/kho", Options, Enter, Decided(DirectKho)).debug().arguments(KHO),
    Case::new("options/kho-off", Options, Enter, Decided(VerifiedConfig)).arguments("kho=off"),
    Case::new("options/kho-crash", Options, Crash, Decided(VerifiedCrash)).debug()
        .arguments(KHO).regions(DUMP),
    // CMA does not align the kernel as it asks for.
    Case::new("options/cma-unaligned", Options, Enter, Decided(VerifiedConfig)).debug()
        .arguments("cma=256M").regions(PLAIN),
    // The kernel does not fit.
    Case::new("options/cma-some", Options, Enter, Decided(VerifiedConfig)).debug()
        .arguments("cma=16M").regions(PLAIN),
    Case::new("options/cma-crash", Options, Crash, Decided(VerifiedCrash)).debug()
        .arguments("cma=256M").regions(DUMP),
    Case::new("options/m-normal", OptionsM, Enter, Decided(DirectNoPolicy)),
    Case::new("options/m-module", OptionsM, Enter, Decided(VerifiedPolicy))
        .modules(&[VERIFY_MODULE]).debug().regions(PLAIN),
    Case::new("options/m-kho", OptionsM, Enter, Decided(DirectKho)).arguments(KHO)
        .modules(&[VERIFY_MODULE]),
    Case::new("options/m-cma", OptionsM, Enter, Decided(DirectCma)).debug()
        .arguments("cma=256M").modules(&[VERIFY_MODULE]),
    Case::new("options/m-kho-crash", OptionsM, Crash, Decided(VerifiedCrash)).debug()
        .arguments(KHO).regions(DUMP),
    Case::new("options/m-crash", OptionsM, Crash, Decided(VerifiedCrash)).kunit_reported(),
];

/// KUnit tests that run in every kernel with the Rust purgatory.
const SUITES: &[&str] = &[
    "kexec_purgatory_check",
    "kexec_purgatory_digest",
    "kexec_purgatory_image",
    "kexec_purgatory_loader",
    "rust_kexec_decision",
];

/// The name of the test that no decision is left out.
const EVERY_DECISION: &str = "boot/every-decision";

/// The cases of the table, and one for each engine that QEMU can emulate.
fn cases() -> Vec<Case> {
    let engines = qemu_engines().map(Case::engine);
    CASES.iter().cloned().chain(engines).collect()
}

pub fn names() -> Vec<String> {
    let every_decision = iter::once(EVERY_DECISION.to_owned());
    every_decision
        .chain(cases().iter().flat_map(Case::names))
        .collect()
}

/// Builds the kernels, and then boots as many at a time as there are processors.
pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    report.test(EVERY_DECISION, || {
        let booted: Vec<Arm> = CASES
            .iter()
            .filter_map(|case| match case.expected {
                Decided(arm) => Some(arm),
                Undecided(_) => None,
            })
            .collect();
        arm::all_booted(kernels.layout, &booted)
    });
    boot_all(kernels, report, &cases());
    Ok(())
}

pub fn option_names() -> Vec<String> {
    OPTIONS.iter().flat_map(Case::names).collect()
}

/// The same on the kernels with more options.
pub fn run_options(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    boot_all(kernels, report, OPTIONS);
    Ok(())
}

fn boot_all(kernels: &mut Kernels, report: &mut Report, cases: &[Case]) {
    let mut jobs = Vec::new();
    for case in cases {
        if report.wants_any(&case.names()) {
            jobs.push((case, kernels.get(case.verify)));
        }
    }
    let kernels = &*kernels;
    in_order(
        &jobs,
        |(case, kernel)| match kernel {
            Ok(kernel) => boot(kernels, case, kernel),
            Err(error) => Err(anyhow!("{error:#}")),
        },
        |(case, _), kexec| one(kernels, report, case, kexec),
    );
}

/// Boots the kernel of a case.
fn boot(kernels: &Kernels, case: &Case, kernel: &Built) -> Result<Kexec> {
    let own = Next {
        image: kernel.image().to_owned(),
        release: kernel.release()?,
    };
    let arguments = match case.kunit {
        true => [case.arguments, KUNIT].join(" "),
        false => case.arguments.to_owned(),
    };
    kexec::run(
        kernels.layout,
        &case.name.replace('/', "-"),
        kernel,
        if case.own { &own } else { &kernels.next },
        &Plan {
            purpose: case.purpose,
            loader: case.loader,
            modules: &kernel.modules(case.modules)?,
            engine: case.engine,
            arguments: &arguments,
            extra: case.extra,
        },
    )
}

/// Reports one case, and the KUnit tests that the kernel ran at boot.
fn one(kernels: &Kernels, report: &mut Report, case: &Case, ran: Result<Kexec>) {
    match ran {
        Ok(kexec) => {
            report.record(
                &case.name,
                check(&kexec, case).with_context(|| kexec.log.tail()),
            );
            if let Some(kunit) = case.kunit() {
                report_kunit(kernels, report, &kunit, &kexec.log);
            }
        }
        Err(error) => report.fail(&case.name, &error),
    }
}

/// Reports the KUnit tests of a log, below the name `kunit`; those of the purgatory must have run.
pub fn report_kunit(kernels: &Kernels, report: &mut Report, kunit: &str, log: &SerialLog) {
    let stream = Stream::parse(kernels.layout, kernels.tree(), log.lines());
    match stream.and_then(|stream| stream.ran(SUITES).map(|()| stream)) {
        // Not every engine runs on every processor.
        Ok(stream) => stream.report(report, kunit, ktap::CPU),
        Err(error) => report.fail(kunit, &error),
    }
}

fn check(kexec: &Kexec, case: &Case) -> Result<()> {
    match case.expected {
        Decided(arm) => {
            let outcome = kexec.check(arm.is_verified())?;
            let decision = kexec.decision.as_ref().map(ToString::to_string);
            ensure!(
                decision.as_deref() == Some(arm.text()),
                "decided {decision:?}, not '{}'",
                arm.text()
            );
            outcome
        }
        Undecided(sysfs) => {
            if let Some(decision) = &kexec.decision {
                bail!("nothing was to be decided, this was: {decision}");
            }
            let found = kexec
                .log
                .after(&format!("guest: {} ", case.purpose.sysfs()));
            ensure!(found == Some(sysfs), "sysfs has {found:?}, not '{sysfs}'");
            kexec.outcome()?
        }
    };
    if let Some(engine) = case.engine {
        ensure!(
            kexec.engine.as_deref() == Some(engine.name()),
            "the engine is {:?}, not {}",
            kexec.engine,
            engine.name()
        );
    }
    if let Some(regions) = case.regions {
        ensure!(
            kexec.regions == Some(regions),
            "{:?} regions are verified, not {regions}",
            kexec.regions
        );
    }
    if case.loader == Loader::Debug {
        let verified = matches!(case.expected, Decided(arm) if arm.is_verified());
        purgatory_spoke(kexec, verified)?;
    }
    if let Some(Extra::MemoryHotplug | Extra::DmCryptKey) = case.extra {
        found_intact(&kexec.log)?;
    }
    if case.extra == Some(Extra::MemoryHotplug) {
        memory_added(&kexec.log)?;
    }
    if case.own {
        measurements_carried(&kexec.log)?;
    }
    ensure!(
        kexec.log.after("guest: finished").is_some(),
        "the guest did not finish"
    );
    Ok(())
}

/// Whether the running kernel found the image intact.
fn found_intact(log: &SerialLog) -> Result<()> {
    let check = log.after("guest: check ");
    ensure!(check == Some("succeeds: intact"), "the check {check:?}");
    Ok(())
}

/// Whether the dump has the memory that was added after the crash image was loaded.
fn memory_added(log: &SerialLog) -> Result<()> {
    let dumped = log
        .after("guest: vmcore ")
        .and_then(|rest| rest.split_once(" MiB,"))
        .and_then(|(number, _)| number.parse::<u64>().ok());
    ensure!(
        dumped.is_some_and(|dumped| dumped >= DUMPED_WITH_ADDED),
        "{dumped:?} MiB were dumped, not {DUMPED_WITH_ADDED} or more"
    );
    Ok(())
}

/// Whether the second kernel has the list of IMA of the first one in front of its own, which both
/// begin with the same entry.
fn measurements_carried(log: &SerialLog) -> Result<()> {
    let found = log.after("guest: boot aggregates ");
    ensure!(
        found == Some("2"),
        "the second kernel's list has {found:?} beginnings, not 2"
    );
    Ok(())
}

/// Whether the purgatory said that it verified what the kernel announced; it must not have run
/// where the next kernel is entered directly.
fn purgatory_spoke(kexec: &Kexec, verified: bool) -> Result<()> {
    let said = kexec.log.after("purgatory: ");
    if !verified {
        ensure!(said.is_none(), "purgatory ran: {said:?}");
        return Ok(());
    }
    let said = said.context("purgatory said nothing")?;
    let engine = kexec.engine.as_deref().unwrap_or("none");
    let work = format!(" {} bytes, engine {engine},", kexec.bytes.unwrap_or(0));
    ensure!(
        said.starts_with("verified ") && said.contains(&work),
        "purgatory said {said:?}, not that it verified{work}"
    );
    Ok(())
}
