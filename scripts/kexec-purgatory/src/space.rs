// SPDX-License-Identifier: GPL-2.0-only

//! How much room commands need on the disk, and whether it is there.
//!
//! The sizes are those of a command that finds nothing done. What the directories hold already is
//! taken for a part of it, whichever command has made it: a command must not refuse to run where it
//! ran before. So a directory full of other results may make it run out of room later, and so may a
//! full disk beside an empty one, because the free space of both disks counts.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use walkdir::WalkDir;

use crate::exit::Cause;

/// The bytes of a gigabyte.
const GIGABYTE: u64 = 1_000_000_000;

/// A number of gigabytes.
#[derive(Clone, Copy)]
pub struct Gigabytes(pub u64);

// What commands need in the build directory and in the cache. Each constant has the name of its
// command.
pub const BENCH: Gigabytes = Gigabytes(5);
pub const BENCH_NO_EMULATION: Gigabytes = Gigabytes(3);
pub const BENCH_STATIC: Gigabytes = Gigabytes(3);
pub const CHECK: Gigabytes = Gigabytes(2);
pub const DEB_FULL: Gigabytes = Gigabytes(40);
pub const DEB_GUEST: Gigabytes = Gigabytes(12);
pub const DEBIAN_PATCHES: Gigabytes = Gigabytes(5);
pub const FAULTS: Gigabytes = Gigabytes(8);
pub const FUZZ: Gigabytes = Gigabytes(1);
pub const GRAFT: Gigabytes = Gigabytes(2);
pub const KERNEL: Gigabytes = Gigabytes(4);
pub const MATRIX: Gigabytes = Gigabytes(20);
pub const MUTANTS: Gigabytes = Gigabytes(5);
pub const REGISTERS: Gigabytes = Gigabytes(5);
pub const RUN: Gigabytes = Gigabytes(5);
pub const SERIES: Gigabytes = Gigabytes(3);
pub const SERIES_CHECK: Gigabytes = Gigabytes(8);
pub const TEST: Gigabytes = Gigabytes(10);
pub const TEST_DEBIAN_FULL: Gigabytes = Gigabytes(50);
pub const TEST_DEBIAN_GUEST: Gigabytes = Gigabytes(18);

impl fmt::Display for Gigabytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} GB", self.0)
    }
}

/// Fails unless what `folders` hold and the free space on their disks add up to `needed`.
///
/// # Errors
///
/// [`Cause::Missing`] if there is too little room.
pub fn check(folders: &[&Path], needed: Gigabytes) -> Result<()> {
    let bytes = needed.0 * GIGABYTE;
    // By the number of the disk: directories on one disk share its free space.
    let mut free = BTreeMap::new();
    for folder in folders {
        let name = || folder.display().to_string();
        let disk = rustix::fs::statvfs(*folder).with_context(name)?;
        let number = fs::metadata(folder).with_context(name)?.dev();
        free.insert(number, disk.f_bavail * disk.f_frsize);
    }
    let free = free.into_values().sum();
    // The directories may have millions of files: they are only looked at if that can help.
    if free >= bytes {
        return Ok(());
    }
    let held = folders.iter().map(|folder| held(folder)).sum();
    let Some(more) = too_much(bytes, held, free) else {
        return Ok(());
    };
    let names: Vec<String> = folders
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    bail!(Cause::Missing(format!(
        "too little disk space: this needs {needed} in {}; {} are still to be written, and {} are \
         free. Make room there",
        names.join(" and "),
        Gigabytes(more.div_ceil(GIGABYTE)),
        Gigabytes(free / GIGABYTE)
    )))
}

/// The bytes that are still to be written when `needed` bytes are needed and `held` of them are
/// there, unless so many are free.
fn too_much(needed: u64, held: u64, free: u64) -> Option<u64> {
    let more = needed.saturating_sub(held);
    (more > free).then_some(more)
}

/// The bytes that a directory takes on the disk. A sparse file takes less than its length.
fn held(folder: &Path) -> u64 {
    WalkDir::new(folder)
        .into_iter()
        .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.blocks() * 512))
        .sum()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::{Gigabytes, check, held, too_much};
    use crate::exit::Cause;

    #[test]
    fn room_is_asked_for_before_it_is_needed() {
        let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let folders = [one.path(), two.path()];
        assert!(check(&folders, Gigabytes(0)).is_ok());
        let error = check(&folders, Gigabytes(1_000_000_000)).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Cause::Missing(_))));
        let text = error.to_string();
        assert!(text.contains("needs 1000000000 GB in "), "{text}");
        for folder in folders {
            assert!(text.contains(&folder.display().to_string()), "{text}");
        }
    }

    #[test]
    fn what_is_there_needs_no_room() {
        assert_eq!(too_much(10, 0, 9), Some(10));
        assert_eq!(too_much(10, 0, 10), None);
        assert_eq!(too_much(10, 6, 3), Some(4));
        assert_eq!(too_much(10, 6, 4), None);
        assert_eq!(too_much(10, 10, 0), None);
        assert_eq!(too_much(10, 30, 0), None);
    }

    #[test]
    fn holes_in_files_take_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let empty = held(folder.path());
        let sparse = File::create(folder.path().join("sparse")).unwrap();
        sparse.set_len(1 << 30).unwrap();
        assert!(held(folder.path()) - empty < 1 << 20);
        fs::write(folder.path().join("whole"), [1; 1 << 20]).unwrap();
        sparse.sync_all().unwrap();
        File::open(folder.path().join("whole"))
            .unwrap()
            .sync_all()
            .unwrap();
        assert!(held(folder.path()) - empty >= 1 << 20);
    }
}
