// SPDX-License-Identifier: GPL-2.0-only

//! A private APT configuration, for suites that the machine does not use.
//!
//! It uses the same mirror as the machine's own sources and trusts only Debian's keyring. Lists and
//! packages stay in the cache; nothing is written to `/etc/apt` or `/var/lib/apt`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::command::{command, output};
use crate::files;

pub const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A package as the index describes it.
#[derive(Deserialize, Serialize)]
pub struct Package {
    #[serde(rename = "package")]
    pub name: String,
    pub version: String,
    pub sha256: String,
}

/// APT with the machine's configuration and private sources.
pub struct PrivateApt {
    dir: PathBuf,
}

impl PrivateApt {
    /// Sets up APT for one suite below `dir`, and reads the suite's index.
    ///
    /// With `machine_sources`, the machine's own suites are configured as well, so that APT finds
    /// dependencies there.
    pub fn new(dir: &Path, suite: &str, machine_sources: bool) -> Result<Self> {
        let dir = dir.join(suite);
        let sources = dir.join("sources");
        files::remove(&sources)?;
        for sub in ["sources", "lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        if machine_sources {
            copy_sources(&sources)?;
        }
        fs::write(
            sources.join("kexec-purgatory.sources"),
            format!(
                "Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n",
                mirror()?
            ),
        )?;
        let apt = Self { dir };
        let mut update = apt.command("apt-get");
        update.args(["-qq", "update"]);
        if !machine_sources {
            // By default, apt-get succeeds without an index if there is no network. The machine's
            // own sources may have some that do not work, which is not this tool's concern.
            update.args(["-o", "APT::Update::Error-Mode=any"]);
        }
        output(&mut update).with_context(|| format!("cannot read the index of {suite}"))?;
        Ok(apt)
    }

    /// One of APT's programs, with the private configuration.
    pub fn command(&self, program: &str) -> Command {
        let mut apt = command(program);
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        for (option, path) in [
            ("Dir::Etc::sourceparts", "sources"),
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
        ] {
            apt.arg("-o")
                .arg(format!("{option}={}", self.dir.join(path).display()));
        }
        // The cache may lie where APT's own sandbox user cannot read.
        apt.args(["-o", "Dir::Etc::sourcelist=/dev/null"])
            .args(["-o", "APT::Sandbox::User=root"])
            .args(["-o", "Acquire::Retries=3"]);
        apt
    }

    /// The packages whose names match `pattern`, newest first. Skips names for which `unwanted` is
    /// true.
    pub fn search(&self, pattern: &str, unwanted: impl Fn(&str) -> bool) -> Result<Vec<Package>> {
        let found = output(
            self.command("apt-cache")
                .args(["search", "--names-only", pattern]),
        )?;
        let mut packages = Vec::new();
        for line in found.lines() {
            let name = line.split(' ').next().unwrap_or_default();
            if !unwanted(name) {
                packages.push(self.show(name)?);
            }
        }
        packages.sort_by(|a, b| {
            if a.version == b.version {
                a.name.cmp(&b.name)
            } else if newer(&a.version, &b.version) {
                std::cmp::Ordering::Less
            } else {
                std::cmp::Ordering::Greater
            }
        });
        Ok(packages)
    }

    /// The newest version of a package.
    fn show(&self, name: &str) -> Result<Package> {
        let text = output(
            self.command("apt-cache")
                .args(["show", "--no-all-versions", name]),
        )?;
        let field = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                .map(str::to_owned)
                .with_context(|| format!("the index states no {key} for {name}"))
        };
        Ok(Package {
            name: name.to_owned(),
            version: field("Version")?,
            sha256: field("SHA256")?,
        })
    }
}

/// The URI from which the machine gets Debian's main archive.
pub fn mirror() -> Result<String> {
    let listed = output(command("apt-get").args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Origin: Debian",
        "Label: Debian",
    ]))?;
    listed
        .lines()
        .next()
        .map(str::to_owned)
        .context("APT knows no Debian archive; run apt-get update as root")
}

/// Copies the machine's source lists.
fn copy_sources(to: &Path) -> Result<()> {
    let list = Path::new("/etc/apt/sources.list");
    if list.is_file() {
        fs::copy(list, to.join("machine.list"))?;
    }
    let parts = Path::new("/etc/apt/sources.list.d");
    for entry in parts.read_dir().into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if text.ends_with(".list") || text.ends_with(".sources") {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

/// Whether version `a` is newer than `b`, as dpkg orders them.
fn newer(a: &str, b: &str) -> bool {
    command("dpkg")
        .args(["--compare-versions", a, "gt", b])
        .status()
        .is_ok_and(|status| status.success())
}
