// SPDX-License-Identifier: GPL-2.0-only

//! Mutants of code that only runs in ring 0. The cases on a machine without a kernel must notice
//! them.

use std::io;

use anyhow::{Context, Error, Result};

use super::{Fate, Sources};
use crate::bare::{Bare, Purgatory, cases};
use crate::layout::Layout;

/// The cases of [`crate::bare`] with the purgatory of a mutant.
pub struct BareTests<'a> {
    layout: &'a Layout,
    sources: &'a Sources,
    /// The purgatory without a mutant.
    original: Bare,
}

impl<'a> BareTests<'a> {
    /// Builds the purgatory without a mutant.
    pub fn new(layout: &'a Layout, sources: &'a Sources) -> Result<Self> {
        Ok(Self {
            layout,
            sources,
            original: bare(layout, sources)?,
        })
    }

    /// Runs the cases until one fails. That one must pass without the mutant.
    pub fn run(&self) -> Result<Fate> {
        let mutant = bare(self.layout, self.sources)?;
        for case in cases() {
            match case.run(&mutant) {
                Ok(()) => {}
                Err(error) if is_of_the_system(&error) => return Err(error.context(case.name)),
                Err(_) => {
                    case.run(&self.original)
                        .with_context(|| format!("{} fails without a mutant", case.name))?;
                    return Ok(Fate::Killed(format!("bare: {}", case.name)));
                }
            }
        }
        Ok(Fate::Survived)
    }
}

fn bare(layout: &Layout, sources: &Sources) -> Result<Bare> {
    let purgatory = Purgatory::build(layout, sources.folder(), None)?;
    Bare::new(layout, purgatory)
}

/// Whether a case failed because of something that it needs, such as an emulator that works and
/// ends in time or room for a file, and not because of the purgatory.
fn is_of_the_system(error: &Error) -> bool {
    error.chain().any(|cause| cause.is::<io::Error>())
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::bare::run_result::gave_up;

    #[test]
    fn what_the_system_did_is_no_verdict() {
        let full = Error::from(io::Error::from(io::ErrorKind::StorageFull));
        assert!(is_of_the_system(&full.context("cannot write the image")));
        assert!(is_of_the_system(&gave_up("QEMU").context("CR4")));
        assert!(!is_of_the_system(
            &anyhow!("ended Halted, not Entered").context("CR4")
        ));
    }
}
