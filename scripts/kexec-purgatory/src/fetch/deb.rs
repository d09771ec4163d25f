// SPDX-License-Identifier: GPL-2.0-only

//! Fetches packages of Debian's suites to the cache, and unpacks them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::apt::{Package, PrivateApt};
use crate::command::{command, output};
use crate::files;
use crate::layout::{Layout, lock};
use crate::progress::Step;

/// How often a download is tried.
const TRIES: u32 = 3;

/// The newest package of a suite whose name matches `pattern` and is not `unwanted`, in the cache,
/// with the checksum that the index states. `None` if the suite has none. `name` names the record of
/// what was fetched; `what` is for messages.
pub fn deb(
    layout: &Layout,
    name: &str,
    what: &str,
    suite: &str,
    pattern: &str,
    unwanted: impl Fn(&str) -> bool,
) -> Result<Option<(PathBuf, Package)>> {
    let _lock = lock(&layout.cache)?;
    let record = record(layout, name);
    if let Some((path, fetched)) = cached(layout, &record)?
        && files::checksum(&path)? == fetched.sha256
    {
        return Ok(Some((path, fetched)));
    }

    let step = Step::start(format!("fetch {what}"));
    let apt = private_apt(layout, suite)?;
    let Some(newest) = apt.search(pattern, unwanted)?.into_iter().next() else {
        return Ok(None);
    };
    let path = file(layout, &newest);
    fs::create_dir_all(debs(layout))?;
    retried(|| download(layout, &apt, &newest, &path))?;
    files::replace(&record, serde_json::to_string_pretty(&newest)?)?;
    step.done();
    Ok(Some((path, newest)))
}

/// Where packages are kept.
fn debs(layout: &Layout) -> PathBuf {
    layout.cache.join("debs")
}

fn file(layout: &Layout, package: &Package) -> PathBuf {
    debs(layout).join(format!("{}.deb", package.sha256))
}

/// The file that records which package was fetched under that name.
pub fn record(layout: &Layout, name: &str) -> PathBuf {
    debs(layout).join(format!("{name}.json"))
}

/// The package that a record names, if it is in the cache.
pub fn cached(layout: &Layout, record: &Path) -> Result<Option<(PathBuf, Package)>> {
    let Ok(text) = fs::read_to_string(record) else {
        return Ok(None);
    };
    let fetched: Package = serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; remove it", record.display()))?;
    let path = file(layout, &fetched);
    Ok(path.is_file().then_some((path, fetched)))
}

pub fn private_apt(layout: &Layout, suite: &str) -> Result<PrivateApt> {
    retried(|| PrivateApt::new(&layout.cache.join("apt"), suite, false))
}

/// Downloads one package to `path`, which appears only once it is complete.
fn download(layout: &Layout, apt: &PrivateApt, package: &Package, path: &Path) -> Result<()> {
    // What a killed run leaves here is removed by the next one.
    let temporary = tempfile::tempdir_in(&layout.cache)?;
    let what = format!("{}={}", package.name, package.version);
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
    accept(&deb, &package.sha256, path).context(what)
}

/// Moves a downloaded file to `path` if it has the checksum `expected`.
fn accept(downloaded: &Path, expected: &str, path: &Path) -> Result<()> {
    let sum = files::checksum(downloaded)?;
    ensure!(
        sum == expected,
        "checksum {sum}, the index states {expected}"
    );
    fs::rename(downloaded, path)?;
    Ok(())
}

/// Tries something that the network may make fail, up to [`TRIES`] times.
pub fn retried<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..TRIES {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => eprintln!("{error:#}\ntrying again"),
        }
    }
    attempt()
}
/// The contents of a package of the distribution, in the build directory.
pub fn contents(layout: &Layout, deb: &Path, package: &Package) -> Result<PathBuf> {
    let all = layout.build.join("distribution");
    let dir = all.join(&package.sha256);
    if !dir.is_dir() {
        fs::create_dir_all(&all)?;
        fs::rename(unpacked(layout, deb)?.keep(), &dir)?;
    }
    Ok(dir)
}

/// A temporary directory with the contents of a package.
pub fn unpacked(layout: &Layout, deb: &Path) -> Result<TempDir> {
    let folder = tempfile::tempdir_in(&layout.build)?;
    output(command("dpkg-deb").arg("-x").arg(deb).arg(folder.path()))?;
    Ok(folder)
}

/// tar, to extract an archive to a directory. The caller may append the paths in the archive of the
/// files to extract.
pub fn untar(archive: &Path, to: &Path) -> Command {
    let mut tar = command("tar");
    tar.args(["--extract", "--no-same-owner", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(to);
    tar
}

#[cfg(test)]
mod tests {
    use std::fs;

    use anyhow::bail;

    use super::{TRIES, accept, retried};
    use crate::files;

    #[test]
    fn a_broken_download_is_not_kept_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let [downloaded, kept] = ["downloaded", "kept"].map(|name| folder.path().join(name));
        let expected = files::checksum_of_bytes(b"whole");
        let mut contents = ["", "who", "whole"].iter();
        retried(|| {
            assert!(!kept.exists());
            fs::write(&downloaded, contents.next().unwrap()).unwrap();
            accept(&downloaded, &expected, &kept)
        })
        .unwrap();
        assert_eq!(fs::read(&kept).unwrap(), b"whole");
    }

    #[test]
    fn what_always_fails_is_given_up() {
        let mut tries = 0;
        let result: anyhow::Result<()> = retried(|| {
            tries += 1;
            bail!("try {tries}")
        });
        assert_eq!(result.unwrap_err().to_string(), format!("try {TRIES}"));
        assert_eq!(tries, TRIES);
    }
}
