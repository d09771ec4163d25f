// SPDX-License-Identifier: GPL-2.0-only

//! Checks whether a maintainer could apply the series patch by patch.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::{make, start_repository, touched};
use crate::command::{command, git, output};
use crate::fetch::{self, DistributionKernel};
use crate::files;
use crate::graft;
use crate::graft::patch::{self, Patch};
use crate::guest::{Plan, Purpose};
use crate::kernel::{self, Verify};
use crate::kexec;
use crate::layout::Layout;
use crate::passed::Passed;
use crate::progress;

/// The states that are built after each patch.
const STATES: &[Verify] = &[Verify::Norust, Verify::Y];

/// The subjects of the patches after which kernels are booted: the last of each group. After the
/// last fix of mainline and after the last patch, kernels are booted as well.
const BOOTED: &[&str] = &[
    "x86/boot: Add a setup_data type for the record of a kexec",
    VERIFIES,
    "x86/kexec: Add KUnit tests of the loader and the digests",
    "kexec: Let an architecture check loaded images",
];

/// The directory of the objects in the build directory.
const OBJECTS: &str = "series-check";

/// The subject of the patch since which the kernel has the new purgatory.
const VERIFIES: &str = "x86/kexec: Use the Rust purgatory where it is built";

/// Applies the series to a pristine tree. After each patch, builds it and asks for maintainers, and
/// boots some kernels. Compares the end with the grafted tree. Prints a table. Returns whether
/// everything was as it should be. Does not repeat what an interrupted run has built and booted of
/// the same series.
pub fn run(layout: &Layout) -> Result<bool> {
    let grafted = graft::kernel_tree(layout)?;
    graft::graft(layout, &grafted)?;
    let next = fetch::distribution_kernel(layout)?;
    let folder = tempfile::tempdir_in(&layout.build)?;
    let series = folder.path().join("series");
    let mut good = make(layout, &grafted, &series, None)?;
    let tree = fetch::new_tree(layout, "series-tree")?;
    start_repository(&tree, touched(layout)?)?;

    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(["patch", "maintainers", "RUST=n", "RUST=y"]);
    let mut patches = patch::files(&series)?;
    // The cover letter.
    patches.remove(0);
    let mut boots: Vec<bool> = patches
        .iter()
        .map(|path| Ok(BOOTED.contains(&subject(path)?.as_str())))
        .collect::<Result<_>>()?;
    ensure!(
        boots.iter().filter(|boots| **boots).count() == BOOTED.len(),
        "the series lacks one of the patches to boot: {BOOTED:?}"
    );
    let fixes = Patch::fixes(&layout.overlay.join("patches"))?.len();
    for last in [fixes, boots.len()] {
        *boots[..last].last_mut().context("no patches")? = true;
    }
    let passed = Passed::of(layout, "series-check")?;
    let before = passed.names();
    let mut verifies = false;
    for (index, (path, boots)) in patches.iter().zip(&boots).enumerate() {
        output(git(&tree).args(["am", "--quiet"]).arg(path))?;
        let subject = subject(path)?;
        verifies |= subject == VERIFIES;
        let number = index + 1;
        let after = After {
            verifies,
            last: number == patches.len(),
            next: boots.then_some(&next),
        };
        progress::print(&format!("patch {number} of {}: {subject}", patches.len()));
        let mut cells = vec![Ok(subject.clone()), maintainers(&grafted, path)];
        for verify in STATES {
            let name = format!("patch-{number:02}-{}", verify.name());
            if before.contains(&name) {
                cells.push(Ok("passed before".to_owned()));
                continue;
            }
            let built = build(layout, &tree, *verify, &name, &after);
            if built.is_ok() {
                passed.add(&name)?;
            }
            cells.push(built);
        }
        table.add_row(cells.into_iter().map(|cell| {
            cell.unwrap_or_else(|error| {
                good = false;
                progress::print(&format!("{subject}: {error:#}"));
                "FAILED".to_owned()
            })
        }));
    }
    println!("{table}");
    // Python leaves its caches behind when one of the kernel's scripts runs in the tree.
    files::compare(&tree, &grafted, &[".git", graft::RECORD, "__pycache__"])?;
    println!("git am makes what the graft makes");
    if good {
        passed.forget()?;
    }
    Ok(good)
}

/// The subject of a patch, without the brackets before it.
fn subject(patch: &Path) -> Result<String> {
    let text = files::read_text(patch)?;
    let (_, rest) = text.split_once("\nSubject: ").context("no subject")?;
    // A long one continues in the next line, which begins with a space.
    let subject = rest.replace("\n ", " ");
    let subject = subject.lines().next().unwrap_or_default();
    let bracket = subject
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "));
    Ok(bracket.map_or(subject, |(_, subject)| subject).to_owned())
}

/// A point in the series after which a kernel is built.
struct After<'a> {
    /// Whether a kernel with Rust verifies images with the new purgatory.
    verifies: bool,
    /// Whether the kernel has all options of its fragments.
    last: bool,
    /// The kernel to enter, if this one is booted.
    next: Option<&'a DistributionKernel>,
}

/// Builds the kernel after a patch, `name` in the log. If there is a kernel to enter, boots the new
/// one, which enters it.
fn build(
    layout: &Layout,
    tree: &Path,
    verify: Verify,
    name: &str,
    after: &After<'_>,
) -> Result<String> {
    let output = layout.build.join(OBJECTS).join(verify.name());
    let kernel = kernel::build_partly(layout, tree, &output, verify, name, after.last)?;
    let Some(next) = after.next else {
        return Ok("built".to_owned());
    };
    let kexec = kexec::run(layout, name, &kernel, next, &Plan::new(Purpose::Enter))?;
    match (verify, after.last) {
        (Verify::Y, true) => kexec.check(true)?,
        // Without the files in sysfs, which a later patch adds.
        (Verify::Y, false) if after.verifies => kexec.check_decision(true).and(kexec.outcome())?,
        _ => kexec.outcome()?,
    };
    Ok("built, booted".to_owned())
}

/// How many people the kernel's own script would send a patch to. Fails if there is nobody.
fn maintainers(tree: &Path, patch: &Path) -> Result<String> {
    let listed = output(
        command("perl")
            .args(["scripts/get_maintainer.pl", "--no-git", "--no-git-fallback"])
            .args(["--no-rolestats", "--no-l"])
            .arg(patch)
            .current_dir(tree),
    )?;
    let people = listed.lines().filter(|line| line.contains('@')).count();
    ensure!(people > 0, "MAINTAINERS has nobody for it");
    Ok(people.to_string())
}

#[cfg(test)]
mod tests {
    use super::subject;

    fn of(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("patch");
        std::fs::write(&path, format!("From: x\n{text}\nMIME-Version: 1.0\n")).unwrap();
        subject(&path).unwrap()
    }

    #[test]
    fn subjects_are_read() {
        assert_eq!(
            of("Subject: [PATCH 03/19] a/b: Do [x] that"),
            "a/b: Do [x] that"
        );
        assert_eq!(of("Subject: [PATCH 1/2] a long\n one"), "a long one");
        assert_eq!(of("Subject: none [1] of it"), "none [1] of it");
    }
}
