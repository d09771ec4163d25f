// SPDX-License-Identifier: GPL-2.0-only

//! A patch of a graft.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::checksum;
use crate::command::{command, output};

/// A patch, with the text that was applied, so that it can be taken back.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
pub struct Patch {
    pub name: String,
    pub sha256: String,
    text: String,
}

impl Patch {
    /// Reads the patches in a folder.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>> {
        files(folder)?
            .iter()
            .map(|path| {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Ok(Self {
                    name: path
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into(),
                    sha256: checksum::of_bytes(text.as_bytes()),
                    text,
                })
            })
            .collect()
    }

    /// Has git apply it to a tree.
    pub fn apply(&self, tree: &Path, options: &[&str]) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(self.text.as_bytes())?;
        output(
            command("git")
                // The tree may lie inside another repository, whose folders are not the patch's.
                .env("GIT_DIR", "/dev/null")
                .args(["apply", "--whitespace=nowarn"])
                .args(options)
                .arg(file.path())
                .current_dir(tree),
        )?;
        Ok(())
    }
}

/// The patches in a folder, in the order in which they apply.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut patches = Vec::new();
    for entry in folder.read_dir().into_iter().flatten() {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "patch")
        {
            patches.push(path);
        }
    }
    patches.sort();
    Ok(patches)
}
