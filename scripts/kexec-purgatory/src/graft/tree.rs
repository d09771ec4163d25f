// SPDX-License-Identifier: GPL-2.0-only

//! Checks whether a directory is a kernel tree that the overlay can be grafted on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{command, output};
use crate::exit::Cause;
use crate::layout::{SERIES, unsupported};

/// Returns an error about a tree that cannot be used.
macro_rules! misuse {
    ($($text:tt)+) => {
        return Err(Cause::Use(format!($($text)+)).into())
    };
}

/// Files that an in-tree build leaves.
const BUILT: &[&str] = &[".config", "include/config", "include/generated"];

/// The series, one of [`SERIES`], of the kernel tree in a directory.
pub fn series(tree: &Path) -> Result<&'static str> {
    let text = fs::read_to_string(tree.join("Makefile")).unwrap_or_default();
    let field = |key: &str| {
        text.lines().take(10).find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim())
        })
    };
    let (Some(version), Some(patchlevel)) = (field("VERSION"), field("PATCHLEVEL")) else {
        misuse!(
            "{} is not a kernel tree; KDIR= takes the top of a source tree of linux {}",
            tree.display(),
            SERIES.join(" or ")
        );
    };
    let found = format!("{version}.{patchlevel}");
    let Some(series) = SERIES.iter().copied().find(|series| *series == found) else {
        misuse!(
            "{} is linux {found}.{}; {}",
            tree.display(),
            field("SUBLEVEL").unwrap_or("0"),
            unsupported()
        );
    };
    Ok(series)
}

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
