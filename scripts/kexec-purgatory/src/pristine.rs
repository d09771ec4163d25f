// SPDX-License-Identifier: GPL-2.0-only

//! Extracts single files of the kernel's source as they were fetched, whatever is grafted on the
//! tree.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::command::{command, output};
use crate::fetch;
use crate::layout::Layout;

/// Writes the named files of the pristine tree below `to`.
pub fn extract(layout: &Layout, files: &[String], to: &Path) -> Result<()> {
    let (deb, top) = fetch::source_package(layout)?;
    fs::create_dir_all(to)?;
    let mut package = command("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(&deb)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut archive = command("tar")
        .args(["--extract", "--to-stdout"])
        .arg(format!("./usr/src/{top}.tar.xz"))
        .stdin(package.stdout.take().context("no package")?)
        .stdout(Stdio::piped())
        .spawn()?;
    output(
        command("tar")
            .args([
                "--extract",
                "--xz",
                "--no-same-owner",
                "--strip-components=1",
            ])
            .arg("--directory")
            .arg(to)
            .args(files.iter().map(|file| format!("{top}/{file}")))
            .stdin(archive.stdout.take().context("no archive")?),
    )?;
    if !archive.wait()?.success() || !package.wait()?.success() {
        bail!("cannot read {}", deb.display());
    }
    Ok(())
}
