// SPDX-License-Identifier: GPL-2.0-only

//! Checks the patches of the kernel's own files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use walkdir::WalkDir;

use super::group::table_names;
use super::{Report, overlay};
use crate::debian;
use crate::files;
use crate::graft;
use crate::graft::patch::{self, Patch};
use crate::layout::Layout;
use crate::series;
use crate::series::mail::LIMIT;

/// The patches add fewer lines than this to existing C and assembler code and headers of the
/// kernel, as the cover letter says. Fixes of the released kernel do not count.
const ADDED_LINES: usize = 90;

/// The extensions of these files.
const CODE: &[&str] = &["c", "h", "S"];

/// A test that gets a directory with the files that the patches touch.
type Test = fn(layout: &Layout, tree: &Path) -> Result<()>;

const TESTS: &[(&str, Test)] = &[
    ("patches/round-trip", round_trip),
    ("patches/am", series::apply_hooks),
    ("patches/added-lines", |layout, _| added_lines(layout)),
    ("patches/checkpatch", |layout, _| checkpatch(layout)),
    ("patches/debian", |layout, _| {
        debian::source_patches::make(layout)
    }),
];

pub fn names() -> Vec<String> {
    table_names(TESTS)
}

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
    let scratch = tempfile::tempdir_in(&layout.build)?;
    let tree = scratch.path().canonicalize()?;
    series::extract_touched(layout, &tree)?;
    for (name, test) in TESTS {
        report.test(name, || test(layout, &tree));
    }
    Ok(())
}

/// Grafts and ungrafts; the tree must be the same as before, byte for byte.
fn round_trip(layout: &Layout, tree: &Path) -> Result<()> {
    let before = snapshot(tree)?;
    graft::graft(layout, tree)?;
    let grafted = snapshot(tree)?;
    ensure!(grafted != before, "nothing was grafted");
    graft::graft(layout, tree)?;
    ensure!(
        snapshot(tree)? == grafted,
        "a second graft changed the tree"
    );
    graft::ungraft(tree)?;
    ensure!(snapshot(tree)? == before, "the tree is not what it was");
    Ok(())
}

/// Checks that the patches are as small as intended.
fn added_lines(layout: &Layout) -> Result<()> {
    let fixes = Patch::fixes(&layout.overlay.join("patches"))?.len();
    let mut sum = 0;
    for patch in series::hooks(layout)?.into_iter().skip(fixes) {
        for line in overlay::numstat(layout, &patch)?.lines() {
            let mut fields = line.split('\t');
            let added: usize = fields.next().context("no number")?.parse()?;
            let path = fields.nth(1).context("no path")?;
            let extension = Path::new(path).extension().and_then(OsStr::to_str);
            if extension.is_some_and(|extension| CODE.contains(&extension)) {
                sum += added;
            }
        }
    }
    ensure!(
        (1..ADDED_LINES).contains(&sum),
        "{sum} lines are added, {ADDED_LINES} are too many"
    );
    let claim = format!("fewer than {ADDED_LINES} lines");
    ensure!(
        series::cover_text(layout)?.contains(&claim),
        "the cover letter does not say {claim:?}"
    );
    Ok(())
}

/// Makes the series with mails, which must name where to pull it from, and be small enough to send.
fn checkpatch(layout: &Layout) -> Result<()> {
    const PULL: &str = "https://example.org/linux.git kexec";
    let tree = graft::kernel_tree(layout)?;
    let folder = tempfile::tempdir_in(&layout.build)?;
    let series = folder.path().join("series");
    ensure!(
        series::make(layout, &tree, &series, Some(&PULL.parse()?))?,
        "checkpatch.pl complains"
    );
    let mails = patch::files(&series.join("mails"))?;
    let patches = patch::files(&series)?;
    ensure!(mails.len() == patches.len(), "{} mails", mails.len());
    for (mail, patch) in mails.iter().zip(&patches) {
        let text = files::read_text(mail)?;
        let whole = text == files::read_text(patch)?;
        let pulled = text.contains("can be pulled") && text.contains(PULL);
        let (mail, size) = (mail.display(), text.len());
        ensure!(size <= LIMIT, "{mail} has {size} bytes");
        let import = text.contains("rust: sha2: Import crate") && patch != &patches[0];
        ensure!(
            whole != import && import == text.contains("The diff is left out"),
            "{mail}: only the import of the crates is sent without its diff"
        );
        ensure!(
            pulled == (patch == &patches[0]),
            "{mail}: only the cover letter names the repository"
        );
    }
    Ok(())
}

/// Every path of a tree with its mode and content.
fn snapshot(tree: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut all = BTreeMap::new();
    for entry in WalkDir::new(tree) {
        let entry = entry?;
        let kind = entry.file_type();
        let content = if kind.is_symlink() {
            fs::read_link(entry.path())?.display().to_string()
        } else if kind.is_file() {
            files::checksum(entry.path())?
        } else {
            String::new()
        };
        let mode = entry.metadata()?.permissions();
        all.insert(entry.into_path(), format!("{mode:?} {content}"));
    }
    Ok(all)
}
