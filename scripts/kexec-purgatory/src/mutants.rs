// SPDX-License-Identifier: GPL-2.0-only

//! Mutation of the checker: the purgatory with one thing wrong, which the tests must notice.

mod bare;
mod host;
mod list;
mod sources;

use anyhow::{Context, Result, ensure};
use comfy_table::{ContentArrangement, Table, presets::ASCII_MARKDOWN};

use self::bare::BareTests;
use self::host::HostTests;
use self::list::{Mutant, Tests};
use self::sources::Sources;
use crate::layout::Layout;
use crate::progress::Step;

/// Width of the table in columns.
const WIDTH: u16 = 100;

/// What became of a mutant.
pub enum Fate {
    /// By the test of that name.
    Killed(String),
    Survived,
    /// This machine cannot run what it changes.
    NotRun(&'static str),
}

/// Which mutants are tried.
#[derive(Clone, Copy)]
pub enum Selection<'a> {
    All,
    /// Those whose name has this text.
    Named(&'a str),
    /// Those that stand for the others where time matters.
    Quick,
}

impl Selection<'_> {
    fn has(self, mutant: &Mutant) -> bool {
        match self {
            Self::All => true,
            Self::Named(text) => mutant.name.contains(text),
            Self::Quick => mutant.quick,
        }
    }
}

/// Tries mutants and prints a table; says whether none survived.
pub fn run(layout: &Layout, selection: Selection<'_>) -> Result<bool> {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH)
        .set_header(["mutant", "what it changes", "file", "killed by"]);
    let (mut tried, mut killed, mut survived) = (0, 0, 0);
    each(layout, selection, |mutant, fate| {
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
            Ok(Fate::NotRun(why)) => format!("not run: {why}"),
            Err(error) => {
                eprintln!("error: {error:#}");
                survived += 1;
                "SURVIVED: it could not be tried".to_owned()
            }
        };
        tried += 1;
        table.add_row([
            &mutant.name,
            &mutant.change,
            &*mutant.file.to_string_lossy(),
            &by,
        ]);
        Ok(())
    })?;
    println!("{table}");
    let not_run = tried - killed - survived;
    if not_run > 0 {
        println!("{not_run} not run, for want of what the table names");
    }
    println!("{tried} mutants, {killed} killed, {survived} survived");
    Ok(survived == 0)
}

/// Tries mutants one by one and hands each to `report` with what became of it.
pub fn each(
    layout: &Layout,
    selection: Selection<'_>,
    mut report: impl FnMut(&Mutant, Result<Fate>) -> Result<()>,
) -> Result<()> {
    let mut mutants = list::read(layout)?;
    // A mutant that no longer applies is an error whichever are selected.
    let sources = Sources::copy(layout)?;
    for mutant in &mutants {
        sources.mutated(mutant)?;
    }
    mutants.retain(|mutant| selection.has(mutant));
    ensure!(!mutants.is_empty(), "there is no such mutant");

    let mut step = Step::start(format!("try {} mutants", mutants.len()));
    for tests in [Tests::Bare, Tests::Host] {
        let mut chosen = mutants.iter().filter(|m| m.tests == tests).peekable();
        if chosen.peek().is_none() {
            continue;
        }
        let killer = match tests {
            Tests::Host => Killer::Host(HostTests::new(layout, &sources)?),
            Tests::Bare => Killer::Bare(BareTests::new(layout, &sources)?),
        };
        for mutant in chosen {
            step.line(&mutant.name);
            let fate =
                one(&sources, mutant, &killer).with_context(|| format!("mutant {}", mutant.name));
            report(mutant, fate)?;
        }
    }
    step.done();
    Ok(())
}

/// Tests with the sources that a mutant is applied to.
enum Killer<'a> {
    Host(HostTests<'a>),
    Bare(BareTests<'a>),
}

fn one(sources: &Sources, mutant: &Mutant, killer: &Killer<'_>) -> Result<Fate> {
    if let Some(why) = mutant.needs.and_then(|needs| needs.missing()) {
        return Ok(Fate::NotRun(why));
    }
    let text = sources.mutated(mutant)?;
    let _applied = sources.apply(mutant, &text)?;
    match killer {
        Killer::Host(tests) => tests.run(),
        Killer::Bare(tests) => tests.run(),
    }
}
