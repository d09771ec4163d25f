// SPDX-License-Identifier: GPL-2.0-only

//! `graft.map`: where each path of the overlay goes in the kernel tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use walkdir::{DirEntry, WalkDir};

use crate::files;
use crate::layout::Layout;
use crate::vendor::Vendored;

/// Stands for the crates that are fetched.
pub const CRATES: &str = "@crates";

/// Every link of the map: path in the kernel tree, file in the overlay.
pub fn links(layout: &Layout) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let path = layout.tool("graft.map");
    let text = files::read_text(&path)?;
    let mut links = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [] => {}
            [CRATES, to] => {
                links.extend(Vendored::fetch(layout)?.links(Path::new(to))?);
            }
            [from, to] => add(&mut links, &layout.overlay, from, to)
                .with_context(|| format!("{}:{}", path.display(), number + 1))?,
            _ => bail!("{}:{}: not two paths", path.display(), number + 1),
        }
    }
    Ok(links)
}

/// Adds the links that one line of the map stands for.
fn add(links: &mut BTreeMap<PathBuf, PathBuf>, overlay: &Path, from: &str, to: &str) -> Result<()> {
    let source = overlay.join(from);
    ensure!(source.exists(), "there is no {}", source.display());
    for entry in WalkDir::new(&source).into_iter().filter_entry(is_source) {
        let entry = entry.with_context(|| format!("cannot read {}", source.display()))?;
        if entry.file_type().is_dir() {
            continue;
        }
        let below = entry.path().strip_prefix(&source)?;
        let target = match below.as_os_str().is_empty() {
            true => PathBuf::from(to),
            false => Path::new(to).join(below),
        };
        links.insert(target, entry.path().to_path_buf());
    }
    Ok(())
}

/// Whether a file or directory is source, and not left by a build or an editor.
fn is_source(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    let built = entry.file_type().is_dir() && name == "target";
    !built && !name.ends_with('~') && !name.ends_with(".swp")
}
