// SPDX-License-Identifier: GPL-2.0-only

//! The patches of a graft.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::grafted::Grafted;
use crate::command::{command, output};
use crate::files;

/// A patch, with the text that was applied, so that it can be reverted.
#[derive(Clone, Deserialize, PartialEq, Serialize)]
pub struct Patch {
    pub name: String,
    pub sha256: String,
    text: String,
}

impl Patch {
    /// Reads the patches in a directory.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>> {
        files(folder)?
            .iter()
            .map(|path| {
                let text = files::read_text(path)?;
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                Ok(Self::new(name.into(), text))
            })
            .collect()
    }

    /// Reads the patches in a directory that fix the released kernel. They come before all others.
    pub fn fixes(folder: &Path) -> Result<Vec<Self>> {
        let all = Self::read_all(folder)?;
        let fixes: Vec<Self> = all.iter().filter(|patch| patch.is_fix()).cloned().collect();
        ensure!(
            all.starts_with(&fixes),
            "a patch that fixes the kernel comes after one that does not"
        );
        Ok(fixes)
    }

    /// Whether it fixes the released kernel: such a patch names the commit that it fixes.
    fn is_fix(&self) -> bool {
        self.text.lines().any(|line| line.starts_with("Fixes: "))
    }

    /// A patch that is in no file.
    pub fn new(name: String, text: String) -> Self {
        Self {
            name,
            sha256: files::checksum_of_bytes(text.as_bytes()),
            text,
        }
    }

    /// The lines that it adds to a file, each with its newline.
    pub fn added(&self, path: &Path) -> String {
        let header = format!("+++ b/{}", path.display());
        let mut inside = false;
        let mut added = String::new();
        for line in self.text.lines() {
            if line.starts_with("+++ ") {
                inside = line == header;
            } else if inside && let Some(text) = line.strip_prefix('+') {
                added += text;
                added.push('\n');
            }
        }
        added
    }

    /// Makes git apply it to a tree.
    pub fn apply(&self, tree: &Path, options: &[&str]) -> Result<()> {
        let mut file = tempfile::NamedTempFile::new()?;
        file.write_all(self.text.as_bytes())?;
        output(
            command("git")
                // The tree may be inside another repository, whose directories are not the patch's.
                .env("GIT_DIR", "/dev/null")
                .args(["apply", "--whitespace=nowarn"])
                .args(options)
                .arg(file.path())
                .current_dir(tree),
        )?;
        Ok(())
    }

    /// Takes back what an interrupted run has applied.
    fn take_back(&self, tree: &Path) -> Result<()> {
        for file in changed_by(&self.text) {
            let only = format!("--include={file}");
            if self.apply(tree, &["--reverse", &only]).is_err() {
                self.apply(tree, &["--check", &only]).with_context(|| {
                    format!(
                        "{file} is neither with nor without {}, \
                         which an interrupted run applied or took back; restore the file",
                        self.name
                    )
                })?;
            }
        }
        Ok(())
    }
}

/// The files that a patch changes, by their paths in the kernel tree.
pub fn changed(patch: &Path) -> Result<Vec<String>> {
    let text = files::read_text(patch)?;
    Ok(changed_by(&text).map(str::to_owned).collect())
}

fn changed_by(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("--- a/"))
}

/// The patches in a directory, in the order in which they apply. A directory that does not exist
/// has none.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    match folder.exists() {
        true => files::with_extension(folder, "patch"),
        false => Ok(Vec::new()),
    }
}

/// Takes back the patch that an interrupted run was applying or taking back.
pub fn recover(tree: &Path, grafted: &mut Grafted) -> Result<()> {
    if let Some(patch) = &grafted.changing {
        patch.take_back(tree)?;
        grafted.changing = None;
        grafted.save(tree)?;
    }
    Ok(())
}

/// Makes the applied patches match `wanted`. Leading patches that are the same stay applied.
pub fn replace(tree: &Path, grafted: &mut Grafted, wanted: &[Patch]) -> Result<()> {
    let same = grafted
        .patches
        .iter()
        .zip(wanted)
        .take_while(|(old, new)| old == new)
        .count();
    while let Some(patch) = grafted.patches[same..].last().cloned() {
        patch
            .apply(tree, &["--reverse", "--check"])
            .with_context(|| {
                format!(
                    "{} cannot be taken back: the files that it changed were edited since",
                    patch.name
                )
            })?;
        grafted.patches.pop();
        begin(tree, grafted, &patch)?;
        patch.apply(tree, &["--reverse"])?;
        grafted.changing = None;
        grafted.save(tree)?;
    }
    for patch in &wanted[same..] {
        patch
            .apply(tree, &["--check"])
            .with_context(|| format!("{} does not apply to {}", patch.name, tree.display()))?;
        begin(tree, grafted, patch)?;
        patch.apply(tree, &[])?;
        grafted.changing = None;
        grafted.patches.push(patch.clone());
        grafted.save(tree)?;
    }
    Ok(())
}

/// Records that a patch is about to be applied or taken back.
pub fn begin(tree: &Path, grafted: &mut Grafted, patch: &Patch) -> Result<()> {
    grafted.changing = Some(patch.clone());
    grafted.save(tree)
}
