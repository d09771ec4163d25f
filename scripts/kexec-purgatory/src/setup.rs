// SPDX-License-Identifier: GPL-2.0-only

//! Installs the programs that the other steps need, from the distribution's packages.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs, iter};

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use crate::apt::PrivateApt;
use crate::command::{cargo, command, logged, logged_step, output};
use crate::exit::Cause;
use crate::fetch::retried;
use crate::layout::{Layout, lock};
use crate::progress::Step;

/// What a command needs, besides what the script `bootstrap` installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Needs {
    /// To fetch the source of a kernel.
    Source,
    /// To build kernels and the purgatory, and to run scripts of the kernel.
    Kernel,
    /// To boot kernels in QEMU.
    Guest,
    /// To run the purgatory in Bochs.
    Bochs,
    /// To make a root of another release and to run programs in it. Only root can.
    Root,
    /// To check patches of Debian's source package.
    Quilt,
    /// To link libFuzzer.
    Fuzz,
    /// To check the format of Rust sources, and to run clippy.
    RustChecks,
    /// To check C sources with sparse.
    Sparse,
    /// To check shell scripts.
    Shellcheck,
    /// To check units of systemd.
    Systemd,
    /// To make the kernel's documentation.
    Sphinx,
    /// To run the kernel's own kselftests in a guest.
    Selftests,
    /// To compress kernels in every way.
    Compression,
    /// For a guest with UEFI.
    Uefi,
    /// For a guest with a TPM.
    Tpm,
    /// To make the disk of a guest.
    Disk,
}

impl Needs {
    /// Packages of the machine's own suites.
    pub fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Source => &["ca-certificates", "git", "xz-utils"],
            Self::Kernel => &[
                "bc",
                "bison",
                "clang-19",
                "flex",
                "gcc",
                "kmod",
                "libc6-dev",
                "libclang-19-dev",
                "libelf-dev",
                "libssl-dev",
                "lld-19",
                "llvm-19",
                "make",
                "perl",
                "python3",
            ],
            Self::Guest => &["busybox-static"],
            Self::Bochs => &["bochs", "bochs-term", "bochsbios", "vgabios"],
            Self::Root => &["mmdebstrap"],
            Self::Quilt => &["quilt"],
            Self::Fuzz => &["g++"],
            Self::RustChecks => &["rust-web-clippy", "rustfmt-web"],
            Self::Sparse => &["sparse"],
            Self::Shellcheck => &["shellcheck"],
            Self::Systemd => &["systemd"],
            Self::Sphinx => &["python3-sphinx", "python3-yaml"],
            Self::Selftests => &["attr", "pesign"],
            Self::Compression => &["bzip2", "lz4", "lzop", "zstd"],
            Self::Uefi => &["ovmf"],
            Self::Tpm => &["swtpm"],
            Self::Disk => &["dosfstools", "e2fsprogs", "fdisk", "mtools"],
        }
    }
}

/// The oldest QEMU that emulates the SHA extensions.
const QEMU: (u32, u32) = (8, 2);
const QEMU_PACKAGE: &str = "qemu-system-x86";
/// The suite that has it for Debian 12.
const QEMU_SUITE: &str = "bookworm-backports";

/// The oldest bindgen that the kernel accepts, and the version that is built if no package is new
/// enough.
const BINDGEN: (u32, u32) = (0, 71);
const BINDGEN_BUILT: &str = "0.72.1";

/// The version of cargo-mutants, which makes mutants of Rust sources.
const CARGO_MUTANTS: &str = "27.1.0";

/// The directory of libclang 19, so that bindgen uses no other version.
pub const LIBCLANG: &str = "/usr/lib/llvm-19/lib";

/// A distribution on which this tool installs packages.
#[derive(Clone, Copy, PartialEq)]
enum Debian {
    Bookworm,
    Trixie,
}

impl Debian {
    fn of_this_machine() -> Option<Self> {
        let text = fs::read_to_string("/etc/os-release").ok()?;
        let field = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .map(|value| value.trim_matches('"'))
        };
        match (field("ID")?, field("VERSION_ID")?) {
            ("debian", "12") => Some(Self::Bookworm),
            ("debian", "13") => Some(Self::Trixie),
            _ => None,
        }
    }
}

/// The name of the Debian release on this machine, if it is one on which this tool installs packages.
pub fn release() -> Option<&'static str> {
    Some(match Debian::of_this_machine()? {
        Debian::Bookworm => "bookworm",
        Debian::Trixie => "trixie",
    })
}

/// Installs what is missing, or says what is missing.
pub fn install(layout: &Layout, needs: &[Needs]) -> Result<()> {
    if needs.contains(&Needs::Root) && !geteuid().is_root() {
        bail!(Cause::Missing(
            "this runs programs of another Debian release, which needs root: run it as root"
                .to_owned()
        ));
    }
    let debian = Debian::of_this_machine();
    let mut packages: Vec<&str> = needs
        .iter()
        .flat_map(|needs| needs.packages())
        .copied()
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages.retain(|name| !installed(name));
    let bindgen_missing = needs.contains(&Needs::Kernel) && !bindgen_is_packaged();
    if bindgen_missing && debian == Some(Debian::Trixie) {
        packages.push("bindgen");
    }
    let qemu_missing = needs.contains(&Needs::Guest) && !version_is("qemu-system-x86_64", QEMU);
    if qemu_missing && debian != Some(Debian::Bookworm) {
        packages.push(QEMU_PACKAGE);
    }
    if !packages.is_empty() {
        install_packages(layout, debian, &packages)?;
    }
    if qemu_missing && debian == Some(Debian::Bookworm) {
        install_qemu(layout, debian)?;
    }
    if needs.contains(&Needs::Kernel) {
        bindgen(layout)?;
    }
    Ok(())
}

/// Installs QEMU from the suite that has a new one for Debian 12.
fn install_qemu(layout: &Layout, debian: Option<Debian>) -> Result<()> {
    may_install(
        debian,
        &format!("apt-get install -t {QEMU_SUITE} {QEMU_PACKAGE}    # after adding that suite"),
    )?;
    let mut step = Step::start(format!("install {QEMU_PACKAGE} from {QEMU_SUITE}"));
    let log = layout.log("install-qemu")?;
    retried(|| {
        let apt = PrivateApt::new(&layout.cache.join("apt"), QEMU_SUITE, true)?;
        logged(
            apt.command("apt-get")
                .args(["-y", "install", "--no-install-recommends", "-t", QEMU_SUITE])
                .arg(QEMU_PACKAGE),
            &log,
            &mut step,
        )
    })?;
    step.done();
    Ok(())
}

fn install_packages(layout: &Layout, debian: Option<Debian>, missing: &[&str]) -> Result<()> {
    may_install(debian, &format!("apt-get install {}", missing.join(" ")))?;
    let step = Step::start(format!("install {} packages", missing.len()));
    apt_get(layout, step, "install", missing)
}

/// Installs what the package `name` depends on, but not that package. `depends` is its field
/// `Depends`.
pub fn install_dependencies(layout: &Layout, name: &str, depends: &str) -> Result<()> {
    let by_hand = format!("apt-get satisfy '{depends}'");
    may_install(Debian::of_this_machine(), &by_hand)?;
    let step = Step::start(format!("install what {name} depends on"));
    apt_get(layout, step, "satisfy", &[depends])
}

/// Installs packages: `action` is `install` with their names, or `satisfy` with a dependency.
fn apt_get(layout: &Layout, mut step: Step, action: &str, what: &[&str]) -> Result<()> {
    let log = layout.log("install")?;
    retried(|| {
        // The package lists may be older than the wanted packages.
        output(command("apt-get").args(["-qq", "update"]))?;
        logged(
            command("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["-y", "--no-install-recommends", action])
                .args(what),
            &log,
            &mut step,
        )
    })?;
    step.done();
    Ok(())
}

/// The bindgen for kernel builds. Builds it if no package is new enough.
pub fn bindgen(layout: &Layout) -> Result<PathBuf> {
    if bindgen_is_packaged() {
        return Ok(PathBuf::from("/usr/bin/bindgen"));
    }
    Ok(built(layout, "bindgen-cli", BINDGEN_BUILT)?.join("bindgen"))
}

/// Makes a cargo command find cargo-mutants.
pub fn add_cargo_mutants(layout: &Layout, cargo: &mut Command) -> Result<()> {
    let folder = built(layout, "cargo-mutants", CARGO_MUTANTS)?;
    let path = cargo
        .get_envs()
        .find_map(|(name, value)| (name == "PATH").then_some(value?))
        .context("no PATH")?;
    let folders = iter::once(folder).chain(env::split_paths(path));
    cargo.env("PATH", env::join_paths(folders)?);
    Ok(())
}

/// The directory with the programs of a crate, which is built once for all checkouts.
fn built(layout: &Layout, name: &str, version: &str) -> Result<PathBuf> {
    let root = layout.cache.join(format!("{name}-{version}"));
    fs::create_dir_all(&root)?;
    let _lock = lock(&root)?;
    // cargo writes this file after all programs are in place.
    if !root.join(".crates.toml").is_file() {
        let log = layout.log(name)?;
        retried(|| {
            logged_step(
                format!("build {name} {version}"),
                &log,
                cargo()
                    .args(["install", name, "--locked", "--version", version])
                    .arg("--root")
                    .arg(&root)
                    .env("CARGO_TARGET_DIR", layout.build.join(name)),
            )
        })?;
    }
    Ok(root.join("bin"))
}

fn bindgen_is_packaged() -> bool {
    version_is("/usr/bin/bindgen", BINDGEN)
}

/// Succeeds if this process may install packages. Otherwise, fails with the command that installs
/// what is missing.
fn may_install(debian: Option<Debian>, by_hand: &str) -> Result<()> {
    if geteuid().is_root() && debian.is_some() {
        return Ok(());
    }
    bail!(Cause::Missing(format!(
        "packages are missing; as root, on Debian 12 or 13:\n  {by_hand}"
    )))
}

/// Whether dpkg lists a package as installed.
fn installed(package: &str) -> bool {
    output(command("dpkg-query").args(["-W", "-f", "${db:Status-Status}\n", package]))
        .is_ok_and(|status| status.lines().any(|line| line == "installed"))
}

/// Whether a program has at least the version `wanted`.
fn version_is(program: &str, wanted: (u32, u32)) -> bool {
    output(command(program).arg("--version"))
        .and_then(|text| version(&text))
        .is_ok_and(|version| version >= wanted)
}

/// The first `<major>.<minor>` in a text.
fn version(text: &str) -> Result<(u32, u32)> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .find_map(|word| {
            let mut numbers = word.split('.').map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        })
        .context("no version in what --version prints")
}
