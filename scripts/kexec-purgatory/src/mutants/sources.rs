// SPDX-License-Identifier: GPL-2.0-only

//! A copy of the purgatory's sources that mutants are applied to. The checkout does not change.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::list::Mutant;
use crate::bare::SOURCES;
use crate::files;
use crate::layout::Layout;

/// The copy.
pub struct Sources {
    folder: PathBuf,
}

/// A mutant that is applied to the copy until this value is dropped.
pub struct Applied {
    path: PathBuf,
    original: String,
}

impl Sources {
    /// Makes the copy in `folder`, which is emptied first. It should be the same directory each
    /// time, so that Cargo finds what it built before.
    pub fn copy(layout: &Layout, folder: PathBuf) -> Result<Self> {
        files::empty(&folder)?;
        let from = layout.overlay.join(SOURCES);
        for path in files::below(&from)? {
            let to = folder.join(path.strip_prefix(&from)?);
            fs::create_dir_all(to.parent().unwrap_or(&folder))?;
            fs::copy(&path, &to).with_context(|| format!("cannot copy {}", path.display()))?;
        }
        Ok(Self { folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Applies a mutant until the result is dropped. Fails unless the mutant's text occurs exactly
    /// once in its file.
    pub fn apply(&self, mutant: &Mutant) -> Result<Applied> {
        let path = self.folder.join(&mutant.file);
        let original = fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", mutant.file.display()))?;
        fs::write(&path, mutant.mutated(&original)?)?;
        Ok(Applied { path, original })
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.original) {
            eprintln!("cannot restore {}: {error}", self.path.display());
        }
    }
}
