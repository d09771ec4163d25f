// SPDX-License-Identifier: GPL-2.0-only

//! Checks whether a kernel tree is clean.

use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{command, output};
use crate::exit::misuse;

/// Files that an in-tree build leaves.
const BUILT: &[&str] = &[".config", "include/config", "include/generated"];

/// Checks that nothing was changed or built in the tree.
pub fn check_clean(tree: &Path) -> Result<()> {
    if let Some(file) = BUILT.iter().find(|file| tree.join(file).exists()) {
        misuse!(
            "{} was built in ({file} is there), and the overlay is built with O=;\n\
             run make mrproper in it",
            tree.display()
        );
    }
    if !tree.join(".git").exists() {
        return Ok(());
    }
    let changes = output(
        command("git")
            .args(["status", "--porcelain"])
            .current_dir(tree),
    )
    .context("cannot tell whether the tree is clean")?;
    if !changes.is_empty() {
        misuse!(
            "{} has changes of its own:\n{}Commit or stash them, or use a clean worktree.",
            tree.display(),
            changes
        );
    }
    Ok(())
}
