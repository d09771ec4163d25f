// SPDX-License-Identifier: GPL-2.0-only

//! The mutants, as the files in `mutants/` describe them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::engines::{EngineKind, supports};
use crate::files;
use crate::layout::Layout;
use crate::processors::ThisMachine;

/// One change of the sources.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    #[serde(skip)]
    pub name: String,
    /// What is wrong in it, for the table.
    pub change: String,
    /// The file that it changes: relative to `arch/x86/purgatory/rust`, or to the top of the kernel
    /// tree if the tests are those of a booted kernel.
    #[serde(skip)]
    pub file: PathBuf,
    /// Text that occurs once in the file.
    pub find: String,
    /// The text that replaces it.
    pub replace: String,
    /// The tests that must notice.
    #[serde(skip)]
    pub tests: Tests,
    /// The engine that the tests must be able to run to notice.
    pub engine: Option<String>,
    /// Whether every run of the tests tries it.
    #[serde(default)]
    pub quick: bool,
}

impl Mutant {
    /// Why its tests cannot notice it on this machine, if they cannot.
    pub fn not_run(&self) -> Option<String> {
        let engine = self.engine.as_ref()?;
        let kind = EngineKind::ALL.iter().find(|kind| kind.name() == engine)?;
        let runs = self.tests != Tests::Host || supports(&ThisMachine, *kind);
        (!runs).then(|| format!("this CPU does not have what {engine} needs"))
    }

    /// The text of its file with the mutant applied.
    pub fn mutated(&self, text: &str) -> Result<String> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            count => bail!(
                "{} has the text to replace {count} times, not once; \
                 change the mutant with the source",
                self.file.display()
            ),
        }
    }
}

/// Tests that notice mutants.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Tests {
    /// Those of `digest-tests`, which run as a process of this machine.
    #[default]
    Host,
    /// Those of [`crate::bare`], which run in QEMU.
    Bare,
    /// Those of [`super::mutant_kernel`], for which a kernel is built and booted.
    Kernel,
}

/// A file of mutants: the tests that must notice all of them, and the mutants of each source file
/// by their names.
#[derive(Deserialize)]
struct File {
    tests: Tests,
    #[serde(flatten)]
    mutants: BTreeMap<PathBuf, BTreeMap<String, Mutant>>,
}

/// Reads all mutants, file by file in the order of the files' names. Those of a source file come in
/// the order of their names.
pub fn read(layout: &Layout) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for path in files::below(&layout.tool("mutants"))? {
        let text = files::read_text(&path)?;
        let file: File =
            toml::from_str(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        for (source, of_source) in file.mutants {
            mutants.extend(of_source.into_iter().map(|(name, mutant)| Mutant {
                name,
                file: source.clone(),
                tests: file.tests,
                ..mutant
            }));
        }
    }
    let mut names = BTreeSet::new();
    for Mutant { name, .. } in &mutants {
        ensure!(names.insert(name), "two mutants are called {name}");
    }
    let engines = mutants.iter().filter_map(|mutant| mutant.engine.as_deref());
    let engines: BTreeSet<_> = engines.collect();
    let known: BTreeSet<_> = EngineKind::ALL.iter().map(|kind| kind.name()).collect();
    ensure!(
        engines == known,
        "there must be mutants of each engine, {known:?}, and of no others than these; \
         there are some of {engines:?}"
    );
    Ok(mutants)
}
