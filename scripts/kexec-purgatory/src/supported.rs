// SPDX-License-Identifier: GPL-2.0-only

//! The kernels that the overlay is for.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::exit::misuse;

/// The kernel series that the overlay is for, newest first.
pub const SERIES: &[&str] = &["7.3", "7.2"];

/// The series of that name, one of [`SERIES`]. The error says which there are.
pub fn named(name: &str) -> Result<&'static str, String> {
    let found = SERIES.iter().copied().find(|series| *series == name);
    found.ok_or_else(|| {
        format!(
            "the overlay is for {}.\nCONTRIBUTING.md tells how to port it to another kernel.",
            SERIES.join(" and ")
        )
    })
}

/// The series, one of [`SERIES`], of the kernel tree in a directory.
pub fn series(tree: &Path) -> Result<&'static str> {
    let text = fs::read_to_string(tree.join("Makefile")).unwrap_or_default();
    let field = |key: &str| {
        text.lines().take(10).find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim())
        })
    };
    let (Some(version), Some(patchlevel)) = (field("VERSION"), field("PATCHLEVEL")) else {
        misuse!(
            "{} is not a kernel tree; KDIR= takes the top of a source tree of linux {}",
            tree.display(),
            SERIES.join(" or ")
        );
    };
    let found = format!("{version}.{patchlevel}");
    match named(&found) {
        Ok(series) => Ok(series),
        Err(unsupported) => misuse!(
            "{} is linux {found}.{}; {unsupported}",
            tree.display(),
            field("SUBLEVEL").unwrap_or("0")
        ),
    }
}
