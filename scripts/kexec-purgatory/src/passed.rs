// SPDX-License-Identifier: GPL-2.0-only

//! Records what an interrupted run has passed, so that the next run can skip it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::command::{command, is_installed, output};
use crate::fetch;
use crate::files;
use crate::graft::map;
use crate::layout::Layout;
use crate::series;

/// Programs that build and run what is tested. Those in a Debian root are not among them.
const PROGRAMS: &[&str] = &[
    "/usr/bin/rustc",
    "/usr/bin/bindgen",
    "clang-19",
    "ld.lld-19",
    "gcc",
    "ld",
    "qemu-system-x86_64",
];

/// A file with the checksum of everything that is tested, and the names of what has passed, one per
/// line.
pub struct Passed {
    path: PathBuf,
    key: String,
}

impl Passed {
    /// The record `build/<name>-passed`.
    pub fn of(layout: &Layout, name: &str) -> Result<Self> {
        // Includes this program, which has the tests, and the next kernel.
        // The link still leads to it after it was built again.
        let mut sums = files::checksum(Path::new("/proc/self/exe"))?;
        sums += &fetch::distribution_kernel(layout)?.release;
        sums += &fetch::source(layout)?.1.sha256;
        sums += &versions(PROGRAMS)?;
        for file in map::links(layout)?.values() {
            sums += &files::checksum(file)?;
        }
        for patch in series::patch_files(layout)? {
            sums += &files::checksum(&patch)?;
        }
        sums += &files::checksum(&series::list(layout))?;
        for file in files::below(&layout.tool(""))? {
            sums += &files::checksum(&file)?;
        }
        Ok(Self {
            path: layout.build.join(format!("{name}-passed")),
            key: files::checksum_of_bytes(sums.as_bytes()),
        })
    }

    /// A record in a file, of a run with that key.
    #[cfg(test)]
    pub fn in_file(path: PathBuf, key: &str) -> Self {
        Self {
            path,
            key: key.to_owned(),
        }
    }

    /// The names in the file; empty if something else was tested.
    pub fn names(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let mut lines = text.lines();
        match lines.next() {
            Some(key) if key == self.key => lines.map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    pub fn add(&self, name: &str) -> Result<()> {
        let new = self.names().is_empty();
        let mut file = File::options()
            .create(true)
            .append(!new)
            .write(true)
            .truncate(new)
            .open(&self.path)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        if new {
            writeln!(file, "{}", self.key)?;
        }
        writeln!(file, "{name}")?;
        Ok(())
    }

    /// Removes the file, because the run is complete.
    pub fn forget(&self) -> Result<()> {
        files::remove(&self.path)
    }
}

/// What these programs print as their versions. One that is not installed has none.
fn versions(programs: &[&str]) -> Result<String> {
    let mut versions = String::new();
    for program in programs {
        versions += program;
        if is_installed(program)? {
            versions += &output(command(program).arg("--version"))?;
        }
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::{Passed, versions};

    #[test]
    fn versions_are_what_programs_print() {
        let printed = versions(&["git"]).unwrap();
        assert!(printed.contains("git version "), "{printed}");
        assert_eq!(versions(&["/no/git"]).unwrap(), "/no/git");
    }

    #[test]
    fn names_are_kept_for_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let with = |key: &str| Passed::in_file(folder.path().join("passed"), key);
        let one = with("one");
        assert!(one.names().is_empty());
        one.add("a").unwrap();
        one.add("b").unwrap();
        assert_eq!(with("one").names(), ["a", "b"]);

        let two = with("two");
        assert!(two.names().is_empty());
        two.add("c").unwrap();
        assert_eq!(two.names(), ["c"]);
        assert!(one.names().is_empty());
        two.forget().unwrap();
        two.forget().unwrap();
        assert!(two.names().is_empty());
    }
}
