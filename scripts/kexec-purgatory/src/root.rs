// SPDX-License-Identifier: GPL-2.0-only

//! A Debian 13 root, for kernels that are built with that release's compilers.
//!
//! Programs run in it through `chroot`, each in namespaces of its own: its mounts, and the
//! processes that it started, disappear when it ends, for whatever reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::apt;
use crate::command::{emulator, logged};
use crate::fetch;
use crate::files;
use crate::layout::{Layout, lock};
use crate::progress::Step;

/// The release.
pub const SUITE: &str = "trixie";

/// What builds of a kernel and of its packages need, including both C compilers and linkers that
/// the kernel supports. A [`Rust`] adds the Rust packages.
const PACKAGES: &[&str] = &[
    "bc",
    "bindgen",
    "bison",
    "build-essential",
    "clang",
    "cpio",
    "debhelper",
    "flex",
    "gcc",
    "kmod",
    "libc6-dev",
    "libdw-dev",
    "libelf-dev",
    "libssl-dev",
    "lld",
    "llvm",
    "make",
    "openssl",
    "pahole",
    "perl",
    "python3",
    "rsync",
    "xz-utils",
    "zstd",
];

const BOCHS: &[&str] = &[
    "bochs",
    "bochs-term",
    "bochsbios",
    "grub-common",
    "grub-pc-bin",
    "mtools",
    "vgabios",
    "xorriso",
];

/// The Rust compilers of the release.
#[derive(Clone, Copy, PartialEq)]
pub enum Rust {
    /// The default one, 1.85: the oldest that the kernel supports.
    Oldest,
    /// The one that builds browsers.
    Newest,
}

impl Rust {
    pub fn name(self) -> &'static str {
        match self {
            Self::Oldest => "oldest",
            Self::Newest => "newest",
        }
    }

    /// The first digits of `CONFIG_RUSTC_VERSION`: the major and the minor version.
    pub fn version(self) -> &'static str {
        match self {
            Self::Oldest => "1085",
            Self::Newest => "1096",
        }
    }

    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Oldest => &["rustc", "rust-src"],
            Self::Newest => &["rustc-web", "rust-web-src"],
        }
    }
}

/// A root in the cache.
pub struct Root {
    folder: PathBuf,
}

impl Root {
    /// A root with compilers.
    pub fn make(layout: &Layout, rust: Rust) -> Result<Self> {
        Self::with(layout, rust.name(), &[PACKAGES, rust.packages()].concat())
    }

    /// A root with Bochs, and with programs that make a bootable CD.
    pub fn with_bochs(layout: &Layout) -> Result<Self> {
        Self::with(layout, "bochs", BOCHS)
    }

    /// A root with one package. The root has the package's name.
    pub fn of_package(layout: &Layout, name: &str) -> Result<Self> {
        Self::with(layout, name, &[name])
    }

    /// Where the file at a path in the root is outside of it.
    pub fn outside(&self, path: &Path) -> Result<PathBuf> {
        Ok(self.folder.join(path.strip_prefix("/")?))
    }

    /// Makes a root, unless the cache has it.
    fn with(layout: &Layout, name: &str, packages: &[&str]) -> Result<Self> {
        let packages = packages.join(",");
        let folder = layout.cache.join(format!("{SUITE}-{name}"));
        // The packages that the root was made of. Written last, so that an incomplete root has
        // none.
        let stamp = folder.join(".packages");
        let _lock = lock(&layout.cache)?;
        if fs::read_to_string(&stamp).is_ok_and(|made_of| made_of == packages) {
            return Ok(Self { folder });
        }
        let mut step = Step::start(format!("make a root of Debian {SUITE}, {name}"));
        let log = layout.log(&format!("root-{name}"))?;
        let mirror = apt::mirror()?;
        fetch::retried(|| {
            let new = tempfile::tempdir_in(&layout.cache)?;
            let root = new.path().join("root");
            logged(
                mmdebstrap(&packages).arg(SUITE).arg(&root).arg(&mirror),
                &log,
                &mut step,
            )?;
            fs::write(root.join(".packages"), &packages)?;
            files::remove(&folder)?;
            fs::rename(&root, &folder)?;
            Ok(())
        })?;
        step.done();
        Ok(Self { folder })
    }

    /// A program that runs in the root and sees the directories `shared` at the same paths as
    /// outside.
    pub fn command(&self, shared: &[&Path], program: &str) -> Result<Command> {
        let mut mounts = String::from(
            "set -e; mount -t proc proc \"$root/proc\"; mount --rbind /dev \"$root/dev\"; ",
        );
        for folder in shared {
            let at = self.folder.join(folder.strip_prefix("/")?);
            fs::create_dir_all(&at)?;
            let (from, to) = (folder.display(), at.display());
            ensure!(
                !format!("{from}{to}").contains('\''),
                "{from}: a quote in a path"
            );
            mounts += &format!("mount --bind '{from}' '{to}'; ");
        }
        let mut inside = in_namespace("sh");
        inside
            .env("root", &self.folder)
            .arg("-c")
            .arg(mounts + "exec chroot \"$root\" \"$@\"")
            .args(["sh", program]);
        Ok(inside)
    }
}

/// mmdebstrap, to make a directory with these packages, separated by commas. The caller appends the
/// suite, the directory and the mirror.
pub fn mmdebstrap(packages: &str) -> Command {
    let mut mmdebstrap = in_namespace("mmdebstrap");
    mmdebstrap
        .args(["--mode=root", "--variant=minbase", "--format=directory"])
        .arg(format!("--keyring={}", apt::KEYRING))
        .arg(format!("--include={packages}"))
        // The cache may lie where APT's own sandbox user cannot read.
        .arg("--aptopt=APT::Sandbox::User \"root\"")
        .arg("--aptopt=Acquire::Retries \"3\"")
        // If the machine fails before everything is written out, the root is made again.
        .arg("--dpkgopt=force-unsafe-io");
    mmdebstrap
}

/// A program in its own mount namespace and PID namespace.
fn in_namespace(program: &str) -> Command {
    let mut unshare = emulator("unshare");
    unshare
        .args(["--mount", "--propagation", "private"])
        .args(["--pid", "--fork", "--kill-child=KILL"])
        .arg(program);
    unshare
}
