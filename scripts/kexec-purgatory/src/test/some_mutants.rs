// SPDX-License-Identifier: GPL-2.0-only

//! Some mutants of each kind; `make mutants` tries them all.

use anyhow::{Result, bail};

use super::Report;
use crate::layout::Layout;
use crate::mutants::{self, Fate, Mutant, generated};

pub fn names(layout: &Layout) -> Result<Vec<String>> {
    let mutants = mutants::names(layout, &|mutant| mutant.quick)?;
    Ok(mutants.iter().map(|mutant| name(mutant)).collect())
}

/// The group of the mutants that cargo-mutants makes. Only cargo-mutants can list their names.
pub const GENERATED: &str = "cargo-mutants";

pub fn generated_names() -> Vec<String> {
    vec![format!("{GENERATED}/")]
}

pub fn run_generated(layout: &Layout, report: &mut Report) -> Result<()> {
    generated::each(layout, |mutant, fate| {
        report.record(&format!("{GENERATED}/{mutant}"), fate.and_then(killed));
    })
}

fn name(mutant: &str) -> String {
    format!("mutants/{mutant}")
}

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
    let filter = report.filter().clone();
    let wanted = |mutant: &Mutant| mutant.quick && filter.wants(&name(&mutant.name));
    mutants::each(layout, &wanted, |mutant, fate| {
        let name = name(&mutant.name);
        match fate {
            Ok(Fate::NotRun(why)) => report.skip(&name, &why),
            fate => report.record(&name, fate.and_then(killed)),
        }
    })
}

fn killed(fate: Fate) -> Result<()> {
    match fate {
        Fate::Killed(_) => Ok(()),
        Fate::Survived => bail!("no test notices"),
        Fate::NotRun(why) => bail!("not run: {why}"),
    }
}
