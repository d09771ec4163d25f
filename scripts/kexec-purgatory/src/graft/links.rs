// SPDX-License-Identifier: GPL-2.0-only

//! The symbolic links of a graft.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use super::grafted::Grafted;
use crate::exit::misuse;

/// How many of the files in the way a message names.
const NAMED: usize = 10;

/// Checks that no link would replace a file that is not the overlay's.
pub fn check_free(
    tree: &Path,
    grafted: &Grafted,
    wanted: &BTreeMap<PathBuf, PathBuf>,
) -> Result<()> {
    let taken: Vec<String> = wanted
        .keys()
        .filter(|path| !grafted.links.contains_key(*path))
        .filter(|path| tree.join(path).symlink_metadata().is_ok())
        .map(|path| format!("  {}", path.display()))
        .collect();
    if taken.is_empty() {
        return Ok(());
    }
    misuse!(
        "{} has files where the overlay's belong ({} in all):\n{}\n\
         Use a clean tree, or move them away; existing files are changed by patches only.",
        tree.display(),
        taken.len(),
        taken[..taken.len().min(NAMED)].join("\n")
    )
}

/// Makes the links of a tree match `wanted`.
pub fn replace(
    tree: &Path,
    grafted: &mut Grafted,
    wanted: &BTreeMap<PathBuf, PathBuf>,
) -> Result<()> {
    let stale: Vec<PathBuf> = grafted
        .links
        .iter()
        .filter(|(path, target)| wanted.get(*path) != Some(target))
        .map(|(path, _)| path.clone())
        .collect();
    for path in &stale {
        unlink(tree, grafted, path)?;
    }
    for (path, target) in wanted {
        link(tree, grafted, path, target)?;
        if stale.contains(path) {
            // The link's new target may be older than what was built from the old one.
            File::options()
                .append(true)
                .open(target)
                .and_then(|file| file.set_modified(SystemTime::now()))
                .with_context(|| format!("cannot touch {}", target.display()))?;
        }
    }
    let folders: Vec<PathBuf> = grafted.folders.iter().rev().cloned().collect();
    for folder in folders {
        // Fails if the directory is not empty; then it stays.
        if fs::remove_dir(tree.join(&folder)).is_ok() {
            grafted.folders.remove(&folder);
        }
    }
    grafted.save(tree)
}

fn link(tree: &Path, grafted: &mut Grafted, path: &Path, target: &Path) -> Result<()> {
    let link = tree.join(path);
    if link.read_link().is_ok_and(|old| old == target) && grafted.links.contains_key(path) {
        return Ok(());
    }
    for folder in path.ancestors().skip(1) {
        if !folder.as_os_str().is_empty() && !tree.join(folder).exists() {
            grafted.folders.insert(folder.to_path_buf());
        }
    }
    grafted
        .links
        .insert(path.to_path_buf(), target.to_path_buf());
    grafted.save(tree)?;
    fs::create_dir_all(link.parent().context("no folder")?)?;
    symlink(target, &link).with_context(|| format!("cannot link {}", link.display()))
}

fn unlink(tree: &Path, grafted: &mut Grafted, path: &Path) -> Result<()> {
    let link = tree.join(path);
    match link.read_link() {
        Ok(_) => fs::remove_file(&link)?,
        // The user has replaced it.
        Err(_) if link.exists() => bail!("{} is no longer a link", link.display()),
        Err(_) => {}
    }
    grafted.links.remove(path);
    Ok(())
}
