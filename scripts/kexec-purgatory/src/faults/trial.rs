// SPDX-License-Identifier: GPL-2.0-only

//! One machine on its way to the next kernel, with a fault or without.

use anyhow::{Context, Result};

use super::fault::{Fault, damaged};
use super::outcome;
use super::plan::Planned;
use super::stage::{Scenario, Scene, Scenes, Setting, Stage};
use crate::guest::Purpose;
use crate::machine::Machine;
use crate::machine::gdb::Space;

/// How often a fault is chosen anew that would change nothing, such as zeroing a page of zeros.
const ATTEMPTS: u64 = 64;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub enum Trial {
    /// A fault in a verified image.
    Fault(Planned),
    /// An image that was loaded before, and is not touched.
    Clean(Scenario),
    /// An image that is loaded, and not touched.
    CleanLoad(Purpose),
}

/// Clean trials: every other one loads its image.
pub fn clean(count: usize) -> impl Iterator<Item = Trial> {
    (0..count).map(|number| match number / 2 {
        load if number % 2 == 0 => Trial::CleanLoad([Purpose::Crash, Purpose::Enter][load % 2]),
        check => Trial::Clean(Scenario::ALL[check % Scenario::ALL.len()]),
    })
}

impl Trial {
    pub fn name(&self) -> String {
        match self {
            Self::Fault(planned) => format!(
                "{}: {}, engine {}: {}, panic={}",
                planned.number,
                planned.scenario.name(),
                planned.engine.name(),
                planned.fault,
                planned.panic
            ),
            Self::Clean(scenario) => format!("clean {}", scenario.name()),
            Self::CleanLoad(purpose) => format!("clean load of a {} image", purpose.name()),
        }
    }

    /// Runs the trial; fails if it does not end as it should.
    pub fn run(&self, setting: &Setting<'_>, scenes: &Scenes) -> Result<()> {
        match *self {
            Self::Fault(planned) => {
                let scene = scenes.get(planned.scenario)?;
                inject(setting, scene, planned)
            }
            Self::Clean(scenario) => {
                let scene = scenes.get(scenario)?;
                let mut machine = scene.template.spawn()?;
                leave(&mut machine, scene)?;
                outcome::follow(&mut machine, scene.image.entry()?)?.check_entered()
            }
            Self::CleanLoad(purpose) => {
                let mut machine = scenes.ready.spawn()?;
                let image = setting.load(&mut machine, purpose)?;
                let (_, word) = purpose.words();
                machine.type_line(word)?;
                outcome::follow(&mut machine, image.entry()?)?.check_entered()
            }
        }
    }
}

fn inject(setting: &Setting<'_>, scene: &Scene, planned: Planned) -> Result<()> {
    let regions = setting.regions(&scene.image);
    // What has no effect is not counted as a fault: another one is drawn.
    let (changes, damaged) = (0..ATTEMPTS)
        .map(|attempt| {
            let fault = Fault {
                seed: planned.fault.seed.wrapping_add(attempt),
                ..planned.fault
            };
            let changes = fault.changes(&regions, |address, length| scene.read(address, length))?;
            let damaged = damaged(&regions, &changes);
            Ok((changes, damaged))
        })
        .find(|drawn: &Result<_>| !matches!(drawn, Ok((_, damaged)) if damaged.is_empty()))
        .context("no fault like this would change a byte")??;

    let mut machine = scene.template.spawn()?;
    for change in &changes {
        scene.write(&mut machine, change.address, &change.after)?;
    }
    set_panic(setting, &mut machine, scene, planned.panic)?;
    leave(&mut machine, scene)?;
    outcome::follow(&mut machine, scene.image.entry()?)?
        .check_mismatch(&damaged, planned.panic)
        .with_context(|| {
            let addresses: Vec<String> = changes
                .iter()
                .map(|change| format!("{:#x}", change.address))
                .collect();
            format!("changed at {}", addresses.join(", "))
        })
}

/// Sets what the kernel that is left, or the purgatory, thinks `panic=` is.
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
        Stage::BeforeCheck => machine.gdb.set_register("rsi", i64::from(seconds) as u64),
    }
}

/// Types the command that has a guest leave its kernel, where it has not left it yet.
fn leave(machine: &mut Machine, scene: &Scene) -> Result<()> {
    if scene.scenario.stage == Stage::AtRest {
        let (_, word) = scene.scenario.purpose.words();
        machine.type_line(word)?;
    }
    Ok(())
}
