// SPDX-License-Identifier: GPL-2.0-only

//! Mutants of the kernel's side. Each is built into a kernel, and the boot of that kernel must
//! reveal it.
//!
//! They are built one after the other in the build directory of state `m`, where each rebuilds only
//! what depends on the file that it changes. While one is built, those before it are booted.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context, Result, anyhow, ensure};
use tempfile::NamedTempFile;

use super::Fate;
use super::list::Mutant;
use crate::checksum;
use crate::command::command;
use crate::engines::EngineKind;
use crate::graft::patch::Patch;
use crate::graft::{self, Change};
use crate::guest::{self, Guest};
use crate::kernel::{self, SAMPLE_MODULE, VERIFY_MODULE, Verify};
use crate::kexec;
use crate::layout::Layout;
use crate::qemu::{self, SerialLog};
use crate::test::build_selftests;

const STATE: Verify = Verify::M;

/// The engine that the loader picks on the guest's processor.
const ENGINE: EngineKind = EngineKind::ShaNiX3;

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
];
const SELECT_SUITES: &str = "kunit.filter_glob=*kexec_*[eknr]";

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
    layout: &'a Layout,
    tree: &'a Path,
}

/// Builds mutants, boots each, and hands each with its result to `ended`. Fails unless the tests
/// pass without a mutant.
pub fn each<'a>(
    layout: &Layout,
    mutants: impl Iterator<Item = &'a Mutant>,
    mut ended: impl FnMut(&'a Mutant, Result<Fate>) -> Result<()>,
) -> Result<()> {
    let builder = Builder::new(layout)?;
    builder
        .build("mutant-none")?
        .boot()?
        .map_err(|failure| anyhow!("{failure}, without a mutant"))?;

    // A guest has several processors.
    let at_once = usize::max(1, thread::available_parallelism()?.get() / 2);
    thread::scope(|scope| {
        let mut booted = VecDeque::new();
        for mutant in mutants {
            let built = builder.mutant(mutant);
            while booted.len() >= at_once {
                wait(&mut booted, &mut ended)?;
            }
            booted.push_back((mutant, scope.spawn(move || fate(&built?))));
        }
        while !booted.is_empty() {
            wait(&mut booted, &mut ended)?;
        }
        Ok(())
    })
}

/// Mutants whose kernels are running, the oldest one first.
type Booted<'a, 's> = VecDeque<(&'a Mutant, ScopedJoinHandle<'s, Result<Fate>>)>;

/// Waits until the oldest one has ended.
fn wait<'a>(
    booted: &mut Booted<'a, '_>,
    ended: &mut impl FnMut(&'a Mutant, Result<Fate>) -> Result<()>,
) -> Result<()> {
    let (mutant, thread) = booted.pop_front().context("none is booted")?;
    let fate = thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    ended(mutant, fate)
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
        let text = fs::read_to_string(self.tree.join(path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        let text = mutant.mutated(&text)?;
        let folder = self.layout.build.join("mutants/kernel");
        let file = folder.join(path);
        fs::create_dir_all(file.parent().context("a file without a folder")?)?;
        fs::write(&file, &text)?;
        let change = match graft::map::links(self.layout)?.contains_key(path) {
            true => Change::Link(path.clone(), file),
            false => Change::Patch(self.patch(&mutant.name, path, &file)?),
        };
        let applied = Applied {
            layout: self.layout,
            tree: &self.tree,
        };
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
        Ok(check(&log))
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
        if let Err(error) = graft::graft(self.layout, self.tree) {
            eprintln!("cannot restore {}: {error:#}", self.tree.display());
        }
    }
}

/// Checks what the kernels of a guest printed; see `chain` in its `/init`.
fn check(log: &SerialLog) -> Result<(), String> {
    for line in log.lines().map(str::trim_start) {
        if let Some(failure) = FAILURES.iter().find(|failure| line.starts_with(**failure)) {
            return Err(match *failure {
                "not ok " => format!("KUnit: {line}"),
                _ => line.trim_start_matches("guest: ").to_owned(),
            });
        }
    }
    for suite in SUITES {
        let passed = |line: &str| line.starts_with("ok ") && line.ends_with(suite);
        if !log.lines().any(passed) {
            return Err(format!("KUnit: {suite} did not run"));
        }
    }
    let exits = log
        .lines()
        .filter(|line| *line == "guest: ktap exit 0")
        .count();
    if exits != SELFTESTS.len() {
        return Err(format!("{exits} kselftests passed"));
    }
    let mut rest: Vec<&str> = log
        .lines()
        .skip_while(|line| !line.starts_with("guest: chain "))
        .collect();
    rest.reverse();
    facts().iter().try_for_each(|fact| fact.find(&mut rest))
}

/// What a chain of kernels must print, in this order.
enum Fact {
    /// A line.
    Line(String),
    /// The decision to verify an image of that kind, in this many regions, and the purgatory's line
    /// that says that it did.
    Verified(&'static str, u32),
    /// A line that begins like this, with no line of a purgatory before it.
    Direct(&'static str),
    /// The beginning of a line.
    Begin(&'static str),
    /// What a kernel says about how it was entered: a part of the line, which ends with the time.
    Entered(&'static str),
}

fn facts() -> Vec<Fact> {
    let payload = guest::small_payload();
    let arrived = format!(
        "guest: chain arrived {} {}",
        payload.len(),
        checksum::of_bytes(&payload)
    );
    let line = |text: &str| Fact::Line(text.to_owned());
    vec![
        line("guest: chain unknown: loaded with kexec_load()"),
        line(
            "kexec: normal image: direct: KEXEC_PURGATORY_VERIFY=m and no policy module is loaded",
        ),
        line("guest: chain direct: KEXEC_PURGATORY_VERIFY=m and no policy module is loaded"),
        Fact::Direct("Linux version "),
        Fact::Entered(": direct: KEXEC_PURGATORY_VERIFY=m and no policy module is loaded: "),
        Fact::Line(arrived.clone()),
        Fact::Verified("normal", 3),
        Fact::Entered(": verified 3 regions, "),
        Fact::Line(arrived),
        Fact::Verified("crash", 4),
        Fact::Entered(": verified 4 regions, "),
        Fact::Begin("guest: vmcore "),
        line("guest: finished"),
    ]
}

impl Fact {
    /// Searches for it in `lines`, whose last one comes first, and removes the lines up to it.
    fn find(&self, lines: &mut Vec<&str>) -> Result<(), String> {
        match self {
            Self::Line(text) => take(lines, |line| line == text).ok_or(format!("no line '{text}'")),
            Self::Begin(text) => {
                take(lines, |line| line.starts_with(text)).ok_or(format!("no line '{text}'"))
            }
            Self::Entered(text) => take(lines, |line| {
                line.starts_with("kexec: entered by ")
                    && line.contains(text)
                    && line.ends_with(" ms since machine_kexec()")
            })
            .ok_or(format!("the next kernel does not tell '{text}'")),
            Self::Direct(text) => {
                let is_next =
                    |line: &str| line.starts_with("purgatory: ") || line.starts_with(text);
                match take_line(lines, is_next) {
                    Some(line) if line.starts_with(text) => Ok(()),
                    Some(line) => Err(format!("the image is direct, but '{line}'")),
                    None => Err("no next kernel".to_owned()),
                }
            }
            Self::Verified(kind, regions) => verified(lines, kind, *regions),
        }
        .map(drop)
    }
}

/// Checks that an image was to be verified, according to the log and sysfs, and that the purgatory
/// did it.
fn verified(lines: &mut Vec<&str>, kind: &str, regions: u32) -> Result<(), String> {
    let image = format!("kexec: {kind} image: ");
    let work = take_line(lines, |line| {
        line.strip_prefix(&image)
            .and_then(kexec::to_verify)
            .is_some()
    })
    .and_then(|line| kexec::to_verify(line.strip_prefix(&image)?))
    .ok_or(format!("no {kind} image is to be verified"))?;
    if work.regions != regions || work.engine != ENGINE.name() {
        return Err(format!(
            "{} regions are to be verified by {}",
            work.regions, work.engine
        ));
    }
    let decision = match kind {
        "crash" => "verified: crash image",
        _ => "verified: policy of kexec_purgatory_verify",
    };
    for line in [
        format!("{image}{decision}"),
        format!("guest: chain {decision}"),
    ] {
        take(lines, |found| found == line).ok_or(format!("no line '{line}'"))?;
    }
    let said = take_line(lines, |line| line.starts_with("purgatory: "))
        .ok_or("the purgatory said nothing")?;
    let done = format!(
        "purgatory: verified {regions} regions, {} bytes, engine {},",
        work.bytes, work.engine
    );
    match said.starts_with(&done) {
        true => Ok(()),
        false => Err(said.to_owned()),
    }
}

/// Removes lines up to one for which `found` is true.
fn take(lines: &mut Vec<&str>, found: impl Fn(&str) -> bool) -> Option<()> {
    take_line(lines, found).map(drop)
}

/// Like [`take`]; returns the line.
fn take_line<'a>(lines: &mut Vec<&'a str>, found: impl Fn(&str) -> bool) -> Option<&'a str> {
    while let Some(line) = lines.pop() {
        if found(line) {
            return Some(line);
        }
    }
    None
}
