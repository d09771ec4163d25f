// SPDX-License-Identifier: GPL-2.0-only

//! Fetching what others wrote: the kernel's source, and a distribution's kernel.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::apt::PrivateApt;
use crate::checksum;
use crate::command::{command, logged, output};
use crate::layout::{Layout, SERIES, lock};
use crate::progress::Step;

/// The suite that carries the series.
const SUITE: &str = "trixie-backports";

/// How often a download is tried.
const TRIES: u32 = 3;

/// A package in the cache, as APT's index described it.
#[derive(Deserialize, Serialize)]
struct Fetched {
    package: String,
    version: String,
    sha256: String,
}

/// The distribution's kernel.
pub struct DistributionKernel {
    pub image: PathBuf,
    /// What `uname -r` says on it.
    pub release: String,
}

/// The kernel tree of this clone, which the overlay is grafted onto, extracted where that was not
/// done yet.
pub fn kernel_tree(layout: &Layout) -> Result<PathBuf> {
    extracted(layout, layout.tree())
}

/// A second kernel tree of this clone, which nothing but fixes of the kernel is grafted onto.
pub fn pristine_tree(layout: &Layout) -> Result<PathBuf> {
    extracted(layout, layout.build.join(format!("pristine-{SERIES}")))
}

fn extracted(layout: &Layout, tree: PathBuf) -> Result<PathBuf> {
    let mut marker = tree.clone().into_os_string();
    marker.push(".json");
    let marker = PathBuf::from(marker);
    if marker.is_file() && tree.is_dir() {
        return Ok(tree);
    }
    let (deb, fetched) = source(layout)?;
    let name = &fetched.package;
    let mut step = Step::start(format!("extract {name} {}", fetched.version));
    for old in [&tree, &marker] {
        remove(old)?;
    }
    let temporary = unpacked(layout, &deb)?;
    let archive = temporary.path().join(format!("usr/src/{name}.tar.xz"));
    let top = temporary.path().join("tree");
    fs::create_dir(&top)?;
    logged(
        command("tar")
            .args([
                "--extract",
                "--no-same-owner",
                "--strip-components=1",
                "--file",
            ])
            .arg(&archive)
            .arg("--directory")
            .arg(&top),
        &layout.log("extract")?,
        &mut step,
    )?;
    fs::rename(&top, &tree)?;
    fs::write(&marker, serde_json::to_string_pretty(&fetched)?)?;
    step.done();
    Ok(tree)
}

/// The package with the kernel's source.
pub fn source_package(layout: &Layout) -> Result<PathBuf> {
    source(layout).map(|(deb, _)| deb)
}

/// That package's version.
pub fn source_version(layout: &Layout) -> Result<String> {
    source(layout).map(|(_, fetched)| fetched.version)
}

fn source(layout: &Layout) -> Result<(PathBuf, Fetched)> {
    let pattern = format!("^linux-source-{}$", SERIES.replace('.', "\\."));
    deb(layout, "source", &pattern, |_| false)
}

/// The distribution's signed kernel.
pub fn distribution_kernel(layout: &Layout) -> Result<DistributionKernel> {
    let pattern = format!("^linux-binary-{}\\..*-amd64$", SERIES.replace('.', "\\."));
    let (deb, fetched) = deb(layout, "binary", &pattern, |name| {
        name.contains("-cloud-") || name.contains("-rt-")
    })?;
    let release = fetched
        .package
        .strip_prefix("linux-binary-")
        .context("not a kernel's package")?
        .to_owned();
    let dir = layout.build.join("distribution").join(&fetched.sha256);
    if !dir.is_dir() {
        fs::create_dir_all(layout.build.join("distribution"))?;
        fs::rename(unpacked(layout, &deb)?.keep(), &dir)?;
    }
    let image = dir.join(format!("usr/lib/modules/{release}/vmlinuz"));
    if !image.is_file() {
        bail!("{} has no {}", deb.display(), image.display());
    }
    Ok(DistributionKernel { image, release })
}

/// The configuration of the distribution's kernel.
pub fn distribution_config(layout: &Layout) -> Result<String> {
    let pattern = format!("^linux-config-{}$", SERIES.replace('.', "\\."));
    let (deb, fetched) = deb(layout, "config", &pattern, |_| false)?;
    let temporary = unpacked(layout, &deb)?;
    let folder = temporary.path().join("usr/src").join(fetched.package);
    output(
        command("xz")
            .args(["--decompress", "--stdout"])
            .arg(folder.join("config.amd64_none_amd64.xz")),
    )
}

/// A folder with what is in a package.
fn unpacked(layout: &Layout, deb: &Path) -> Result<TempDir> {
    let folder = tempfile::tempdir_in(&layout.build)?;
    output(command("dpkg-deb").arg("-x").arg(deb).arg(folder.path()))?;
    Ok(folder)
}

/// A package in the cache whose checksum is what the index states.
fn deb(
    layout: &Layout,
    kind: &str,
    pattern: &str,
    unwanted: impl Fn(&str) -> bool,
) -> Result<(PathBuf, Fetched)> {
    let debs = layout.cache.join("debs");
    fs::create_dir_all(&debs)?;
    let _lock = lock(&layout.cache)?;
    let record = debs.join(format!("{kind}-{SERIES}.json"));
    let file = |fetched: &Fetched| debs.join(format!("{}.deb", fetched.sha256));
    if let Ok(text) = fs::read_to_string(&record) {
        let fetched: Fetched = serde_json::from_str(&text)
            .with_context(|| format!("{} is damaged; remove it", record.display()))?;
        let path = file(&fetched);
        if path.is_file() && checksum::of_file(&path)? == fetched.sha256 {
            return Ok((path, fetched));
        }
    }

    let step = Step::start(format!("fetch the {kind} of linux {SERIES}"));
    let apt = PrivateApt::new(&layout.cache.join("apt"), SUITE, false)?;
    let Some(newest) = apt.search(pattern, unwanted)?.into_iter().next() else {
        bail!(
            "{SUITE} has no package {pattern} any more.\n\
             Name a {SERIES} kernel tree with KDIR=, as in: make kernel KDIR=/path/to/linux"
        );
    };
    let fetched = Fetched {
        package: newest.name,
        version: newest.version,
        sha256: newest.sha256,
    };
    let path = file(&fetched);
    retried(|| download(&apt, &fetched, &path))?;
    fs::write(&record, serde_json::to_string_pretty(&fetched)?)?;
    step.done();
    Ok((path, fetched))
}

/// Downloads one package to `path`, which appears only once it is whole.
fn download(apt: &PrivateApt, fetched: &Fetched, path: &Path) -> Result<()> {
    let temporary = tempfile::tempdir_in(path.parent().context("no folder")?)?;
    let what = format!("{}={}", fetched.package, fetched.version);
    output(
        apt.command("apt-get")
            .args(["-qq", "download", &what])
            .current_dir(temporary.path()),
    )?;
    let deb = temporary
        .path()
        .read_dir()?
        .next()
        .with_context(|| format!("nothing was downloaded for {what}"))??
        .path();
    let sum = checksum::of_file(&deb)?;
    if sum != fetched.sha256 {
        bail!(
            "{what}: checksum {sum}, the index states {}",
            fetched.sha256
        );
    }
    fs::rename(&deb, path)?;
    Ok(())
}

/// Does something that may fail for reasons of the network a few times.
pub fn retried<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..TRIES {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => eprintln!("{error:#}\ntrying again"),
        }
    }
    attempt()
}

/// Removes a file or a folder that may be there.
pub fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)?;
    } else if path.exists() {
        fs::remove_file(path)?;
    }
    Ok(())
}
