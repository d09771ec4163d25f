// SPDX-License-Identifier: GPL-2.0-only

//! Extracts single files of the kernel's source as they were fetched, or as they were committed to
//! the user's own tree, whatever is grafted on the tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::command::{command, output};
use crate::exit::misuse;
use crate::fetch::{self, untar};
use crate::layout::Layout;

/// Writes the named files of the pristine tree below `to`.
pub fn extract(layout: &Layout, files: &BTreeSet<String>, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    match &layout.kdir {
        Some(tree) => committed(tree, files, to),
        None => fetched(layout, files, to),
    }
}

/// What a series against the pristine tree is based on, as a line of its cover letter.
pub fn base(layout: &Layout) -> Result<String> {
    Ok(match &layout.kdir {
        Some(tree) => format!("base-commit: {}", head(tree)?),
        None => format!("base: linux {}", fetch::source(layout)?.1.version),
    })
}

/// The commit that is checked out in a repository.
///
/// # Errors
///
/// Fails unless `tree` is the top directory of a repository.
fn head(tree: &Path) -> Result<String> {
    let git = |arguments: &[&str]| output(command("git").args(arguments).current_dir(tree));
    // A directory inside a repository has a path there.
    match git(&["rev-parse", "--show-prefix"]) {
        Ok(path) if path.trim().is_empty() => {
            Ok(git(&["rev-parse", "--verify", "HEAD"])?.trim().to_owned())
        }
        Ok(_) => misuse!(
            "{} is not the top of a git repository; the patches are made against what is committed",
            tree.display()
        ),
        Err(error) => misuse!(
            "{} is not a git repository that can be read; the patches are made against what is \
             committed\n{error:#}",
            tree.display()
        ),
    }
}

fn committed(tree: &Path, files: &BTreeSet<String>, to: &Path) -> Result<()> {
    let archive = NamedTempFile::new()?;
    output(
        command("git")
            .args(["archive", "--format=tar", "--output"])
            .arg(archive.path())
            .args([&head(tree)?, "--"])
            .args(files)
            .current_dir(tree),
    )
    .with_context(|| format!("cannot read the commit in {}", tree.display()))?;
    output(&mut untar(archive.path(), to))?;
    Ok(())
}

fn fetched(layout: &Layout, files: &BTreeSet<String>, to: &Path) -> Result<()> {
    let (deb, package) = fetch::source(layout)?;
    let top = package.name;
    let unpacked = fetch::unpacked(layout, &deb)?;
    let archive = unpacked.path().join(format!("usr/src/{top}.tar.xz"));
    output(
        untar(&archive, to)
            .arg("--strip-components=1")
            .args(files.iter().map(|file| format!("{top}/{file}"))),
    )
    .with_context(|| format!("cannot read {}", deb.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::{committed, head};
    use crate::command::{git, output};

    fn run_git(tree: &Path, arguments: &[&str]) {
        output(git(tree).args(arguments)).unwrap();
    }

    #[test]
    fn a_repository_gives_what_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, to) = (folder.path().join("tree"), folder.path().join("to"));
        fs::create_dir_all(tree.join("kernel")).unwrap();
        fs::create_dir(&to).unwrap();
        let file = "kernel/file.c";
        fs::write(tree.join(file), "committed").unwrap();
        run_git(&tree, &["init", "--quiet"]);
        run_git(&tree, &["add", "--all"]);
        run_git(&tree, &["commit", "--quiet", "--message", "x"]);
        fs::write(tree.join(file), "changed").unwrap();
        committed(&tree, &BTreeSet::from([file.to_owned()]), &to).unwrap();
        assert_eq!(fs::read_to_string(to.join(file)).unwrap(), "committed");
        // A file that is not there.
        assert!(committed(&tree, &BTreeSet::from(["none".to_owned()]), &to).is_err());
        // Not the top of the repository.
        assert!(head(&tree.join("kernel")).is_err());
    }

    #[test]
    fn another_directory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = head(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is not a git repository"), "{error}");
    }
}
