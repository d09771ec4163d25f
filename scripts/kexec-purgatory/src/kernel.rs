// SPDX-License-Identifier: GPL-2.0-only

//! Building kernels, one for each state of `CONFIG_KEXEC_PURGATORY_VERIFY`.

mod config;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use walkdir::WalkDir;

use crate::command::{command, logged};
use crate::layout::Layout;
use crate::progress::Step;
use crate::setup;

/// What a kernel is configured for.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Verify {
    Y,
    M,
    N,
    /// `RUST=n`: mainline's own purgatory.
    Norust,
}

impl Verify {
    pub fn name(self) -> &'static str {
        match self {
            Self::Y => "y",
            Self::M => "m",
            Self::N => "n",
            Self::Norust => "norust",
        }
    }

    /// The fragments that make its configuration, on top of tinyconfig.
    fn fragments(self) -> &'static [&'static str] {
        match self {
            Self::Y => &["base", "rust", "y"],
            Self::M => &["base", "rust", "m"],
            Self::N => &["base", "rust", "n"],
            Self::Norust => &["base", "norust"],
        }
    }
}

/// Where a build leaves the kernel.
const IMAGE: &str = "arch/x86/boot/bzImage";

/// A kernel that was built.
#[derive(Clone)]
pub struct Built {
    output: PathBuf,
}

impl Built {
    /// The bzImage.
    pub fn image(&self) -> PathBuf {
        self.output.join(IMAGE)
    }

    /// The module of that name.
    pub fn module(&self, name: &str) -> Result<PathBuf> {
        let file = format!("{name}.ko");
        WalkDir::new(&self.output)
            .into_iter()
            .filter_map(|entry| Some(entry.ok()?.into_path()))
            .find(|path| path.ends_with(&file))
            .with_context(|| format!("{file} was not built"))
    }
}

/// Builds the kernel of a grafted tree.
pub fn build(layout: &Layout, tree: &Path, output: Option<&Path>, verify: Verify) -> Result<Built> {
    let output = match output {
        Some(dir) => dir.to_path_buf(),
        None => default_output(layout, verify)?,
    };
    fs::create_dir_all(&output)?;
    let output = output.canonicalize()?;
    let make = || make(layout, tree, &output);

    let mut step = Step::start(format!("configure kernel {}", verify.name()));
    let log = layout.log(&format!("config-{}", verify.name()))?;
    let wanted = config::read(layout, verify.fragments())?;
    logged(make()?.arg("tinyconfig"), &log, &mut step)?;
    config::append(&output.join(".config"), &wanted)?;
    logged(make()?.arg("olddefconfig"), &log, &mut step)?;
    let missing = config::missing(&wanted, &fs::read_to_string(output.join(".config"))?);
    if !missing.is_empty() {
        bail!(
            "the configuration in {} is not as asked:\n  {}",
            output.display(),
            missing.join("\n  ")
        );
    }
    step.done();

    let mut step = Step::start(format!("build kernel {}", verify.name()));
    let log = layout.log(&format!("build-{}", verify.name()))?;
    logged(
        make()?
            .arg(format!("-j{}", thread::available_parallelism()?))
            .args(["bzImage", "modules"]),
        &log,
        &mut step,
    )?;
    step.done();
    Ok(Built { output })
}

/// The build directory of a state.
///
/// A new one starts as a copy of another state's: only what depends on the option is built again.
fn default_output(layout: &Layout, verify: Verify) -> Result<PathBuf> {
    let folder = |verify: &Verify| layout.build.join(format!("kernel-{}", verify.name()));
    let output = folder(&verify);
    let other = Verify::value_variants()
        .iter()
        .map(folder)
        .find(|other| other.join(IMAGE).is_file());
    if let Some(other) = other
        && !output.exists()
    {
        let temporary = tempfile::tempdir_in(&layout.build)?;
        let copy = temporary.path().join("copy");
        crate::command::output(
            command("cp")
                .args(["--archive", "--reflink=auto"])
                .arg(other)
                .arg(&copy),
        )?;
        fs::rename(copy, &output)?;
    }
    Ok(output)
}

/// make in a kernel tree, with the toolchain that the overlay is built with.
fn make(layout: &Layout, tree: &Path, output: &Path) -> Result<Command> {
    let mut make = command("make");
    make.arg("-C")
        .arg(tree)
        .arg(format!("O={}", output.display()))
        .args(["ARCH=x86_64", "LLVM=-19"])
        .args(["RUSTC=/usr/bin/rustc", "HOSTRUSTC=/usr/bin/rustc"])
        .arg(format!("BINDGEN={}", setup::bindgen(layout)?.display()))
        .args(["KBUILD_BUILD_USER=kexec", "KBUILD_BUILD_HOST=purgatory"])
        .env("LIBCLANG_PATH", setup::LIBCLANG);
    Ok(make)
}
