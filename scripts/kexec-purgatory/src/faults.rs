// SPDX-License-Identifier: GPL-2.0-only

//! Damages images from outside the guest, and checks how the purgatory reacts.

mod at_rest;
pub mod damage_point;
mod dump;
mod fault;
mod fault_plan;
mod handoff_record;
mod mmio;
mod outcome;
mod purgatory_damage;
mod stopped;
mod trial;

use std::fmt;

use anyhow::{Context, Result};

use self::damage_point::DamagePoint;
use self::fault_plan::{Planned, plan};
use self::stopped::StoppedGuests;
use self::trial::{Class, Trial};
use crate::graft;
use crate::guest::{self, Purpose};
use crate::kernel::{self, Built, VERIFY_MODULE, Verify};
use crate::layout::Layout;
use crate::machine::guest_setup::GuestSetup;
use crate::machine::memory;
use crate::parallel::in_parallel;
use crate::processors::picked_in_qemu;
use crate::progress::Step;

/// Number of faults per clean run.
const FAULTS_PER_CLEAN_RUN: usize = 5;

/// Number of faults per additional fault in each kind of image that the running kernel checks.
const FAULTS_PER_FAULT_AT_REST: usize = 5;

/// Number of faults per additional fault in a normal image that is loaded beside a crash image.
const FAULTS_PER_DUMP: usize = 5;

/// Faults in images with kexec handover.
const HANDOVER: usize = 6;

/// Faults in normal images with crash memory in CMA: one with `panic=0`, one with `panic=-1`.
const CRASH_CMA: usize = 2;

/// Faults in images that are entered directly, which nothing detects.
const DIRECT: usize = 6;

/// Builds kernels and injects faults. Returns whether every fault was detected, without a false
/// alarm.
pub fn run(layout: &Layout, count: usize, seed: Option<u64>) -> Result<bool> {
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let tree = graft::kernel_tree(layout)?;
    graft::graft(layout, &tree)?;
    let verified = kernel::build(layout, &tree, None, Verify::Y)?;
    let policy = kernel::build(layout, &tree, None, Verify::M)?;
    let direct = kernel::build(layout, &tree, None, Verify::N)?;
    let kernels = [&verified, &policy, &direct];
    let tally = inject(layout, kernels, count, seed)?;
    println!("{tally}");
    Ok(tally.is_good())
}

/// A trial that was run, its engine, and its result.
pub struct Ran {
    trial: Trial,
    engine: &'static str,
    pub result: Result<()>,
}

impl Ran {
    pub fn name(&self) -> String {
        format!("{} (engine {})", self.trial.name(), self.engine)
    }

    /// The group that the trial belongs to, for reports.
    pub fn group(&self) -> String {
        self.trial.group(self.engine)
    }
}

/// The results of all trials.
#[derive(Default)]
pub struct Tally(pub Vec<Ran>);

impl Tally {
    /// The number of trials of a class, and how many of them ended as they should.
    fn count(&self, class: Class) -> (usize, usize) {
        let of_class = || self.0.iter().filter(|ran| ran.trial.class() == class);
        (
            of_class().count(),
            of_class().filter(|ran| ran.result.is_ok()).count(),
        )
    }

    /// Whether at least one trial was run and all ended as they should.
    fn is_good(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|ran| ran.result.is_ok())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ran in &self.0 {
            if let Err(error) = &ran.result {
                writeln!(f, "FAILED {}: {error:#}", ran.name())?;
            }
        }
        let (purgatories, refused) = self.count(Class::Purgatory);
        let (unverified, entered) = self.count(Class::Unverified);
        let (clean, unharmed) = self.count(Class::Clean);
        let (injected, detected) = self.count(Class::Fault);
        writeln!(
            f,
            "damaged purgatories that did not enter the next kernel: {refused} of {purgatories}"
        )?;
        writeln!(
            f,
            "images entered although bytes outside of the verified regions were damaged, as expected: \
             {entered} of {unverified}"
        )?;
        writeln!(
            f,
            "clean images that were entered, most of them loaded for it and booted: \
             {unharmed} of {clean}"
        )?;
        let (mismatches, dumps) = self.count(Class::Dump);
        let (both, ended) = self.count(Class::NoDump);
        writeln!(
            f,
            "damaged normal images beside a crash image that ended in a dump: {dumps} of \
             {mismatches}; both damaged, stopped or reset as panic= says: {ended} of {both}"
        )?;
        let (records, booted) = self.count(Class::Record);
        writeln!(
            f,
            "damaged records that were not used by the kernel that booted: {booted} of {records}"
        )?;
        let (at_rest, found) = self.count(Class::AtRest);
        let (untouched, intact) = self.count(Class::CleanAtRest);
        writeln!(
            f,
            "images damaged at rest, found by the running kernel: {found} of {at_rest}, false \
             alarms {} of {untouched}",
            untouched - intact
        )?;
        write!(
            f,
            "injected {injected}, detected {detected}, missed {}, false alarms {}",
            injected - detected,
            clean - unharmed
        )
    }
}

/// Injects faults, the engines one after the other. The kernels are one that verifies normal images,
/// one where a module decides, and one that does not verify them.
pub fn inject(
    layout: &Layout,
    [verified, policy, direct]: [&Built; 3],
    count: usize,
    seed: u64,
) -> Result<Tally> {
    let folder = memory::folder(layout)?;
    let guest = guest::commanded(layout, verified.image(), "")?;
    let setup = GuestSetup::new(folder.path(), verified, &guest)?;
    let engines: Vec<_> = picked_in_qemu().collect();
    let planned: Vec<Planned> = plan(seed, &engines).take(count).collect();
    let at_rest = count.div_ceil(FAULTS_PER_FAULT_AT_REST);
    let mut tally = Tally::default();
    for (index, &engine) in engines.iter().enumerate() {
        let guests = StoppedGuests::prepare(&setup, engine)?;
        let mut trials = trial::fixed();
        // These trials do not depend on the engine.
        if index == 0 {
            trials.extend(trial::purgatory());
            trials.extend(trial::at_rest(&planned, at_rest, &DamagePoint::AT_REST));
            trials.extend(trial::dumps(&planned, count.div_ceil(FAULTS_PER_DUMP)));
            trials.extend(trial::records());
        }
        trials.extend(
            planned
                .iter()
                .filter(|planned| planned.engine == engine)
                .map(|&planned| Trial::Fault(planned)),
        );
        trials.extend(trial::clean(
            count.div_ceil(FAULTS_PER_CLEAN_RUN * engines.len()),
        ));
        execute(&setup, &guests, &trials, &mut tally)?;
    }

    let engine = *engines.first().context("no engine")?;
    let mut crash_cma = guest::commanded(layout, verified.image(), "")?;
    crash_cma.arguments += guest::CRASH_CMA;
    let setup = GuestSetup::new(folder.path(), verified, &crash_cma)?;
    let point = DamagePoint::NORMAL_BEFORE_COPY;
    let trials: Vec<Trial> = plan(seed, &[engine])
        .map(|planned| Trial::CrashCma(Planned { point, ..planned }))
        .take(CRASH_CMA)
        .collect();
    let guests = StoppedGuests::crash_cma(&setup, engine)?;
    execute(&setup, &guests, &trials, &mut tally)?;

    let setup = GuestSetup::new(folder.path(), direct, &guest)?;
    let mut trials: Vec<Trial> = plan(seed, &engines)
        .filter(|planned| planned.point == DamagePoint::NORMAL_BEFORE_COPY)
        .map(Trial::Direct)
        .take(DIRECT)
        .collect();
    trials.extend(trial::at_rest(
        &planned,
        at_rest,
        &[DamagePoint::NORMAL_AT_REST],
    ));
    trials.push(Trial::CleanLoad(Purpose::Enter));
    execute(&setup, &StoppedGuests::direct(&setup)?, &trials, &mut tally)?;

    let module = policy.module(VERIFY_MODULE)?;
    let handover = guest::commanded_with_handover(layout, policy.image(), &module)?;
    let setup = GuestSetup::new(folder.path(), policy, &handover)?;
    let mut trials: Vec<Trial> = plan(seed, &[engine])
        .filter(|planned| planned.point.purpose == Purpose::Enter)
        .map(Trial::Fault)
        .take(HANDOVER)
        .collect();
    trials.push(Trial::Clean(DamagePoint::NORMAL_BEFORE_COPY));
    let guests = StoppedGuests::handover(&setup, engine)?;
    execute(&setup, &guests, &trials, &mut tally)?;
    Ok(tally)
}

/// Runs trials, as many at a time as there are processors.
fn execute(
    setup: &GuestSetup<'_>,
    guests: &StoppedGuests,
    trials: &[Trial],
    tally: &mut Tally,
) -> Result<()> {
    let mut step = Step::start(format!("{} runs, engine {}", trials.len(), guests.name));
    // A failed trial is a result like any other.
    let run = |trial: &Trial| Ok(trial.run(setup, guests));
    let results = in_parallel(trials, run, |number, result| {
        let ended = if result.is_ok() { "ok" } else { "FAILED" };
        step.line(&format!("{}: {ended}", trials[number].name()));
    })?;
    let ran = trials.iter().zip(results).map(|(&trial, result)| Ran {
        trial,
        engine: guests.name,
        result,
    });
    tally.0.extend(ran);
    step.done();
    Ok(())
}
