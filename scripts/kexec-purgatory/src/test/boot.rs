// SPDX-License-Identifier: GPL-2.0-only

//! Kernels of every state, built and booted.

use anyhow::{Context, Result, bail, ensure};

use super::{Kernels, Report, ktap};
use crate::abi::EngineKind;
use crate::guest::{Loader, Purpose};
use crate::kernel::{VERIFY_MODULE, Verify};
use crate::kexec::{self, Kexec, Plan};

/// What a kexec is expected to do with the image.
#[derive(Clone, Copy)]
enum Expected {
    Verified,
    Direct,
    /// Another purgatory than ours, which does not say what it does. sysfs has this.
    Undecided(&'static str),
}

/// One kexec in a guest.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    verify: Verify,
    purpose: Purpose,
    expected: Expected,
    loader: Loader,
    modules: &'static [&'static str],
    /// The engine that must verify it; any one that the processor has if none is named.
    engine: Option<EngineKind>,
}

impl Case {
    const fn new(name: &'static str, verify: Verify, purpose: Purpose, expected: Expected) -> Self {
        Self {
            name,
            verify,
            purpose,
            expected,
            loader: Loader::Kexec,
            modules: &[],
            engine: None,
        }
    }

    /// What the KUnit tests that this case reports are below, if it does. Some need memory for a crash
    /// kernel.
    fn kunit(&self) -> Option<String> {
        let all = self.purpose == Crash && self.loader == Loader::Kexec;
        all.then(|| format!("boot/{}-kunit", self.verify.name()))
    }

    /// The names of all that this case reports.
    fn names(&self) -> Vec<String> {
        let kunit = self.kunit().map(|kunit| kunit + "/");
        [self.name.to_owned()].into_iter().chain(kunit).collect()
    }

    /// With modules loaded.
    const fn modules(mut self, modules: &'static [&'static str]) -> Self {
        self.modules = modules;
        self
    }

    /// On a processor for that engine.
    const fn engine(mut self, engine: EngineKind) -> Self {
        self.engine = Some(engine);
        self
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
}

use EngineKind::{Avx2X8, Scalar, ShaNiX2};
use Expected::{Direct, Undecided, Verified};
use Purpose::{Crash, Enter};
use Verify::{M, N, Norust, Y};

/// What sysfs has on a mainline kernel.
const ABSENT: Expected = Undecided("absent");
/// What it has on ours of an image that `kexec_load()` loaded.
const UNKNOWN: Expected = Undecided("unknown: loaded with kexec_load()");

const CASES: &[Case] = &[
    Case::new("boot/norust-normal", Norust, Enter, ABSENT),
    Case::new("boot/norust-kexec-load", Norust, Enter, ABSENT).kexec_load(),
    Case::new("boot/norust-crash", Norust, Crash, ABSENT),
    Case::new("boot/y-normal", Y, Enter, Verified),
    Case::new("boot/y-normal-debug", Y, Enter, Verified).debug(),
    Case::new("boot/y-kexec-load", Y, Enter, UNKNOWN).kexec_load(),
    Case::new("boot/y-crash", Y, Crash, Verified),
    Case::new("boot/y-scalar", Y, Enter, Verified)
        .engine(Scalar)
        .debug(),
    Case::new("boot/y-shani-x2", Y, Enter, Verified)
        .engine(ShaNiX2)
        .debug(),
    Case::new("boot/y-avx2-x8", Y, Enter, Verified)
        .engine(Avx2X8)
        .debug(),
    Case::new("boot/m-normal", M, Enter, Direct),
    Case::new("boot/m-module-normal", M, Enter, Verified).modules(&[VERIFY_MODULE]),
    Case::new("boot/m-crash", M, Crash, Verified),
    Case::new("boot/n-normal", N, Enter, Direct),
    Case::new("boot/n-normal-debug", N, Enter, Direct).debug(),
    Case::new("boot/n-crash", N, Crash, Verified),
    Case::new("boot/n-crash-debug", N, Crash, Verified).debug(),
];

pub fn names() -> Vec<String> {
    CASES.iter().flat_map(Case::names).collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    for case in CASES {
        if report.wants_any(&case.names()) {
            one(kernels, report, case);
        }
    }
    Ok(())
}

/// Runs one case; the KUnit tests that the kernel ran at boot are reported as well.
fn one(kernels: &mut Kernels, report: &mut Report, case: &Case) {
    let log = case.name.replace('/', "-");
    let ran = kernels.get(case.verify).and_then(|kernel| {
        let modules = kernel.modules(case.modules)?;
        kexec::run(
            kernels.layout,
            &log,
            &kernel,
            &kernels.next,
            &Plan {
                purpose: case.purpose,
                loader: case.loader,
                modules: &modules,
                engine: case.engine,
            },
        )
    });
    match ran {
        Ok(kexec) => {
            report.record(
                case.name,
                check(&kexec, case).with_context(|| kexec.log.tail()),
            );
            if let Some(kunit) = case.kunit() {
                for outcome in ktap::parse(kexec.log.lines()) {
                    // Not every engine runs on every processor.
                    outcome.report(report, &kunit, true);
                }
            }
        }
        Err(error) => report.fail(case.name, &error),
    }
}

fn check(kexec: &Kexec, case: &Case) -> Result<()> {
    match case.expected {
        Verified => kexec.check(true)?,
        Direct => kexec.check(false)?,
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
    if case.loader == Loader::Debug {
        purgatory_spoke(kexec, matches!(case.expected, Verified))?;
    }
    ensure!(
        kexec.log.after("guest: finished").is_some(),
        "the guest did not finish"
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
