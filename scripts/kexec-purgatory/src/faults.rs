// SPDX-License-Identifier: GPL-2.0-only

//! Images that are damaged from outside of the guest, and what the purgatory makes of them.

mod fault;
mod image;
mod outcome;
mod plan;
mod stage;
mod trial;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::{Error, Result};

use self::plan::{Planned, plan};
use self::stage::{ENGINES, Scenes, Setting};
use self::trial::Trial;
use crate::graft;
use crate::guest;
use crate::kernel::{self, Built, Verify};
use crate::layout::Layout;
use crate::machine::memory;
use crate::progress::Step;

/// One clean run for so many faults.
const FAULTS_PER_CLEAN_RUN: usize = 5;

/// Builds a kernel and injects faults; says whether all were detected and nothing else was.
pub fn run(layout: &Layout, count: usize, seed: Option<u64>) -> Result<bool> {
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let tree = graft::kernel_tree(layout, None)?;
    graft::graft(layout, &tree)?;
    let kernel = kernel::build(layout, &tree, None, Verify::Y)?;
    let tally = inject(layout, &kernel, count, seed)?;
    for (trial, error) in &tally.failures {
        println!("FAILED {trial}: {error:#}");
    }
    println!("{}", tally.line());
    Ok(tally.is_good())
}

/// What came of all trials.
#[derive(Default)]
pub struct Tally {
    injected: usize,
    detected: usize,
    clean: usize,
    false_alarms: usize,
    pub failures: Vec<(String, Error)>,
}

impl Tally {
    fn add(&mut self, trial: &Trial, result: Result<()>) {
        match trial {
            Trial::Fault(_) => {
                self.injected += 1;
                self.detected += usize::from(result.is_ok());
            }
            Trial::Clean(_) | Trial::CleanLoad(_) => {
                self.clean += 1;
                self.false_alarms += usize::from(result.is_err());
            }
        }
        if let Err(error) = result {
            self.failures.push((trial.name(), error));
        }
    }

    pub fn line(&self) -> String {
        format!(
            "injected {}, detected {}, missed {}, false alarms {}",
            self.injected,
            self.detected,
            self.injected - self.detected,
            self.false_alarms
        )
    }

    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.injected > 0 && self.detected == self.injected
    }
}

/// Injects faults, the engines one after the other.
pub fn inject(layout: &Layout, kernel: &Built, count: usize, seed: u64) -> Result<Tally> {
    let folder = memory::folder(layout)?;
    let guest = guest::commanded(layout, kernel.image())?;
    let setting = Setting::new(folder.path(), kernel, &guest)?;
    let kinds: Vec<_> = ENGINES.iter().map(|engine| engine.kind).collect();
    let planned: Vec<Planned> = plan(seed, &kinds).take(count).collect();
    let mut tally = Tally::default();
    for &engine in ENGINES {
        let scenes = setting.scenes(engine)?;
        let mut trials: Vec<Trial> = planned
            .iter()
            .filter(|planned| planned.engine == engine.kind)
            .map(|&planned| Trial::Fault(planned))
            .collect();
        trials.extend(trial::clean(
            count.div_ceil(FAULTS_PER_CLEAN_RUN * ENGINES.len()),
        ));
        execute(&setting, &scenes, &trials, &mut tally)?;
    }
    Ok(tally)
}

/// Runs trials, as many at a time as there are processors.
fn execute(
    setting: &Setting<'_>,
    scenes: &Scenes,
    trials: &[Trial],
    tally: &mut Tally,
) -> Result<()> {
    let mut step = Step::start(format!(
        "{} runs, engine {}",
        trials.len(),
        scenes.engine.kind.name()
    ));
    let next = AtomicUsize::new(0);
    let (sender, results) = mpsc::channel();
    let mut ordered = BTreeMap::new();
    thread::scope(|scope| -> Result<()> {
        for _ in 0..thread::available_parallelism()?.get() {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(trial) = trials.get(number) else {
                        break;
                    };
                    let result = trial.run(setting, scenes);
                    if sender.send((number, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (number, result) in results {
            let ended = if result.is_ok() { "ok" } else { "FAILED" };
            step.line(&format!("{}: {ended}", trials[number].name()));
            ordered.insert(number, result);
        }
        Ok(())
    })?;
    for (number, result) in ordered {
        tally.add(&trials[number], result);
    }
    step.done();
    Ok(())
}
