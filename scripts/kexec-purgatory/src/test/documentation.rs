// SPDX-License-Identifier: GPL-2.0-only

//! Checks the overlay's documentation with the kernel's own tools.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{Kernels, TreeTest, sysfs_abi};
use crate::command::{command, logged_step, output};
use crate::kernel::toolchain::Toolchain;

/// The directories with pages of the overlay, below `Documentation/`.
const FOLDERS: &[&str] = &["arch/x86", "admin-guide/kdump"];

/// Text in the names of all pages of the overlay, and of no others. A path in a message may have
/// one of them before this text, too: the checkout can be anywhere.
const NAMES: &[&str] = &["kexec-purgatory", "sysfs-kernel-kexec-verify"];

/// The directory of all pages.
const PAGES: &str = "Documentation/";

/// The tests of the group `documentation`.
pub const TESTS: &[TreeTest] = &[
    ("documentation/html", html),
    ("documentation/abi", |kernels| abi(kernels.tree())),
];

/// `make htmldocs` makes every page and prints nothing about it.
fn html(kernels: &mut Kernels) -> Result<()> {
    let layout = kernels.layout;
    let made = tempfile::tempdir_in(&layout.build)?;
    let log = layout.log("htmldocs")?;
    logged_step(
        "make htmldocs".to_owned(),
        &log,
        Toolchain::Machine
            .make(layout, kernels.tree(), made.path(), "x86_64")?
            .arg("htmldocs")
            .arg(format!("SPHINXDIRS={}", FOLDERS.join(" "))),
    )?;

    for folder in FOLDERS {
        let pages: Vec<_> = fs::read_dir(layout.overlay.join("Documentation").join(folder))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        ensure!(!pages.is_empty(), "no page in Documentation/{folder}");
        for page in pages {
            let html = made
                .path()
                .join("Documentation/output")
                .join(folder)
                .join(page.file_name().unwrap_or_default())
                .with_extension("html");
            ensure!(html.is_file(), "{} was not made", html.display());
        }
    }
    quiet(&fs::read_to_string(&log)?)
}

/// The script that reads descriptions of sysfs files finds the overlay's, and prints nothing about
/// them.
fn abi(tree: &Path) -> Result<()> {
    let script = || {
        let mut script = command("/usr/bin/python3");
        script
            .current_dir(tree)
            .args(["tools/docs/get_abi.py", "--dir", "Documentation/ABI"]);
        script
    };
    let validated = script().arg("validate").output()?;
    ensure!(validated.status.success(), "get_abi.py validate failed");
    quiet(&String::from_utf8_lossy(&validated.stderr))?;
    quiet(&String::from_utf8_lossy(&validated.stdout))?;

    for file in sysfs_abi::sysfs_files(tree)? {
        let path = format!("/sys/kernel/kexec/{file}");
        // Without the anchor, a longer name would match. What is not found is named, too.
        let found = output(script().args(["search", &format!("{path}$")]))?;
        ensure!(
            found
                .lines()
                .any(|line| line.ends_with(&format!(". {path}"))),
            "{path} is not described"
        );
    }
    Ok(())
}

/// Checks that nothing in `text` is about a file of the overlay.
fn quiet(text: &str) -> Result<()> {
    let about: Vec<_> = text
        .lines()
        .filter(|line| {
            line.split_whitespace()
                .filter_map(|word| word.rsplit_once(PAGES))
                .any(|(_, path)| NAMES.iter().any(|name| path.contains(name)))
        })
        .collect();
    ensure!(about.is_empty(), "{}", about.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::quiet;

    #[test]
    fn a_message_is_about_the_page_at_the_end_of_a_path() {
        let path = "/src/kexec-purgatory/build/linux-7.3";
        for quiet_line in [
            format!("make: Entering directory '{path}'"),
            format!("{path}/Documentation/arch/x86/tdx.rst:1: WARNING: x"),
        ] {
            quiet(&quiet_line).unwrap();
        }
        quiet(&format!(
            "{path}/Documentation/arch/x86/kexec-purgatory.rst:1: WARNING: x"
        ))
        .unwrap_err();
        quiet("WARNING: see Documentation/ABI/testing/sysfs-kernel-kexec-verify").unwrap_err();
    }
}
