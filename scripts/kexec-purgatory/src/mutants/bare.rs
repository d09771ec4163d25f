// SPDX-License-Identifier: GPL-2.0-only

//! Mutants of what only runs in ring 0, which the cases on a machine without a kernel notice.

use anyhow::{Context, Result};

use super::{Fate, Sources};
use crate::bare::{Bare, Blob, CASES};
use crate::layout::Layout;

/// The cases of [`crate::bare`] with the purgatory of a mutant.
pub struct BareTests<'a> {
    layout: &'a Layout,
    sources: &'a Sources,
}

impl<'a> BareTests<'a> {
    /// Makes sure that the cases pass without a mutant.
    pub fn new(layout: &'a Layout, sources: &'a Sources) -> Result<Self> {
        let this = Self { layout, sources };
        let bare = this.bare()?;
        for (name, case) in CASES {
            case(&bare).with_context(|| format!("{name} fails without a mutant"))?;
        }
        Ok(this)
    }

    /// Runs the cases until one fails.
    pub fn run(&self) -> Result<Fate> {
        let bare = self.bare()?;
        let killer = CASES.iter().find(|(_, case)| case(&bare).is_err());
        Ok(killer.map_or(Fate::Survived, |(name, _)| {
            Fate::Killed(format!("bare: {name}"))
        }))
    }

    fn bare(&self) -> Result<Bare> {
        let blob = Blob::build(self.layout, self.sources.folder())?;
        Bare::new(self.layout, blob)
    }
}
