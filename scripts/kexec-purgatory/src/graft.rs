// SPDX-License-Identifier: GPL-2.0-only

//! Links the overlay into a kernel tree, and removes it again.
//!
//! New files are symbolic links to the overlay, so that an edit takes effect at the next build.
//! Edits of existing files are patches. A record in the tree lists both.

#[cfg(test)]
mod graft_tests;
mod grafted;
mod links;
pub mod map;
pub mod patch;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub use self::grafted::FILE as RECORD;
use self::grafted::Grafted;
use self::patch::Patch;
use crate::fetch;
use crate::layout::Layout;
use crate::supported;

/// The tree to graft: the one that the user named, or the one that is fetched.
pub fn kernel_tree(layout: &Layout) -> Result<PathBuf> {
    match &layout.kdir {
        Some(dir) => Ok(dir.clone()),
        None => Ok(fetch::kernel_tree(layout)?.canonicalize()?),
    }
}

/// Grafts the overlay on a tree, or brings an earlier graft up to date.
pub fn graft(layout: &Layout, tree: &Path) -> Result<()> {
    supported::series(tree)?;
    let before = Grafted::load(tree)?;
    if before.is_none() {
        tree::check_clean(tree)?;
    }
    let links = map::links(layout)?;
    let patches = read_patches(layout)?;
    replace(tree, before, &links, &patches)?;
    eprintln!(
        "{}: {} links, {} patches",
        tree.display(),
        links.len(),
        patches.len()
    );
    Ok(())
}

/// Applies only the overlay's fixes of the kernel to a tree.
pub fn mend(layout: &Layout, tree: &Path) -> Result<()> {
    supported::series(tree)?;
    let fixes = Patch::fixes(&layout.overlay.join("patches"))?;
    replace(tree, Grafted::load(tree)?, &BTreeMap::new(), &fixes)
}

/// The patches of the overlay.
pub fn read_patches(layout: &Layout) -> Result<Vec<Patch>> {
    Patch::read_all(&layout.overlay.join("patches"))
}

/// A change to what is grafted.
pub enum Change {
    /// The link at the first path in the tree leads to the second path.
    Link(PathBuf, PathBuf),
    /// One additional patch.
    Patch(Patch),
}

/// Grafts the overlay with a change. The next graft undoes the change.
pub fn graft_changed(layout: &Layout, tree: &Path, change: Change) -> Result<()> {
    let mut links = map::links(layout)?;
    let mut patches = read_patches(layout)?;
    match change {
        Change::Link(path, target) => {
            links.insert(path, target);
        }
        Change::Patch(patch) => patches.push(patch),
    }
    replace(tree, Grafted::load(tree)?, &links, &patches)
}

/// Removes the overlay from a tree, which restores the tree.
pub fn ungraft(tree: &Path) -> Result<()> {
    supported::series(tree)?;
    match Grafted::load(tree)? {
        None => eprintln!("{}: nothing is grafted", tree.display()),
        before => {
            replace(tree, before, &BTreeMap::new(), &[])?;
            Grafted::remove(tree)?;
            eprintln!("{}: pristine again", tree.display());
        }
    }
    Ok(())
}

/// Replaces what is grafted. On failure, the tree stays as it was.
fn replace(
    tree: &Path,
    before: Option<Grafted>,
    links: &BTreeMap<PathBuf, PathBuf>,
    patches: &[Patch],
) -> Result<()> {
    let grafted = before.is_some();
    let before = before.unwrap_or_default();
    let mut now = before.clone();
    patch::recover(tree, &mut now)?;
    links::check_free(tree, &now, links)?;
    let done = patch::replace(tree, &mut now, patches)
        .and_then(|()| links::replace(tree, &mut now, links));
    if let Err(error) = done {
        links::replace(tree, &mut now, &before.links)
            .and_then(|()| patch::replace(tree, &mut now, &before.patches))
            .with_context(|| format!("{error:#}\nand the tree could not be restored"))?;
        if !grafted {
            Grafted::remove(tree)?;
        }
        return Err(error);
    }
    Ok(())
}
