// SPDX-License-Identifier: GPL-2.0-only

//! One machine on its way to the next kernel, with a fault or without.

use anyhow::{Context, Result, bail, ensure};

use super::at_rest;
use super::dump;
use super::fault::{Change, Fault, damaged};
use super::image::Segment;
use super::mmio;
use super::outcome::{self, Outcome};
use super::plan::Planned;
use super::purgatory::{DAMAGES, Damage, Expected, Purgatory};
use super::record;
use super::stage::{NO_ENGINE, Scenario, Scene, Scenes, Setting, Stage};
use crate::abi::RegionKind;
use crate::guest::Purpose;
use crate::machine::Machine;
use crate::machine::gdb::Space;

/// How often to choose again if a fault would change nothing, such as zeroing a page of zeros.
const ATTEMPTS: u64 = 64;

/// The value of `panic=` in a machine that should not need it.
const KEEP_PANIC: i32 = -1;

/// How many damaged normal images the running kernel must refuse to enter.
const REFUSALS: usize = 4;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub enum Trial {
    /// A fault in a verified image.
    Fault(Planned),
    /// An image that was loaded before and is not touched.
    Clean(Scenario),
    /// An image that is loaded and not touched, and whose kernel boots.
    CleanLoad(Purpose),
    /// The purgatory is told to verify what the kernel has loaded.
    Coverage(Scenario),
    /// A purgatory that is damaged itself.
    Purgatory {
        scenario: Scenario,
        damage: &'static Damage,
        panic: i32,
    },
    /// Damage where nothing is verified: after the part of the kernel that was loaded.
    Unverified(Scenario),
    /// A fault in an image that is entered directly.
    Direct(Planned),
    /// A fault in an image that the running kernel checks.
    AtRest(Planned),
    /// An image that the running kernel checks, and that was not touched.
    CleanAtRest(Scenario),
    /// A normal image that the running kernel checks before it enters it, and that was not touched.
    EnterChecked,
    /// A fault in a normal image that the running kernel checks before it enters it.
    Refused(Planned),
    /// A mismatch that is reported on an 8250 in memory.
    Mmio,
    /// A fault in a normal image that is loaded beside a crash image.
    Dump(Planned),
    /// The same with a fault in the crash image as well.
    NoDump(Planned),
    /// A record that is damaged when the next kernel is entered.
    Record(&'static record::Damage),
}

/// The group of checks by the running kernel, for reports. Images that are entered directly have no
/// engine.
fn checked(scenario: Scenario, engine: &str) -> String {
    match engine {
        NO_ENGINE => format!("checked direct {}", scenario.name()),
        _ => format!("checked {}", scenario.name()),
    }
}

/// How trials are counted.
#[derive(Clone, Copy, PartialEq)]
pub enum Class {
    Fault,
    Clean,
    Purgatory,
    Unverified,
    AtRest,
    CleanAtRest,
    Dump,
    NoDump,
    Record,
    Other,
}

/// Crash images and normal ones that are loaded, entered and booted.
pub fn clean(count: usize) -> impl Iterator<Item = Trial> {
    [Purpose::Crash, Purpose::Enter]
        .into_iter()
        .cycle()
        .take(count)
        .map(Trial::CleanLoad)
}

/// Trials that run once with each engine, whatever the number of faults.
pub fn fixed() -> Vec<Trial> {
    let mut trials = vec![
        Trial::Coverage(Scenario::CRASH_BEFORE_CHECK),
        Trial::Coverage(Scenario::NORMAL_BEFORE_CHECK),
        Trial::Unverified(Scenario::CRASH_AT_REST),
        Trial::Unverified(Scenario::NORMAL_BEFORE_CHECK),
        Trial::Mmio,
    ];
    trials.extend(Scenario::ALL.map(Trial::Clean));
    trials
}

/// Checks by the running kernel: `count` faults in an image of each of `scenarios`, one image
/// without a fault for every four of them, and refusals to enter a normal image.
pub fn at_rest(faults: &[Planned], count: usize, scenarios: &[Scenario]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &scenario in scenarios {
        let at_rest = |planned: &Planned| Planned {
            scenario,
            ..*planned
        };
        let faults = faults.iter().cycle().take(count).map(at_rest);
        trials.extend(faults.clone().map(Trial::AtRest));
        trials.extend((0..count.div_ceil(4)).map(|_| Trial::CleanAtRest(scenario)));
        if scenario == Scenario::NORMAL_AT_REST {
            trials.extend(faults.take(REFUSALS).map(Trial::Refused));
            trials.push(Trial::EnterChecked);
        }
    }
    trials
}

/// Faults in normal images that are loaded beside a crash image: `count` of them that end in a
/// dump, and one with a damaged crash image for every four of these.
pub fn dumps(faults: &[Planned], count: usize) -> Vec<Trial> {
    let scenarios = [Scenario::NORMAL_BEFORE_COPY, Scenario::NORMAL_BEFORE_CHECK];
    let mut faults = faults
        .iter()
        .cycle()
        .enumerate()
        .map(|(number, planned)| Planned {
            scenario: scenarios[number % scenarios.len()],
            ..*planned
        });
    let mut trials: Vec<Trial> = faults.by_ref().take(count).map(Trial::Dump).collect();
    trials.extend(faults.take(count.div_ceil(4)).map(Trial::NoDump));
    trials
}

/// Every damage to a record.
pub fn records() -> impl Iterator<Item = Trial> {
    record::DAMAGES.iter().map(Trial::Record)
}

/// Every damage to a purgatory, in a crash image or a normal one.
pub fn purgatory() -> impl Iterator<Item = Trial> {
    let scenarios = [Scenario::CRASH_BEFORE_CHECK, Scenario::NORMAL_BEFORE_CHECK];
    DAMAGES
        .iter()
        .enumerate()
        .map(move |(number, damage)| Trial::Purgatory {
            scenario: scenarios[number % 2],
            damage,
            panic: if number % 4 < 2 { 0 } else { -1 },
        })
}

impl Trial {
    pub fn name(&self) -> String {
        match self {
            Self::Fault(planned) | Self::Direct(planned) => format!(
                "{}: {}{}, engine {}: {}, panic={}",
                planned.number,
                if matches!(self, Self::Direct(_)) {
                    "direct "
                } else {
                    ""
                },
                planned.scenario.name(),
                planned.engine.name(),
                planned.fault,
                planned.panic
            ),
            Self::Clean(scenario) => format!("clean {}", scenario.name()),
            Self::CleanLoad(purpose) => format!("clean load of a {} image", purpose.name()),
            Self::Coverage(scenario) => format!("regions of a {}", scenario.name()),
            Self::Purgatory {
                scenario,
                damage,
                panic,
            } => format!(
                "purgatory of a {}: {}, panic={panic}",
                scenario.name(),
                damage.name
            ),
            Self::Unverified(scenario) => format!("tail of a {}", scenario.name()),
            Self::Mmio => "mismatch on an 8250 in memory".to_owned(),
            Self::Dump(planned) => format!(
                "{}: {}, with a crash image: {}",
                planned.number,
                planned.scenario.name(),
                planned.fault
            ),
            Self::NoDump(planned) => format!(
                "{}: {}, with a crash image that is damaged, too: {}, panic={}",
                planned.number,
                planned.scenario.name(),
                planned.fault,
                planned.panic
            ),
            Self::Record(damage) => format!("record for the next kernel: {}", damage.name),
            Self::AtRest(planned) => format!(
                "{}: {}, checked: {}",
                planned.number,
                planned.scenario.name(),
                planned.fault
            ),
            Self::CleanAtRest(scenario) => format!("clean {}, checked", scenario.name()),
            Self::EnterChecked => "clean normal image, checked before it is entered".to_owned(),
            Self::Refused(planned) => format!(
                "{}: {}, checked before it is entered: {}",
                planned.number,
                planned.scenario.name(),
                planned.fault
            ),
        }
    }

    /// The group that the trial belongs to, for reports.
    pub fn group(&self, engine: &str) -> String {
        match self {
            Self::Fault(planned) => format!("{}, {engine}", planned.scenario.name()),
            Self::Direct(_) => "direct image".to_owned(),
            Self::Clean(_) => format!("clean image, {engine}"),
            Self::CleanLoad(_) if engine == NO_ENGINE => "clean load, direct".to_owned(),
            Self::CleanLoad(_) => format!("clean load, {engine}"),
            Self::Coverage(_) => format!("regions, {engine}"),
            Self::Purgatory { .. } => "purgatory".to_owned(),
            Self::Unverified(..) => format!("what is not verified, {engine}"),
            Self::Mmio => format!("8250 in memory, {engine}"),
            Self::Dump(_) | Self::NoDump(_) => "mismatch with a crash image".to_owned(),
            Self::Record(_) => "record".to_owned(),
            Self::AtRest(planned) => checked(planned.scenario, engine),
            Self::CleanAtRest(scenario) => checked(*scenario, engine),
            Self::Refused(planned) => checked(planned.scenario, engine),
            Self::EnterChecked => checked(Scenario::NORMAL_AT_REST, engine),
        }
    }

    pub fn class(&self) -> Class {
        match self {
            Self::Fault(_) => Class::Fault,
            Self::AtRest(_) | Self::Refused(_) => Class::AtRest,
            Self::CleanAtRest(_) | Self::EnterChecked => Class::CleanAtRest,
            Self::Clean(_) | Self::CleanLoad(_) => Class::Clean,
            Self::Purgatory { .. } => Class::Purgatory,
            Self::Unverified(..) | Self::Direct(_) => Class::Unverified,
            Self::Dump(_) => Class::Dump,
            Self::NoDump(_) => Class::NoDump,
            Self::Record(_) => Class::Record,
            Self::Coverage(_) | Self::Mmio => Class::Other,
        }
    }

    /// Runs the trial; fails if it does not end as it should.
    pub fn run(&self, setting: &Setting<'_>, scenes: &Scenes) -> Result<()> {
        match *self {
            Self::Fault(planned) => {
                let scene = scenes.get(planned.scenario)?;
                let (changes, damaged) = choose(setting, scene, planned.fault)?;
                changed(setting, scene, &changes, planned.panic)?
                    .check_mismatch(&damaged, planned.panic)
                    .with_context(|| addresses(&changes))
            }
            Self::Direct(planned) => {
                let scene = scenes.get(planned.scenario)?;
                let (changes, _) = choose(setting, scene, planned.fault)?;
                let outcome = changed(setting, scene, &changes, planned.panic)?;
                ensure!(
                    outcome.said.is_empty(),
                    "a purgatory said {:?}",
                    outcome.said
                );
                outcome.check_entered().with_context(|| addresses(&changes))
            }
            Self::Clean(scenario) => {
                let scene = scenes.get(scenario)?;
                changed(setting, scene, &[], KEEP_PANIC)?.check_entered()
            }
            Self::CleanLoad(purpose) => {
                let mut machine = scenes.ready.spawn()?;
                let image = setting.load(&mut machine, purpose)?;
                let (_, word) = purpose.words();
                machine.type_line(word)?;
                let entry = image.entry()?;
                outcome::follow(&mut machine, entry)?.check_entered()?;
                outcome::check_boots(&mut machine, entry, &setting.arrival)?;
                record::check(&machine.log(), scenes.name)
            }
            Self::Dump(planned) => {
                let scene = scenes.get(planned.scenario)?;
                let (changes, damaged) = choose(setting, scene, planned.fault)?;
                let mut machine = with_changes(scene, &changes)?;
                leave(&mut machine, scene)?;
                dump::check(&mut machine, &damaged).with_context(|| addresses(&changes))
            }
            Self::NoDump(planned) => {
                let scene = scenes.get(planned.scenario)?;
                let (changes, mut damaged) = choose(setting, scene, planned.fault)?;
                let crash = scenes.get(Scenario::CRASH_AT_REST)?;
                let (more, damaged_too) = choose(setting, crash, planned.fault)?;
                damaged.extend(damaged_too);
                let mut machine = with_changes(scene, &changes)?;
                for change in &more {
                    crash.write(&mut machine, change.address, &change.after)?;
                }
                set_panic(setting, &mut machine, scene, planned.panic)?;
                leave(&mut machine, scene)?;
                let outcome = outcome::follow(&mut machine, scene.image.entry()?)?;
                dump::check_entered(&outcome.said)?;
                outcome
                    .check_mismatch(&damaged, planned.panic)
                    .with_context(|| addresses(&[changes, more].concat()))
            }
            Self::Record(damage) => {
                let scene = scenes.get(Scenario::NORMAL_BEFORE_CHECK)?;
                let mut machine = scene.template.spawn()?;
                let entry = scene.image.entry()?;
                outcome::follow(&mut machine, entry)?.check_entered()?;
                damage.apply(&mut machine)?;
                outcome::check_boots(&mut machine, entry, &setting.arrival)?;
                damage.check(&machine.log())
            }
            Self::AtRest(planned) => {
                let scene = scenes.get(planned.scenario)?;
                let (changes, damaged) = choose(setting, scene, planned.fault)?;
                let mut machine = with_changes(scene, &changes)?;
                at_rest::check(&mut machine, planned.scenario.purpose, &damaged)
                    .with_context(|| addresses(&changes))
            }
            Self::CleanAtRest(scenario) => {
                let mut machine = scenes.get(scenario)?.template.spawn()?;
                at_rest::check(&mut machine, scenario.purpose, &[])
            }
            Self::EnterChecked => {
                let scene = scenes.get(Scenario::NORMAL_AT_REST)?;
                let mut machine = scene.template.spawn()?;
                machine.type_line("enter-checked")?;
                outcome::follow(&mut machine, scene.image.entry()?)?.check_entered()?;
                ensure!(
                    machine
                        .log()
                        .lines()
                        .any(|line| line.ends_with(" bytes intact at rest")),
                    "the image was entered unchecked"
                );
                Ok(())
            }
            Self::Refused(planned) => {
                let scene = scenes.get(planned.scenario)?;
                let (changes, damaged) = choose(setting, scene, planned.fault)?;
                let mut machine = with_changes(scene, &changes)?;
                machine.type_line("enter-checked")?;
                machine.run_until("guest: refused")?;
                at_rest::check_logged(&machine.log(), planned.scenario.purpose, &damaged)?;
                // The guest keeps running.
                at_rest::check(&mut machine, planned.scenario.purpose, &damaged)
                    .with_context(|| addresses(&changes))
            }
            Self::Coverage(scenario) => coverage(setting, scenes.get(scenario)?),
            Self::Purgatory {
                scenario,
                damage,
                panic,
            } => damaged_purgatory(setting, scenes.get(scenario)?, damage, panic),
            Self::Unverified(scenario) => {
                let scene = scenes.get(scenario)?;
                let address = scene.image.segment(RegionKind::Kernel)?.end();
                let before = scene.read(address, 1)?;
                let after = vec![!before[0]];
                let change = Change {
                    address,
                    before,
                    after,
                };
                changed(setting, scene, &[change], KEEP_PANIC)?.check_entered()
            }
            Self::Mmio => mmio::run(setting, scenes),
        }
    }
}

/// Draws a fault. If it has no effect, draws another one.
fn choose(
    setting: &Setting<'_>,
    scene: &Scene,
    fault: Fault,
) -> Result<(Vec<Change>, Vec<Segment>)> {
    let regions = setting.regions(&scene.image);
    for attempt in 0..ATTEMPTS {
        let fault = Fault {
            seed: fault.seed.wrapping_add(attempt),
            ..fault
        };
        let changes = fault.changes(&regions, |address, length| scene.read(address, length))?;
        let damaged = damaged(&regions, &changes);
        if !damaged.is_empty() {
            return Ok((changes, damaged));
        }
    }
    bail!("no fault like this would change a byte")
}

/// Makes a machine from a scene, changes its image, and lets it run.
fn changed(
    setting: &Setting<'_>,
    scene: &Scene,
    changes: &[Change],
    panic: i32,
) -> Result<Outcome> {
    let mut machine = with_changes(scene, changes)?;
    set_panic(setting, &mut machine, scene, panic)?;
    leave_out_crash_image(setting, &mut machine, scene)?;
    leave(&mut machine, scene)?;
    outcome::follow(&mut machine, scene.image.entry()?)
}

/// Makes a machine from a scene, and changes its image.
fn with_changes(scene: &Scene, changes: &[Change]) -> Result<Machine> {
    let mut machine = scene.template.spawn()?;
    for change in changes {
        scene.write(&mut machine, change.address, &change.after)?;
    }
    Ok(machine)
}

fn addresses(changes: &[Change]) -> String {
    let addresses: Vec<String> = changes
        .iter()
        .map(|change| format!("{:#x}", change.address))
        .collect();
    format!("changed at {}", addresses.join(", "))
}

/// Compares the regions that the purgatory is told to verify with the segments that the kernel has
/// loaded.
fn coverage(setting: &Setting<'_>, scene: &Scene) -> Result<()> {
    let mut told = Purgatory::read(scene)?.regions()?;
    let mut wanted: Vec<_> = setting
        .regions(&scene.image)
        .iter()
        .map(|segment| (Some(segment.kind), segment.start, segment.length))
        .collect();
    told.sort_by_key(|region| region.1);
    wanted.sort_by_key(|region| region.1);
    ensure!(told == wanted, "verifies {told:x?} in place of {wanted:x?}");
    Ok(())
}

fn damaged_purgatory(
    setting: &Setting<'_>,
    scene: &Scene,
    damage: &Damage,
    panic: i32,
) -> Result<()> {
    let mut purgatory = Purgatory::read(scene)?;
    let before = purgatory.bytes();
    damage.apply(&mut purgatory, &setting.regions(&scene.image));
    let change = Change {
        address: purgatory.base,
        before,
        after: purgatory.bytes(),
    };
    ensure!(change.before != change.after, "nothing was damaged");
    let outcome = changed(setting, scene, &[change], panic)?;
    match damage.expected {
        Expected::Refused(reason) => outcome.check_refused(reason, panic),
        Expected::RefusedSomehow => outcome.check_refused("", panic),
    }
}

/// Sets the value of `panic=` that the kernel that is left, or the purgatory, uses.
fn set_panic(
    setting: &Setting<'_>,
    machine: &mut Machine,
    scene: &Scene,
    seconds: i32,
) -> Result<()> {
    match scene.scenario.stage {
        Stage::AtRest | Stage::BeforeCopy => {
            let address = setting.symbols.physical("panic_timeout")?;
            machine
                .gdb
                .write(Space::Physical, address, &seconds.to_le_bytes())
        }
        // The low half of the register has the value.
        Stage::BeforeCheck => {
            const PANIC_TIMEOUT: u64 = 0xffff_ffff;
            let rsi = machine.gdb.registers()?.get("rsi")? & !PANIC_TIMEOUT;
            machine
                .gdb
                .set_register("rsi", rsi | u64::from(seconds as u32))
        }
    }
}

/// Makes a mismatch end as if there were no crash image.
fn leave_out_crash_image(
    setting: &Setting<'_>,
    machine: &mut Machine,
    scene: &Scene,
) -> Result<()> {
    match scene.scenario.stage {
        Stage::AtRest | Stage::BeforeCopy => {
            let address = setting.symbols.physical("kexec_mismatch_crash")?;
            machine.gdb.write(Space::Physical, address, &[0])
        }
        Stage::BeforeCheck => machine.gdb.set_register("rcx", 0),
    }
}

/// Types the command that makes a guest leave its kernel, unless it has left it already.
fn leave(machine: &mut Machine, scene: &Scene) -> Result<()> {
    if scene.scenario.stage == Stage::AtRest {
        let (_, word) = scene.scenario.purpose.words();
        machine.type_line(word)?;
    }
    Ok(())
}
