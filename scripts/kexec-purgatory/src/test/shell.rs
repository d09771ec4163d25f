// SPDX-License-Identifier: GPL-2.0-only

//! Runs shellcheck on the overlay's shell scripts.

use anyhow::{Result, ensure};

use super::{Report, overlay};
use crate::command::{command, is_installed, silent};
use crate::files;
use crate::layout::Layout;

/// The scripts, by their paths in the overlay.
fn scripts(layout: &Layout) -> Result<Vec<String>> {
    let mut scripts = Vec::new();
    for path in overlay::files(layout)? {
        let text = files::read(&layout.overlay.join(&path))?;
        let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
        if first.starts_with(b"#!") && (first.ends_with(b"/sh") || first.ends_with(b"bash")) {
            scripts.push(path);
        }
    }
    Ok(scripts)
}

pub fn names(layout: &Layout) -> Result<Vec<String>> {
    Ok(scripts(layout)?.iter().map(|path| name(path)).collect())
}

fn name(path: &str) -> String {
    format!("shell/{path}")
}

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
    let scripts = scripts(layout)?;
    ensure!(!scripts.is_empty(), "there is no script");
    let there = is_installed("shellcheck")?;
    for path in &scripts {
        match there {
            true => report.test(&name(path), || check(layout, path)),
            // "make test" installs it, "make check" installs nothing.
            false => report.skip(&name(path), "shellcheck is not installed"),
        }
    }
    Ok(())
}

fn check(layout: &Layout, path: &str) -> Result<()> {
    silent(
        command("shellcheck")
            .args(["--format=gcc", "--external-sources", path])
            .current_dir(&layout.overlay),
    )
}
