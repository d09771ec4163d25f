// SPDX-License-Identifier: GPL-2.0-only

//! A guest's memory, in a file.

use std::fs;
use std::path::Path;
use std::process;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::files;
use crate::layout::Layout;

/// Memory of a guest in bytes. All of it is below 3 GiB, so that a physical address is an offset in
/// the file.
pub const SIZE: u64 = 384 << 20;

/// Room for the memory of all machines that exist at the same time, in bytes.
const ROOM: u64 = 4 << 30;

/// The beginning of directory names. The number of the process that owns the directory follows.
const PREFIX: &str = "kexec-purgatory-";

/// A directory for memory and states, which is removed when it is dropped: in memory if there is
/// room.
pub fn folder(layout: &Layout) -> Result<TempDir> {
    let shm = Path::new("/dev/shm");
    // What is left takes room.
    for parent in [shm, &layout.build] {
        remove_left(parent)?;
    }
    let room =
        rustix::fs::statvfs(shm).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let parent = match room >= ROOM {
        true => shm,
        false => &layout.build,
    };
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", process::id()))
        .tempdir_in(parent)
        .with_context(|| format!("cannot write to {}", parent.display()))
}

/// Removes the directories of processes that were killed: in memory they would stay until the next
/// boot.
fn remove_left(parent: &Path) -> Result<()> {
    if !parent.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(owner);
        if owner.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            // Another process may remove it as well.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// The process that a directory belongs to.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

/// Makes a file for a machine's memory, all zeros.
pub fn create(path: &Path) -> Result<()> {
    files::create(path)?.set_len(SIZE)?;
    Ok(())
}

/// Copies a machine's memory; zeros take no room.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    files::copy_sparse(from, to)?;
    let length = fs::metadata(to)?.len();
    ensure!(length == SIZE, "{} has {length} bytes", from.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{copy, create, owner, remove_left};

    #[test]
    fn a_copy_is_the_same() {
        use std::fs::File;
        use std::os::unix::fs::{FileExt, MetadataExt};

        let folder = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| folder.path().join(name));
        create(&from).unwrap();
        let file = File::options().write(true).open(&from).unwrap();
        file.write_all_at(b"x", super::SIZE - 1).unwrap();
        copy(&from, &to).unwrap();
        let copy = File::open(&to).unwrap();
        let mut end = [0; 2];
        copy.read_exact_at(&mut end, super::SIZE - 2).unwrap();
        assert_eq!(end, [0, b'x']);
        assert!(copy.metadata().unwrap().blocks() * 512 < super::SIZE / 2);
    }

    #[test]
    fn folders_of_the_dead_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        let make = |name: String| {
            let path = parent.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        // No process has such a large number.
        let dead = make(format!("{}{}-x", super::PREFIX, u32::MAX));
        let ours = make(format!("{}{}-x", super::PREFIX, std::process::id()));
        let other = make("other-4294967295-x".to_owned());
        remove_left(parent.path()).unwrap();
        assert!(!dead.exists() && ours.exists() && other.exists());
        assert_eq!(owner("kexec-purgatory-12-abc"), Some(12));
        assert_eq!(owner("kexec-purgatory-abc"), None);
    }
}
