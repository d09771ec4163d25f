// SPDX-License-Identifier: GPL-2.0-only

//! Builds and boots kernels of every state.

pub mod case;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use self::case::kexec_check::check;
use self::case::{Case, Expected, Target, boot};

use super::arm::{self, Arm};
use super::ktap::{self, Stream};
use super::{HostTest, Kernels, Report, shared};
use crate::engines::EngineKind;
use crate::expected;
use crate::files;
use crate::guest::{Extra, KHO, MEMORY_TO_ADD, Purpose};
use crate::kernel::{SAMPLE_MODULE, VERIFY_MODULE, Verify};
use crate::kexec::Kexec;
use crate::layout::Layout;
use crate::parallel::in_order;
use crate::processors::picked_in_qemu;
use crate::qemu::SerialLog;

use Arm::{DirectCma, DirectKho, DirectPolicy};
use EngineKind::Avx512X16;
use Expected::{Decided, Undecided};
use Purpose::Enter;
use Target::Own;
use Verify::{M, N, Norust, Options, OptionsM, Y};

/// An image that `kexec_load()` loaded, on the overlay's kernel.
const UNKNOWN: Expected = Undecided(expected::UNKNOWN);

/// The regions of a normal image: kernel, `boot_params` and initramfs. The IMA list is not
/// verified, because it changes after the load.
const PLAIN: u32 = 3;

/// Memory for CMA into which the next kernel does not fit. Free memory is not zero.
const SOME_CMA: &str = "cma=16M page_poison=1";

/// The regions of a crash image: also the ELF core header.
const DUMP: u32 = PLAIN + 1;

#[rustfmt::skip] // a table
const CASES: &[Case] = &[
    Case::enter("boot/norust-normal", Norust),
    Case::enter("boot/norust-kexec-load", Norust).kexec_load(),
    Case::crash("boot/norust-crash", Norust),
    // As y-cma-some: the C purgatory verifies segments in CMA, which had other contents before.
    Case::enter("boot/norust-cma-some", Norust).arguments(SOME_CMA),
    Case::enter("boot/y-normal", Y),
    Case::enter("boot/y-normal-debug", Y).debug().regions(PLAIN),
    Case::new("boot/y-kexec-load", Y, Enter, UNKNOWN).kexec_load(),
    Case::new("boot/y-kexec-load-checked", Y, Enter, UNKNOWN).kexec_load()
        .extra(Extra::CheckReboot).logs("kexec: normal image: check: not possible, Error(95)"),
    Case::crash("boot/y-crash", Y).kunit_reported(),
    Case::enter("boot/m-normal", M),
    Case::policy("boot/m-module-normal", M),
    // The initramfs is larger than what the sample verifies.
    Case::new("boot/m-sample-normal", M, Enter, Decided(DirectPolicy)).modules(&[SAMPLE_MODULE]),
    Case::crash("boot/m-crash", M).kunit_reported(),
    Case::crash("boot/m-module-crash", M).modules(&[VERIFY_MODULE]),
    Case::crash("boot/m-sample-crash", M).modules(&[SAMPLE_MODULE]),
    Case::enter("boot/n-normal", N),
    Case::enter("boot/n-normal-debug", N).debug(),
    Case::crash("boot/n-crash", N).kunit_reported(),
    Case::crash("boot/n-crash-debug", N).debug().regions(DUMP),
    // The same kernels with kexec handover on, or with memory for CMA. CMA aligns less than the
    // next kernel asks for in y, and enough in m and n.
    Case::new("boot/y-kho", Y, Enter, Decided(DirectKho)).debug().arguments(KHO),
    Case::enter("boot/y-kho-off", Y).arguments("kho=off"),
    Case::crash("boot/y-kho-crash", Y).debug().arguments(KHO).regions(DUMP),
    Case::enter("boot/y-cma-unaligned", Y).debug().arguments("cma=256M").regions(PLAIN),
    Case::enter("boot/y-cma-some", Y).debug().arguments(SOME_CMA).regions(PLAIN),
    Case::new("boot/m-kho", M, Enter, Decided(DirectKho)).arguments(KHO).modules(&[VERIFY_MODULE]),
    Case::new("boot/m-kho-no-module", M, Enter, Decided(DirectKho)).debug().arguments(KHO),
    // Handover adds a segment: the list of its scratch areas.
    Case::policy("boot/m-kho-spared", M).arguments(KHO).extra(Extra::VerifySpared).debug()
        .regions(PLAIN + 1),
    Case::new("boot/m-cma", M, Enter, Decided(DirectCma)).debug()
        .arguments("cma=256M page_poison=1").modules(&[VERIFY_MODULE]),
    Case::policy("boot/m-cma-spared", M).arguments("cma=256M").extra(Extra::VerifySpared).debug()
        .regions(PLAIN),
    // The policy is told why the image is spared.
    Case::new("boot/m-kho-sample", M, Enter, Decided(DirectKho)).debug().arguments(KHO)
        .modules(&[SAMPLE_MODULE]).logs("rust_kexec_policy: spared: Some(Handover)"),
    Case::new("boot/m-cma-sample", M, Enter, Decided(DirectCma)).debug().arguments("cma=256M")
        .modules(&[SAMPLE_MODULE]).logs("rust_kexec_policy: spared: Some(Cma)"),
    Case::new("boot/n-kho", N, Enter, Decided(DirectKho)).debug().arguments(KHO),
    Case::new("boot/n-cma", N, Enter, Decided(DirectCma)).debug().arguments("cma=256M"),
    Case::crash("boot/m-cma-crash", M).debug().arguments("cma=256M").regions(DUMP),
];

/// On kernels with more options, which also check memory and locks. They take long to build.
#[rustfmt::skip] // a table
const OPTIONS: &[Case] = &[
    // In each, the kernel checks signatures, treats an untrusted one as none, and passes the IMA
    // list on.
    Case::enter("options/normal", Options).regions(PLAIN),
    Case::enter("options/ima", Options).ima().regions(PLAIN),
    Case::enter("options/ima-tpm", Options).ima().tpm().regions(PLAIN),
    // With indirect branch tracking, for which QEMU has no processor. Bochs has one.
    Case::enter("options/ibt", Options).picking(Avx512X16).regions(PLAIN)
        .logs("CET detected: Indirect Branch Tracking enabled"),
    Case::enter("options/m-ima-direct", OptionsM).ima(),
    Case::policy("options/m-ima-tpm", OptionsM).ima().tpm().regions(PLAIN),
    Case::crash("options/crash", Options).kunit_reported(),
    Case::crash("options/hotplug", Options).arguments("maxcpus=1").extra(Extra::Hotplug)
        .regions(DUMP),
    // Without ERMS, a check copies the image in another way.
    Case::crash("options/hotplug-without-erms", Options).arguments("clearcpuid=erms maxcpus=1")
        .extra(Extra::Hotplug).regions(DUMP)
        .logs("clearcpuid: force-disabling CPU feature flag: erms"),
    Case::crash("options/memory-hotplug", Options).arguments(MEMORY_TO_ADD)
        .extra(Extra::MemoryHotplug).regions(DUMP),
    Case::crash("options/m-hotplug", OptionsM).arguments("maxcpus=1").extra(Extra::Hotplug)
        .regions(DUMP),
    Case::crash("options/m-memory-hotplug", OptionsM).arguments(MEMORY_TO_ADD)
        .extra(Extra::MemoryHotplug).regions(DUMP),
    Case::crash("options/dm-crypt", Options).extra(Extra::DmCryptKey).regions(DUMP + 1).target(Own)
        .next_arguments("guest.restore=1"),
    Case::crash("options/m-dm-crypt", OptionsM).extra(Extra::DmCryptKey).regions(DUMP + 1)
        .target(Own).next_arguments("guest.restore=1"),
    Case::new("options/kho", Options, Enter, Decided(DirectKho)).arguments(KHO),
    Case::enter("options/kho-off", Options).arguments("kho=off"),
    Case::crash("options/kho-crash", Options).arguments(KHO).regions(DUMP),
    // CMA aligns less than the kernel asks for.
    Case::enter("options/cma-unaligned", Options).arguments("cma=256M").regions(PLAIN),
    Case::enter("options/cma-some", Options).arguments(SOME_CMA).regions(PLAIN),
    Case::crash("options/cma-crash", Options).arguments("cma=256M").regions(DUMP),
    Case::enter("options/m-normal", OptionsM),
    Case::policy("options/m-module", OptionsM).regions(PLAIN),
    Case::new("options/m-kho", OptionsM, Enter, Decided(DirectKho)).arguments(KHO)
        .modules(&[VERIFY_MODULE]),
    Case::new("options/m-cma", OptionsM, Enter, Decided(DirectCma)).arguments("cma=256M")
        .modules(&[VERIFY_MODULE]),
    Case::crash("options/m-kho-crash", OptionsM).arguments(KHO).regions(DUMP),
    Case::crash("options/m-crash", OptionsM).kunit_reported(),
];

/// KUnit tests that run in every kernel with the Rust purgatory.
const SUITES: &[&str] = &[
    "kexec_purgatory_check",
    "kexec_purgatory_digest",
    "kexec_purgatory_image",
    "kexec_purgatory_loader",
    "rust_kexec_decision",
];

/// KUnit tests that run as well where a module decides.
const POLICY_SUITE: &str = "kexec_purgatory_policy";

/// The tests that the cases cover every decision, and the suites every KUnit test.
pub const TESTS: &[HostTest] = &[
    ("boot/every-decision", every_decision),
    ("boot/every-suite", every_suite),
];

/// The cases of the table, and one for each engine that a processor of QEMU's picks.
pub fn cases() -> Vec<Case> {
    let engines = picked_in_qemu().map(Case::engine);
    CASES.iter().cloned().chain(engines).collect()
}

fn every_decision(layout: &Layout) -> Result<()> {
    let booted: Vec<Arm> = CASES
        .iter()
        .filter_map(|case| match case.expected {
            Decided(arm) => Some(arm),
            Undecided(_) => None,
        })
        .collect();
    arm::all_booted(layout, &booted)
}

/// The suites in C are those whose run is checked.
fn every_suite(layout: &Layout) -> Result<()> {
    let mut found = BTreeSet::new();
    for file in files::below(&layout.overlay.join("arch/x86/kexec"))? {
        let text = files::read_text(&file)?;
        found.extend(text.lines().filter_map(|line| {
            let name = line.trim().strip_prefix(".name = \"kexec_purgatory_")?;
            Some(format!("kexec_purgatory_{}", name.strip_suffix("\",")?))
        }));
    }
    let named: BTreeSet<String> = SUITES
        .iter()
        .chain([&POLICY_SUITE])
        .filter(|suite| suite.starts_with("kexec_purgatory_"))
        .map(|&suite| suite.to_owned())
        .collect();
    ensure!(
        found == named,
        "the KUnit suites are {found:?}, and the tests know {named:?}"
    );
    Ok(())
}

/// The cases on the kernels with more options. The project's own program loads the images, so that
/// the purgatory says what it did.
pub fn options() -> Vec<Case> {
    OPTIONS.iter().cloned().map(Case::debug).collect()
}

/// Builds the kernels of these cases, then boots as many at a time as there are processors.
pub fn boot_all(kernels: &mut Kernels, report: &mut Report, cases: &[Case]) {
    let mut jobs = Vec::new();
    for case in cases {
        if report.wants_any(&case.names()) {
            let kernel = kernels.get(case.verify);
            let built = kernel.and_then(|kernel| {
                let next = kernels.target(case.target, &kernel)?;
                Ok((kernel, next))
            });
            jobs.push((case, built));
        }
    }
    let kernels = &*kernels;
    in_order(
        &jobs,
        |(case, built)| {
            let (kernel, next) = shared(built)?;
            boot(kernels.layout, case, kernel, next)
        },
        |(case, _), kexec| one(kernels, report, case, kexec),
    );
}

/// Reports one case, and the KUnit tests that the kernel ran at boot.
pub fn one(kernels: &Kernels, report: &mut Report, case: &Case, ran: Result<Kexec>) {
    match ran {
        Ok(kexec) => {
            let checked = check(&kexec, case).with_context(|| kexec.log.tail());
            report.record(&case.name, checked);
            if let Some(kunit) = case.kunit() {
                report_kunit(kernels, report, &kunit, case.verify, &kexec.log);
            }
        }
        Err(error) => report.fail(&case.name, &error),
    }
}

/// Reports the KUnit tests of a log, with names below `kunit`. The purgatory's suites must have
/// run.
fn report_kunit(
    kernels: &Kernels,
    report: &mut Report,
    kunit: &str,
    verify: Verify,
    log: &SerialLog,
) {
    let mut suites = SUITES.to_vec();
    suites.extend(matches!(verify, M | OptionsM).then_some(POLICY_SUITE));
    let stream = Stream::parse(kernels, log.lines());
    match stream.and_then(|stream| stream.ran(&suites).map(|()| stream)) {
        // Not every engine runs on every processor.
        Ok(stream) => stream.report(report, kunit, ktap::CPU),
        Err(error) => report.fail(kunit, &error),
    }
}
