// SPDX-License-Identifier: GPL-2.0-only

//! Mutants of the checker, some of each kind; `make mutants` tries them all.

use anyhow::{Result, bail};

use super::Report;
use crate::layout::Layout;
use crate::mutants::{self, Fate, Selection};

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
    mutants::each(layout, Selection::Quick, |mutant, fate| {
        let name = format!("mutants/{}", mutant.name);
        match fate {
            Ok(Fate::NotRun(why)) => report.skip(&name, why),
            fate => report.record(&name, fate.and_then(killed)),
        }
        Ok(())
    })
}

fn killed(fate: Fate) -> Result<()> {
    match fate {
        Fate::Killed(_) => Ok(()),
        Fate::Survived => bail!("no test notices"),
        Fate::NotRun(why) => bail!("not run: {why}"),
    }
}
