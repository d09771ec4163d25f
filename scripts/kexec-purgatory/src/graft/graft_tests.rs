// SPDX-License-Identifier: GPL-2.0-only

//! Grafts of a small overlay on a small tree.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use tempfile::TempDir;
use walkdir::WalkDir;

use super::grafted::Grafted;
use super::patch::{self, Patch};
use super::{Change, graft, graft_changed, ungraft};
use crate::command::{git, output};
use crate::files;
use crate::layout::Layout;

const MAKEFILE: &str = "VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\n";
const KBUILD: &str = "one\ntwo\nthree\n";

/// A tree and an overlay with two links and one patch.
struct Scratch {
    dir: TempDir,
    layout: Layout,
}

impl Scratch {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let overlay = dir.path().join("overlay");
        let layout = Layout {
            build: overlay.join("build"),
            cache: dir.path().join("cache"),
            kdir: None,
            series: None,
            overlay,
        };
        let scratch = Self { dir, layout };
        scratch.write("tree/Makefile", MAKEFILE);
        scratch.write("tree/arch/Kbuild", KBUILD);
        scratch.write("tree/include/.keep", "");
        scratch.write(
            "overlay/scripts/kexec-purgatory/graft.map",
            "# comment\nKconfig kernel/Kconfig.ours\narch/ arch/\n",
        );
        scratch.write("overlay/Kconfig", "config\n");
        scratch.write("overlay/arch/new/file.rs", "fn file() {}\n");
        scratch.write("overlay/arch/new/target/built", "");
        scratch.patch("0001-two.patch", "two", "2");
        scratch
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn write(&self, path: &str, text: &str) {
        files::write(&self.dir.path().join(path), text).unwrap();
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.dir.path().join(path)).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join(path)).unwrap()
    }

    /// Writes a patch that replaces one line of `arch/Kbuild`.
    fn patch(&self, name: &str, old: &str, new: &str) {
        let lines: String = KBUILD
            .lines()
            .map(|line| match line == old {
                true => format!("-{old}\n+{new}\n"),
                false => format!(" {line}\n"),
            })
            .collect();
        self.write(
            &format!("overlay/patches/{name}"),
            &format!(
                "Subject: x\n\n--- a/arch/Kbuild\n+++ b/arch/Kbuild\n@@ -1,3 +1,3 @@\n{lines}"
            ),
        );
    }

    fn graft(&self) -> Result<(), String> {
        graft(&self.layout, &self.tree()).map_err(|error| format!("{error:#}"))
    }

    fn ungraft(&self) {
        ungraft(&self.tree()).unwrap();
    }

    /// Everything in the tree, with the text of files and the target of links.
    fn snapshot(&self) -> BTreeMap<PathBuf, String> {
        WalkDir::new(self.tree())
            .into_iter()
            .filter_entry(|entry| entry.file_name() != ".git")
            .map(|entry| {
                let entry = entry.unwrap();
                let content = match entry.file_type() {
                    kind if kind.is_file() => fs::read_to_string(entry.path()).unwrap(),
                    kind if kind.is_symlink() => format!("-> {:?}", entry.path().read_link()),
                    _ => "folder".to_owned(),
                };
                (entry.into_path(), content)
            })
            .collect()
    }

    fn git(&self, arguments: &[&str]) -> String {
        output(git(&self.tree()).args(arguments)).unwrap()
    }

    /// Checks that grafting fails for a reason, and changes nothing.
    fn refuses(&self, reason: &str) {
        let before = self.snapshot();
        let error = self.graft().unwrap_err();
        assert!(error.contains(reason), "{error}");
        assert_eq!(self.snapshot(), before);
    }
}

#[test]
fn a_graft_can_be_undone_and_repeated() {
    let scratch = Scratch::new();
    let before = scratch.snapshot();
    scratch.graft().unwrap();
    assert!(scratch.tree().join("kernel/Kconfig.ours").is_symlink());
    assert_eq!(scratch.read("tree/arch/new/file.rs"), "fn file() {}\n");
    assert_eq!(scratch.read("tree/arch/Kbuild"), "one\n2\nthree\n");
    assert!(!scratch.tree().join("arch/new/target").exists());
    let once = scratch.snapshot();
    scratch.ungraft();
    assert_eq!(scratch.snapshot(), before);
    scratch.graft().unwrap();
    scratch.graft().unwrap();
    assert_eq!(scratch.snapshot(), once);
}

#[test]
fn a_second_graft_follows_the_overlay() {
    let scratch = Scratch::new();
    let before = scratch.snapshot();
    scratch.graft().unwrap();
    scratch.remove("overlay/arch/new/file.rs");
    scratch.write("overlay/arch/other/more.rs", "");
    scratch.patch("0001-two.patch", "three", "3");
    scratch.graft().unwrap();
    assert!(!scratch.tree().join("arch/new").exists());
    assert!(scratch.tree().join("arch/other/more.rs").is_symlink());
    assert_eq!(scratch.read("tree/arch/Kbuild"), "one\ntwo\n3\n");
    scratch.ungraft();
    assert_eq!(scratch.snapshot(), before);
}

#[test]
fn a_change_lasts_until_the_next_graft() {
    let scratch = Scratch::new();
    scratch.graft().unwrap();
    let before = scratch.snapshot();
    let target = scratch.layout.overlay.join("arch/new/file.rs");
    scratch.write("changed.rs", "fn changed() {}\n");
    let change = Change::Link(
        PathBuf::from("arch/new/file.rs"),
        scratch.dir.path().join("changed.rs"),
    );
    graft_changed(&scratch.layout, &scratch.tree(), change).unwrap();
    assert_eq!(scratch.read("tree/arch/new/file.rs"), "fn changed() {}\n");
    let built = SystemTime::now();
    scratch.graft().unwrap();
    assert_eq!(scratch.snapshot(), before);
    // What was built from the change is out of date.
    assert!(target.metadata().unwrap().modified().unwrap() >= built);
}

#[test]
fn files_of_the_user_stay() {
    let scratch = Scratch::new();
    scratch.graft().unwrap();
    scratch.write("tree/arch/new/mine.c", "mine");
    scratch.ungraft();
    assert_eq!(scratch.read("tree/arch/new/mine.c"), "mine");
    assert!(!scratch.tree().join("arch/new/file.rs").exists());
}

#[test]
fn refuses_what_is_not_a_kernel_tree() {
    let scratch = Scratch::new();
    scratch.write("tree/Makefile", "all:\n");
    scratch.refuses("is not a kernel tree");
}

#[test]
fn refuses_another_version() {
    let scratch = Scratch::new();
    scratch.write("tree/Makefile", &MAKEFILE.replace("= 3", "= 1"));
    scratch.refuses(
        "is linux 7.1.4; the overlay is for 7.3 and 7.2.\nCONTRIBUTING.md tells how to port it",
    );
}

#[test]
fn refuses_a_tree_that_was_built_in() {
    let scratch = Scratch::new();
    scratch.write("tree/.config", "");
    scratch.refuses("make mrproper");
}

#[test]
fn refuses_a_file_in_the_way() {
    let scratch = Scratch::new();
    scratch.write("tree/arch/new/file.rs", "theirs");
    scratch.refuses("arch/new/file.rs");
}

#[test]
fn refuses_changes_in_a_git_tree() {
    let scratch = Scratch::new();
    scratch.git(&["init", "--quiet"]);
    scratch.git(&["add", "."]);
    scratch.git(&["commit", "--quiet", "--message", "all"]);
    scratch.write("tree/arch/Kbuild", "changed\n");
    scratch.refuses("has changes of its own");
    scratch.write("tree/arch/Kbuild", KBUILD);
    scratch.graft().unwrap();
    scratch.ungraft();
    assert_eq!(scratch.git(&["status", "--porcelain"]), "");
}

#[test]
fn refuses_a_map_of_what_is_not_there() {
    let scratch = Scratch::new();
    scratch.remove("overlay/Kconfig");
    scratch.refuses("graft.map:2: there is no ");
}

#[test]
fn a_patch_that_fails_undoes_those_before_it_but_no_earlier_graft() {
    let scratch = Scratch::new();
    scratch.patch("0002-three.patch", "three", "3");
    scratch.refuses("0002-three.patch does not apply");
    scratch.remove("overlay/patches/0002-three.patch");
    scratch.graft().unwrap();
    scratch.patch("0002-three.patch", "three", "3");
    scratch.refuses("0002-three.patch does not apply");
}

/// The ends of a run that is interrupted while it applies or takes back a patch of two files: none,
/// one or both are changed.
const INTERRUPTED: &[&[&str]] = &[&["arch/Kbuild", "include/.keep"], &["include/.keep"], &[]];

#[test]
fn an_interrupted_change_of_a_patch_is_taken_back() {
    for left in INTERRUPTED {
        let scratch = Scratch::new();
        let tree = scratch.tree();
        let patch = scratch.read("overlay/patches/0001-two.patch");
        let second = "--- a/include/.keep\n+++ b/include/.keep\n@@ -1 +1 @@\n-one\n+1\n";
        scratch.write("tree/include/.keep", "one\n");
        scratch.write("overlay/patches/0001-two.patch", &(patch + second));
        let before = scratch.snapshot();
        scratch.graft().unwrap();
        let after = scratch.snapshot();
        let interrupt = || {
            let mut grafted = Grafted::load(&tree).unwrap().unwrap();
            let patch: Patch = grafted.patches.pop().unwrap();
            patch::begin(&tree, &mut grafted, &patch).unwrap();
            for file in *left {
                let only = format!("--include={file}");
                patch.apply(&tree, &["--reverse", &only]).unwrap();
            }
        };
        interrupt();
        scratch.graft().unwrap();
        assert_eq!(scratch.snapshot(), after);
        interrupt();
        scratch.ungraft();
        assert_eq!(scratch.snapshot(), before);
    }
}

#[test]
fn a_file_that_is_half_changed_is_named() {
    let scratch = Scratch::new();
    scratch.graft().unwrap();
    let mut grafted = Grafted::load(&scratch.tree()).unwrap().unwrap();
    let patch = grafted.patches.pop().unwrap();
    patch::begin(&scratch.tree(), &mut grafted, &patch).unwrap();
    scratch.write("tree/arch/Kbuild", "one\n");
    scratch.refuses("arch/Kbuild is neither with nor without 0001-two.patch");
    scratch.write("tree/arch/Kbuild", KBUILD);
    scratch.graft().unwrap();
}
