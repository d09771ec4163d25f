// SPDX-License-Identifier: GPL-2.0-only

//! Checks the form of the overlay's files and patches. Needs no kernel tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::HostTest;
use crate::command::{command, output};
use crate::layout::Layout;
use crate::series;

/// The tests of the group `overlay`.
pub const TESTS: &[HostTest] = &[
    ("overlay/licenses", licenses),
    ("overlay/whitespace", whitespace),
    ("overlay/series", complete),
    ("overlay/patches", patches),
    ("overlay/unsafe", unsafe_blocks),
];

/// The purgatory and its engines, and what of that runs on the host only.
const PURGATORY: &str = "arch/x86/purgatory/rust/";
const HOST_ONLY: &str = "arch/x86/purgatory/rust/digest-tests/";

/// How many lines at the beginning of a file may name its license.
const LICENSE_LINES: usize = 3;
const LICENSE: &str = "SPDX-License-Identifier: ";

/// Files without a license line: their format has no comments, or a tool writes them.
const NO_COMMENTS: &[&str] = &["Cargo.lock", ".patch", ".json", ".svg"];
/// The same by directory: inputs of the fuzzer, and descriptions of sysfs, whose parser accepts no
/// comments.
const NO_COMMENTS_IN: &[&str] = &[
    "Documentation/ABI/",
    "arch/x86/purgatory/rust/digest-tests/corpus/",
];

/// The files of the overlay that git knows, by their paths in the overlay.
pub fn files(layout: &Layout) -> Result<Vec<String>> {
    let listed = output(
        command("git")
            // The checkout may belong to another user.
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .args(["--cached", "--others", "--exclude-standard"])
            .current_dir(&layout.overlay),
    )?;
    let files: Vec<String> = listed
        .split_terminator('\0')
        .filter(|path| layout.overlay.join(path).is_file())
        .map(str::to_owned)
        .collect();
    ensure!(!files.is_empty(), "git knows no file of the overlay");
    Ok(files)
}

/// Every file names its license.
fn licenses(layout: &Layout) -> Result<()> {
    let mut without = Vec::new();
    for path in files(layout)? {
        let exempt = NO_COMMENTS.iter().any(|end| path.ends_with(end))
            || NO_COMMENTS_IN.iter().any(|folder| path.starts_with(folder));
        if exempt {
            continue;
        }
        let text = fs::read(layout.overlay.join(&path))?;
        let text = String::from_utf8_lossy(&text);
        if !text
            .lines()
            .take(LICENSE_LINES)
            .any(|line| line.contains(LICENSE))
        {
            without.push(path);
        }
    }
    ensure!(without.is_empty(), "no license in {}", without.join(", "));
    Ok(())
}

/// No line ends in blanks, and every text ends with a newline.
fn whitespace(layout: &Layout) -> Result<()> {
    let mut wrong = Vec::new();
    for path in files(layout)? {
        let bytes = fs::read(layout.overlay.join(&path))?;
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        // The context of a patch has lines of one blank; the series checks what the patch adds.
        if text.contains('\0') || path.ends_with(".patch") {
            continue;
        }
        for (number, line) in text.split('\n').enumerate() {
            if line.ends_with([' ', '\t', '\r']) {
                wrong.push(format!("{path}:{}: blanks at the end", number + 1));
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            wrong.push(format!("{path}: no line end at the end"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Every file that goes into the kernel tree belongs to one commit of the series, and every patch
/// is a commit.
fn complete(layout: &Layout) -> Result<()> {
    let listed: BTreeSet<PathBuf> = series::patches(layout)?.into_iter().collect();
    let found: BTreeSet<PathBuf> = series::patch_files(layout)?.into_iter().collect();
    ensure!(
        listed == found,
        "patches/series has {listed:?}, patches/ has {found:?}"
    );
    Ok(())
}

/// `git am` accepts every patch: a mail with a subject, a sign-off, and changes that git can read
/// and that have no blanks at the ends of lines.
fn patches(layout: &Layout) -> Result<()> {
    for patch in series::patch_files(layout)? {
        sound(layout, &patch).with_context(|| patch.display().to_string())?;
    }
    Ok(())
}

/// The cover letter says how many blocks of unsafe code the purgatory and its engines have.
fn unsafe_blocks(layout: &Layout) -> Result<()> {
    let mut blocks = 0;
    for path in files(layout)? {
        if path.ends_with(".rs") && path.starts_with(PURGATORY) && !path.starts_with(HOST_ONLY) {
            let text = fs::read_to_string(layout.overlay.join(&path))?;
            blocks += text.matches("unsafe {").count();
        }
    }
    let letter = fs::read_to_string(layout.overlay.join("patches/cover-letter"))?;
    let said = format!("unsafe code: {blocks} blocks");
    ensure!(letter.contains(&said), "the cover letter lacks \"{said}\"");
    Ok(())
}

/// What git says about a patch: for each file, how many lines are added and removed.
pub fn numstat(layout: &Layout, patch: &Path) -> Result<String> {
    output(
        command("git")
            .args(["apply", "--numstat"])
            .arg(patch)
            .current_dir(&layout.overlay),
    )
}

fn sound(layout: &Layout, patch: &Path) -> Result<()> {
    let text = fs::read_to_string(patch)?;
    let (head, changes) = text.split_once("\n---\n").context("no line of dashes")?;
    for field in ["From: ", "Date: ", "Subject: [PATCH", "Signed-off-by: "] {
        let has = head.lines().any(|line| line.starts_with(field));
        ensure!(has, "no line that begins with '{field}'");
    }
    // The subject begins with the part of the kernel that the patch is about.
    let subject = head
        .lines()
        .find_map(|line| line.strip_prefix("Subject: [PATCH")?.split_once("] "))
        .context("no subject")?;
    ensure!(subject.1.contains(": "), "no prefix in '{}'", subject.1);
    let stat = numstat(layout, patch)?;
    ensure!(!stat.trim().is_empty(), "it changes nothing");
    let blanks = changes
        .lines()
        .find(|line| line.starts_with('+') && line.ends_with([' ', '\t']));
    ensure!(blanks.is_none(), "blanks at the end of {blanks:?}");
    Ok(())
}
