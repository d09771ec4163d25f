// SPDX-License-Identifier: GPL-2.0-only

//! Building kernels, one for each state of `CONFIG_KEXEC_PURGATORY_VERIFY`.

pub mod config;
pub mod objects;
pub mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use self::toolchain::Toolchain;
use crate::bzimage::BzImage;
use crate::command::{logged, logged_step};
use crate::files;
use crate::layout::Layout;
use crate::progress::Step;

/// What a kernel is configured for.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Verify {
    Y,
    M,
    N,
    /// `RUST=n`: mainline's own purgatory.
    Norust,
    /// `y` with every option that affects what is loaded, and with debugging options that find
    /// leaks and wrong locking. Built with GCC, GNU ld and the oldest Rust.
    Options,
    /// `m` with the same options, and with one that finds bad accesses. Built with clang, lld and
    /// the oldest Rust.
    OptionsM,
}

impl Verify {
    pub fn name(self) -> &'static str {
        match self {
            Self::Y => "y",
            Self::M => "m",
            Self::N => "n",
            Self::Norust => "norust",
            Self::Options => "options",
            Self::OptionsM => "options-m",
        }
    }

    /// The toolchain that builds it.
    pub fn toolchain(self) -> Toolchain {
        match self {
            Self::Y | Self::M | Self::N | Self::Norust => Toolchain::Machine,
            Self::Options => Toolchain::GCC_OLDEST,
            Self::OptionsM => Toolchain::CLANG_OLDEST,
        }
    }

    /// The fragments that make its configuration, on top of tinyconfig.
    fn fragments(self) -> &'static [&'static str] {
        match self {
            Self::Y => &["base", "rust", "y"],
            Self::M => &["base", "rust", "m"],
            Self::N => &["base", "rust", "n"],
            Self::Norust => &["base", "norust"],
            Self::Options => &["base", "rust", "y", "watch", "options"],
            Self::OptionsM => &["base", "rust", "m", "watch", "kasan", "options"],
        }
    }
}

/// The default build directory of a state. A configuration that changes every object gets its own
/// build directory.
pub fn folder(layout: &Layout, verify: Verify) -> PathBuf {
    layout.build.join(match verify {
        Verify::Y | Verify::M | Verify::N | Verify::Norust => "kernel",
        Verify::Options => "kernel-options",
        Verify::OptionsM => "kernel-options-m",
    })
}

/// The module that verifies normal images where the option is `m`.
pub const VERIFY_MODULE: &str = "kexec_purgatory_verify";

/// The sample module with another policy.
pub const SAMPLE_MODULE: &str = "rust_kexec_policy";

/// A kernel that was built, and its modules.
#[derive(Clone)]
pub struct Built {
    image: PathBuf,
    modules: Vec<PathBuf>,
}

impl Built {
    /// What a build left in its directory, which may also have modules of other states.
    pub fn in_place(output: &Path) -> Result<Self> {
        let order = files::read_text(&output.join("modules.order"))?;
        Ok(Self {
            image: output.join("arch/x86/boot/bzImage"),
            modules: order
                .lines()
                .map(|object| output.join(object).with_extension("ko"))
                .collect(),
        })
    }

    /// Copies what was built, so that another state can be built in the same directory.
    pub fn kept(self, layout: &Layout, name: &str, output: &Path) -> Result<Self> {
        let images = layout.build.join("images");
        fs::create_dir_all(&images)?;
        let new = tempfile::tempdir_in(&layout.build)?;
        let folder = images.join(name);
        let keep = |file: &Path| {
            let name = file.file_name().context("a file without a name")?;
            fs::copy(file, new.path().join(name))
                .with_context(|| format!("cannot copy {}", file.display()))?;
            Ok(folder.join(name))
        };
        keep(&output.join("vmlinux"))?;
        keep(&output.join(".config"))?;
        let kept = Self {
            image: keep(&self.image)?,
            modules: self
                .modules
                .iter()
                .map(|module| keep(module))
                .collect::<Result<_>>()?,
        };
        files::remove(&folder)?;
        fs::rename(new.keep(), &folder)?;
        Ok(kept)
    }

    /// The bzImage.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// The same kernel as ELF, with its symbols. Exists only after [`Built::kept`].
    pub fn vmlinux(&self) -> PathBuf {
        self.image.with_file_name("vmlinux")
    }

    /// Its configuration. Exists only after [`Built::kept`].
    pub fn config(&self) -> PathBuf {
        self.image.with_file_name(".config")
    }

    /// What `uname -r` says on it.
    pub fn release(&self) -> Result<String> {
        BzImage::parse(&fs::read(&self.image)?)?.release()
    }

    /// The modules of these names.
    pub fn modules(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        names.iter().map(|name| self.module(name)).collect()
    }

    /// The module of that name.
    pub fn module(&self, name: &str) -> Result<PathBuf> {
        self.modules
            .iter()
            .find(|path| path.file_stem().is_some_and(|stem| stem == name))
            .cloned()
            .with_context(|| format!("{name}.ko was not built"))
    }
}

/// Builds the kernel of a grafted tree.
///
/// Without `output`, most states share one build directory. A state then rebuilds only what depends
/// on the option, and `build/images` keeps the result. (Copies of a build directory would not help:
/// objtool is built again in each copy because of the paths that it recorded, and all objects with
/// it.)
pub fn build(layout: &Layout, tree: &Path, output: Option<&Path>, verify: Verify) -> Result<Built> {
    match output {
        Some(output) => build_in(layout, tree, output, verify),
        None => {
            let output = folder(layout, verify);
            build_in(layout, tree, &output, verify)?.kept(layout, verify.name(), &output)
        }
    }
}

/// Configures a state's build directory for that state, since another one may have been built there
/// last. Returns the directory.
pub fn configured(layout: &Layout, tree: &Path, verify: Verify) -> Result<PathBuf> {
    let output = folder(layout, verify);
    fs::create_dir_all(&output)?;
    let output = output.canonicalize()?;
    let wanted = config::read(layout, verify.fragments())?;
    configure(layout, &wanted, verify.name(), &output, &|| {
        verify.toolchain().make(layout, tree, &output, "x86_64")
    })?;
    Ok(output)
}

/// Builds the kernel of state `n`, compressed with `CONFIG_KERNEL_<how>`.
pub fn build_compressed(layout: &Layout, tree: &Path, how: &str) -> Result<Built> {
    let verify = Verify::N;
    let output = folder(layout, verify);
    fs::create_dir_all(&output)?;
    let output = output.canonicalize()?;
    let make = || verify.toolchain().make(layout, tree, &output, "x86_64");
    let compression = config::parse_all(&[
        "# CONFIG_KERNEL_GZIP is not set",
        &format!("CONFIG_KERNEL_{how}=y"),
    ])?;
    let mut wanted = config::read(layout, verify.fragments())?;
    wanted.retain(|setting| !compression.iter().any(|other| other.replaces(setting)));
    wanted.extend(compression);
    let name = format!("n-{}", how.to_lowercase());
    configure(layout, &wanted, &name, &output, &make)?;
    build_objects(layout, &name, &make)?;
    Built::in_place(&output)?.kept(layout, &name, &output)
}

/// Builds the kernel of a state in `output`. Unless `whole` is set, the tree may lack options that
/// the state's fragments ask for.
pub fn build_partly(
    layout: &Layout,
    tree: &Path,
    output: &Path,
    verify: Verify,
    name: &str,
    whole: bool,
) -> Result<Built> {
    files::make_directory(output)?;
    let make = || verify.toolchain().make(layout, tree, output, "x86_64");
    let mut step = Step::start(format!("configure kernel {name}"));
    let log = layout.log(&format!("config-{name}"))?;
    let mut wanted = config::read(layout, verify.fragments())?;
    start_config(&["tinyconfig"], &wanted, output, &make, &log, &mut step)?;
    if !whole {
        wanted.retain(|setting| setting.symbol() == "CONFIG_RUST");
    }
    config::check(&wanted, &output.join(".config"))?;
    step.done();
    build_objects(layout, name, &make)?;
    Built::in_place(output)
}

/// Builds the module `<name>.ko` out of tree, in a directory whose Kbuild names it, for the state
/// that was last built in the state's build directory.
pub fn build_module(
    layout: &Layout,
    tree: &Path,
    verify: Verify,
    source: &Path,
    name: &str,
) -> Result<PathBuf> {
    let log = layout.log(&format!("build-{name}"))?;
    logged_step(
        format!("build {name} out of tree"),
        &log,
        verify
            .toolchain()
            .make(layout, tree, &folder(layout, verify), "x86_64")?
            .arg(format!("M={}", source.display()))
            .arg("modules"),
    )?;
    Ok(source.join(name).with_extension("ko"))
}

fn build_in(layout: &Layout, tree: &Path, output: &Path, verify: Verify) -> Result<Built> {
    files::make_directory(output)?;
    let output = output.canonicalize()?;
    let make = || verify.toolchain().make(layout, tree, &output, "x86_64");
    let wanted = config::read(layout, verify.fragments())?;
    configure(layout, &wanted, verify.name(), &output, &make)?;
    build_objects(layout, verify.name(), &make)?;
    Built::in_place(&output)
}

fn build_objects(layout: &Layout, name: &str, make: &dyn Fn() -> Result<Command>) -> Result<()> {
    let log = layout.log(&format!("build-{name}"))?;
    logged_step(
        format!("build kernel {name}"),
        &log,
        make()?.args(["bzImage", "modules"]),
    )
}

/// Makes the configuration, and checks that it has everything that is wanted.
fn configure(
    layout: &Layout,
    wanted: &[config::Setting],
    name: &str,
    output: &Path,
    make: &dyn Fn() -> Result<Command>,
) -> Result<()> {
    let mut step = Step::start(format!("configure kernel {name}"));
    let log = layout.log(&format!("config-{name}"))?;
    let config = output.join(".config");
    // What the configuration was last made from. If that is unchanged, the configuration is only
    // updated.
    let stamp = output.join(".fragments");
    let text = config::text(wanted);
    if !config.is_file() || fs::read_to_string(&stamp).unwrap_or_default() != text {
        // If this is interrupted, the configuration is made again.
        files::remove(&stamp)?;
        start_config(&["tinyconfig"], wanted, output, make, &log, &mut step)?;
    } else {
        logged(make()?.arg("olddefconfig"), &log, &mut step)?;
    }
    if let Err(missing) = config::check(wanted, &config) {
        // Kconfig silently drops RUST if it does not accept the compilers.
        let rust = match logged(make()?.arg("rustavailable"), &log, &mut step) {
            Ok(()) => String::new(),
            Err(error) => format!("\n{error:#}"),
        };
        bail!("{missing:#}{rust}");
    }
    fs::write(stamp, text)?;
    step.done();
    Ok(())
}

/// Makes the configuration that the targets `base` make, with the settings `wanted`. Settings that
/// the tree does not have drop out. `make` builds in the directory `output`.
pub fn start_config(
    base: &[&str],
    wanted: &[config::Setting],
    output: &Path,
    make: &dyn Fn() -> Result<Command>,
    log: &Path,
    step: &mut Step,
) -> Result<()> {
    logged(make()?.args(base), log, step)?;
    config::append(&output.join(".config"), wanted)?;
    logged(make()?.arg("olddefconfig"), log, step)
}
