// SPDX-License-Identifier: GPL-2.0-only

//! Mutants of the kernel's side. Each is built into a kernel, and the boot of that kernel must
//! reveal it.
//!
//! They are built one after the other in the build directory of state `m`, where each rebuilds only
//! what depends on the file that it changes. While one is built, those before it are booted.

mod chain_output;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::NamedTempFile;

use super::Fate;
use super::list::Mutant;
use crate::command::command;
use crate::engines::EngineKind;
use crate::files;
use crate::graft::patch::Patch;
use crate::graft::{self, Change};
use crate::guest::{self, Guest};
use crate::kernel::{self, SAMPLE_MODULE, VERIFY_MODULE, Verify};
use crate::layout::Layout;
use crate::qemu;
use crate::test::build_selftests;

const STATE: Verify = Verify::M;

/// The engine that the loader picks on the guest's processor.
const ENGINE: EngineKind = EngineKind::ShaNiX4;

/// The kselftests that the guest runs.
const SELFTESTS: &[&str] = &[
    "test_kexec_purgatory",
    "test_kexec_policy.sh",
    "test_kexec_check",
];

/// The KUnit suites that the kernel runs, and the option that selects them. The suites of the
/// digest are left out: they take long and test nothing that is changed here.
const SUITES: &[&str] = &[
    "rust_kexec_decision",
    "kexec_purgatory_loader",
    "kexec_purgatory_image",
    "kexec_purgatory_check",
    "kexec_purgatory_policy",
];
const SELECT_SUITES: &str = "kunit.filter_glob=*kexec_*[eknry]";

/// Lines that show that a mutant was noticed. A kernel may hang after one.
const FAILURES: &[&str] = &[
    "not ok ",
    "guest: ktap not ok ",
    "guest: failed: ",
    // An exception between two kernels: see arch/x86/kernel/relocate_kernel_64.S.
    "Exc:",
    // The next kernel cannot decompress itself: see lib/decompress_inflate.c.
    "uncompression error",
];

/// Fails unless a mutant's text occurs exactly once in its file: in a file of the overlay's own, or
/// in the lines that patches add.
pub fn applies(layout: &Layout, mutant: &Mutant) -> Result<()> {
    let own = graft::map::links(layout)?.remove(&mutant.file);
    let text = match own {
        Some(path) => fs::read_to_string(&path)?,
        None => graft::read_patches(layout)?
            .iter()
            .map(|patch| patch.added(&mutant.file))
            .collect(),
    };
    mutant.mutated(&text).map(drop)
}

/// Builds kernels with mutants.
struct Builder<'a> {
    layout: &'a Layout,
    tree: PathBuf,
    programs: Vec<PathBuf>,
}

/// A built kernel, and the guest that does everything that the overlay's kernel can do.
struct Kernel<'a> {
    layout: &'a Layout,
    /// The name of the log.
    name: String,
    image: NamedTempFile,
    guest: Guest,
}

/// A mutant that is applied to the tree until this value is dropped.
struct Applied<'a> {
    builder: &'a Builder<'a>,
}

/// Builds mutants, boots each, and hands each with its result to `ended`. Fails unless the tests
/// pass without a mutant.
pub fn each<'a>(
    layout: &Layout,
    mutants: impl Iterator<Item = &'a Mutant>,
    mut ended: impl FnMut(&'a Mutant, Result<Fate>),
) -> Result<()> {
    let builder = Builder::new(layout)?;
    builder
        .build("mutant-none")?
        .boot()?
        .map_err(|failure| anyhow!("{failure}, without a mutant"))?;

    // A guest has several processors.
    let at_once = usize::max(1, thread::available_parallelism()?.get() / 2);
    let mut wait = |(mutant, thread): (&'a Mutant, ScopedJoinHandle<'_, Result<Fate>>)| {
        let fate = thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ended(mutant, fate);
    };
    thread::scope(|scope| {
        // Mutants whose kernels are running, the oldest one first.
        let mut booted = VecDeque::new();
        for mutant in mutants {
            let built = builder.mutant(mutant);
            if booted.len() >= at_once
                && let Some(oldest) = booted.pop_front()
            {
                wait(oldest);
            }
            booted.push_back((mutant, scope.spawn(move || fate(&built?))));
        }
        booted.into_iter().for_each(wait);
    });
    Ok(())
}

fn fate(kernel: &Kernel<'_>) -> Result<Fate> {
    Ok(match kernel.boot()? {
        Ok(()) => Fate::Survived,
        Err(failure) => Fate::Killed(failure),
    })
}

impl<'a> Builder<'a> {
    fn new(layout: &'a Layout) -> Result<Self> {
        let tree = graft::kernel_tree(layout)?;
        graft::graft(layout, &tree)?;
        let programs = build_selftests(layout, &tree)?;
        Ok(Self {
            layout,
            tree,
            programs,
        })
    }

    /// Builds the kernel with a mutant.
    fn mutant(&self, mutant: &Mutant) -> Result<Kernel<'a>> {
        let _applied = self.apply(mutant)?;
        self.build(&format!("mutant-{}", mutant.name.replace('/', "-")))
    }

    fn apply(&self, mutant: &Mutant) -> Result<Applied<'_>> {
        let path = &mutant.file;
        let text = files::read_text(&self.tree.join(path))?;
        let text = mutant.mutated(&text)?;
        let folder = self.layout.build.join("mutants/kernel");
        let file = folder.join(path);
        files::write(&file, &text)?;
        let change = match graft::map::links(self.layout)?.contains_key(path) {
            true => Change::Link(path.clone(), file),
            false => Change::Patch(self.patch(&mutant.name, path, &file)?),
        };
        let applied = Applied { builder: self };
        graft::graft_changed(self.layout, &self.tree, change)?;
        Ok(applied)
    }

    /// The patch that turns a file of the tree into another one.
    fn patch(&self, name: &str, path: &Path, file: &Path) -> Result<Patch> {
        let output = command("diff")
            .arg("-u")
            .args([
                format!("--label=a/{}", path.display()),
                format!("--label=b/{}", path.display()),
            ])
            .arg(self.tree.join(path))
            .arg(file)
            .output()
            .context("cannot run diff")?;
        ensure!(output.status.code() == Some(1), "diff: {}", output.status);
        Ok(Patch::new(
            name.to_owned(),
            String::from_utf8(output.stdout)?,
        ))
    }

    /// Builds the tree. The result needs nothing of the build directory.
    fn build(&self, name: &str) -> Result<Kernel<'a>> {
        let output = kernel::folder(self.layout, STATE);
        let kernel = kernel::build(self.layout, &self.tree, Some(&output), STATE)?;
        let guest = guest::chain(
            self.layout,
            name,
            kernel.image(),
            &kernel.modules(&[VERIFY_MODULE, SAMPLE_MODULE])?,
            &self.programs,
            SELFTESTS,
            SELECT_SUITES,
        )?;
        let image = NamedTempFile::new_in(&self.layout.build)?;
        fs::copy(kernel.image(), &image)?;
        Ok(Kernel {
            layout: self.layout,
            name: name.to_owned(),
            image,
            guest,
        })
    }
}

impl Kernel<'_> {
    /// Boots it. The inner result says what was wrong. If it cannot be booted, the outer one is an
    /// error.
    fn boot(&self) -> Result<Result<(), String>> {
        let over = |line: &str| {
            FAILURES
                .iter()
                .any(|failure| line.trim_start().starts_with(failure))
        };
        let log = qemu::boot_until(
            self.layout,
            &self.name,
            self.image.path(),
            &self.guest,
            Some(ENGINE),
            &over,
        )?;
        Ok(chain_output::check(&log))
    }
}

impl Drop for Kernel<'_> {
    fn drop(&mut self) {
        let initramfs = &self.guest.initramfs;
        if let Err(error) = fs::remove_file(initramfs) {
            eprintln!("cannot remove {}: {error}", initramfs.display());
        }
    }
}

impl Drop for Applied<'_> {
    fn drop(&mut self) {
        let Builder { layout, tree, .. } = self.builder;
        if let Err(error) = graft::graft(layout, tree) {
            eprintln!("cannot restore {}: {error:#}", tree.display());
        }
    }
}
