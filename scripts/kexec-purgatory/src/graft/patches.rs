// SPDX-License-Identifier: GPL-2.0-only

//! The patches of a graft.

use std::path::Path;

use anyhow::{Context, Result};

use super::patch::Patch;
use super::state::State;

/// Makes the applied patches match `wanted`. Leading patches that are the same stay applied.
pub fn replace(tree: &Path, state: &mut State, wanted: &[Patch]) -> Result<()> {
    let same = state
        .patches
        .iter()
        .zip(wanted)
        .take_while(|(old, new)| old == new)
        .count();
    while state.patches.len() > same {
        if let Some(patch) = state.patches.last() {
            patch.apply(tree, &["--reverse"]).with_context(|| {
                format!(
                    "{} cannot be taken back: the files that it changed were edited since",
                    patch.name
                )
            })?;
        }
        state.patches.pop();
        state.save(tree)?;
    }
    for patch in &wanted[same..] {
        patch
            .apply(tree, &[])
            .with_context(|| format!("{} does not apply to {}", patch.name, tree.display()))?;
        state.patches.push(patch.clone());
        state.save(tree)?;
    }
    Ok(())
}
