// SPDX-License-Identifier: GPL-2.0-only

//! Mutation tests: the purgatory or the kernel with one thing wrong, which the tests must notice.

mod bare_tests;
pub mod generated;
mod host_tests;
mod list;
mod mutant_kernel;
mod sources;

use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::{Context, Result, bail};
use comfy_table::{ContentArrangement, Table, presets::ASCII_MARKDOWN};

use self::bare_tests::BareTests;
use self::host_tests::HostTests;
pub use self::list::Mutant;
use self::list::Tests;
use self::sources::Sources;
use crate::exit::misuse;
use crate::layout::Layout;
use crate::progress::Step;

/// Width of the table in columns.
const WIDTH: u16 = 100;

/// The result of trying a mutant.
pub enum Fate {
    /// The test of that name noticed it.
    Killed(String),
    Survived,
    /// This machine cannot run the changed code, for this reason.
    NotRun(String),
}

/// Tries the mutants for which `wanted` is true, and prints a table. Returns whether none survived
/// and none ended in an error. After an error, nothing is known about the mutant: its tests did not
/// build, or an emulator failed or did not end.
pub fn run(layout: &Layout, wanted: &dyn Fn(&Mutant) -> bool) -> Result<bool> {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(["mutant", "what it changes", "file", "killed by"]);
    let (mut all, mut killed, mut survived, mut errors) = (0, 0, 0, 0);
    each(layout, wanted, |mutant, fate| {
        let by = match fate {
            Ok(Fate::Killed(test)) => {
                killed += 1;
                test
            }
            Ok(Fate::Survived) => {
                eprintln!("{} survived", mutant.name);
                survived += 1;
                "SURVIVED".to_owned()
            }
            Ok(Fate::NotRun(why)) => format!("skipped: {why}"),
            Err(error) => {
                eprintln!("error: {error:#}");
                errors += 1;
                let why = error.root_cause().to_string();
                format!("ERROR: {}", why.lines().next().unwrap_or_default())
            }
        };
        all += 1;
        table.add_row([
            &mutant.name,
            &mutant.change,
            &*mutant.file.to_string_lossy(),
            &by,
        ]);
    })?;
    println!("{table}");
    let skipped = all - killed - survived - errors;
    println!(
        "{all} mutants, {killed} killed, {survived} survived, {errors} errors, {skipped} skipped"
    );
    Ok(survived + errors == 0)
}

/// The names of the mutants for which `wanted` is true.
pub fn names(layout: &Layout, wanted: &dyn Fn(&Mutant) -> bool) -> Result<Vec<String>> {
    let mutants = list::read(layout)?.into_iter().filter(wanted);
    Ok(mutants.map(|mutant| mutant.name).collect())
}

/// Tries the mutants for which `wanted` is true, and hands each with its result to `report`, in the
/// order in which they end.
pub fn each(
    layout: &Layout,
    wanted: &dyn Fn(&Mutant) -> bool,
    mut report: impl FnMut(&Mutant, Result<Fate>),
) -> Result<()> {
    let mut mutants = list::read(layout)?;
    // A mutant that no longer applies is an error, wanted or not. Tests of the two kinds run side
    // by side, each on its own copy.
    let copy = |name: &str| Sources::copy(layout, layout.build.join("mutants").join(name));
    let (bare, host) = (copy("sources-bare")?, copy("sources-host")?);
    for mutant in &mutants {
        match mutant.tests {
            Tests::Kernel => mutant_kernel::applies(layout, mutant),
            Tests::Host | Tests::Bare => bare.apply(mutant).map(drop),
        }
        .with_context(|| format!("mutant {}", mutant.name))?;
    }
    mutants.retain(wanted);
    if mutants.is_empty() {
        misuse!("no mutant has a name that contains the text of the filter");
    }

    let mut step = Step::start(format!("try {} mutants", mutants.len()));
    let mut ended = |mutant: &Mutant, fate: Result<Fate>| {
        report(
            mutant,
            fate.with_context(|| format!("mutant {}", mutant.name)),
        );
    };
    let of = |tests| mutants.iter().filter(move |m| m.tests == tests);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for (tests, sources) in [(Tests::Bare, &bare), (Tests::Host, &host)] {
            let chosen: Vec<&Mutant> = of(tests).collect();
            let sender = sender.clone();
            scope.spawn(move || {
                if let Err(error) = try_all(layout, tests, sources, &chosen, &sender) {
                    // After another failure there is no receiver.
                    let _ = sender.send(Err(error));
                }
            });
        }
        drop(sender);
        for result in results {
            let (mutant, fate): (&Mutant, _) = result?;
            step.line(&mutant.name);
            ended(mutant, fate);
        }
        anyhow::Ok(())
    })?;
    if of(Tests::Kernel).next().is_some() {
        mutant_kernel::each(layout, of(Tests::Kernel), &mut ended)?;
    }
    step.done();
    Ok(())
}

/// Tries mutants one by one and sends the result of each, until there is no receiver.
fn try_all<'a>(
    layout: &Layout,
    tests: Tests,
    sources: &Sources,
    mutants: &[&'a Mutant],
    results: &Sender<Result<(&'a Mutant, Result<Fate>)>>,
) -> Result<()> {
    if mutants.is_empty() {
        return Ok(());
    }
    let run: Box<dyn Fn() -> Result<Fate>> = match tests {
        Tests::Host => {
            let tests = HostTests::new(layout, sources)?;
            Box::new(move || tests.run())
        }
        Tests::Bare => {
            let tests = BareTests::new(layout, sources)?;
            Box::new(move || tests.run())
        }
        Tests::Kernel => bail!("mutants of the kernel are tried in a booted one"),
    };
    for &mutant in mutants {
        let fate = one(sources, mutant, &run);
        if results.send(Ok((mutant, fate))).is_err() {
            break;
        }
    }
    Ok(())
}

/// Tries a mutant with the tests that `run` runs.
fn one(sources: &Sources, mutant: &Mutant, run: impl Fn() -> Result<Fate>) -> Result<Fate> {
    if let Some(why) = mutant.not_run() {
        return Ok(Fate::NotRun(why));
    }
    let _applied = sources.apply(mutant)?;
    run()
}
