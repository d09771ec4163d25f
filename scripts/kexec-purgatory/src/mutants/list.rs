// SPDX-License-Identifier: GPL-2.0-only

//! The mutants, as the files in `mutants/` describe them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::layout::Layout;

/// One change of the purgatory's sources.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    pub name: String,
    /// What is wrong in it, for the table.
    pub change: String,
    /// The file that it changes, below `arch/x86/purgatory/rust`.
    pub file: PathBuf,
    /// Text that the file has once.
    pub find: String,
    /// What stands there in the mutant.
    pub replace: String,
    /// The tests that have to notice.
    pub tests: Tests,
    /// What the processor must have for that.
    pub needs: Option<Feature>,
    /// Whether it is tried with every run of the tests.
    #[serde(default)]
    pub quick: bool,
}

/// Tests that notice mutants.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Tests {
    /// Those of `digest-tests`, which run as a process of this machine.
    Host,
    /// Those of [`crate::bare`], which run in QEMU.
    Bare,
}

/// Instructions of this machine's processor.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    Sha,
    Avx2,
}

impl Feature {
    /// What is missing, if it is.
    pub fn missing(self) -> Option<&'static str> {
        let (has, missing) = match self {
            Self::Sha => (is_x86_feature_detected!("sha"), "no SHA-NI"),
            Self::Avx2 => (is_x86_feature_detected!("avx2"), "no AVX2"),
        };
        (!has).then_some(missing)
    }
}

/// A file of mutants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mutant: Vec<Mutant>,
}

/// Reads all mutants, file by file in the order of their names.
pub fn read(layout: &Layout) -> Result<Vec<Mutant>> {
    let folder = layout.tool("mutants");
    let mut paths = fs::read_dir(&folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    let mut mutants = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path)?;
        let file: File =
            toml::from_str(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        mutants.extend(file.mutant);
    }
    let mut names = BTreeSet::new();
    for Mutant { name, .. } in &mutants {
        ensure!(names.insert(name), "two mutants are called {name}");
    }
    Ok(mutants)
}
