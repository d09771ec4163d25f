// SPDX-License-Identifier: GPL-2.0-only

//! The record, in the kernel tree, of what is grafted on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::patch::Patch;
use crate::files;

/// The record's name, at the top of the tree.
pub const FILE: &str = ".kexec-purgatory-graft";

/// The version of the record that this tool reads and writes.
const VERSION: u32 = 1;

/// What is grafted on a tree.
#[derive(Clone, Deserialize, Serialize)]
pub struct Grafted {
    version: u32,
    /// Path in the tree and what it points to.
    pub links: BTreeMap<PathBuf, PathBuf>,
    /// Directories that were made for the links.
    pub folders: BTreeSet<PathBuf>,
    /// In the order in which they were applied.
    pub patches: Vec<Patch>,
    /// A patch that is being applied on top of these, or taken back. If that was interrupted, none,
    /// some or all of its files are changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changing: Option<Patch>,
}

impl Default for Grafted {
    fn default() -> Self {
        Self {
            version: VERSION,
            links: BTreeMap::new(),
            folders: BTreeSet::new(),
            patches: Vec::new(),
            changing: None,
        }
    }
}

impl Grafted {
    /// Reads a tree's record; None if nothing is grafted on it.
    pub fn load(tree: &Path) -> Result<Option<Self>> {
        let path = tree.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let grafted: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged", path.display()))?;
        if grafted.version != VERSION {
            bail!(
                "{} has version {}, this tool knows {VERSION}; \
                 ungraft with the tool that grafted",
                path.display(),
                grafted.version
            );
        }
        Ok(Some(grafted))
    }

    /// Writes the record. Call this before each change of the tree.
    pub fn save(&self, tree: &Path) -> Result<()> {
        files::replace(&tree.join(FILE), serde_json::to_string_pretty(self)?)
    }

    /// Removes the record.
    pub fn remove(tree: &Path) -> Result<()> {
        files::remove(&tree.join(FILE))
    }
}
