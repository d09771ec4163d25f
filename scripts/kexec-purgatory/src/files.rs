// SPDX-License-Identifier: GPL-2.0-only

//! Reads, writes, compares, finds and removes files, and computes checksums. Errors name the path.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::command::{command, output, silent};

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The text of a file, which must be UTF-8.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// SHA-256 of a byte string, in hexadecimal.
pub fn checksum_of_bytes(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// SHA-256 of a file, in hexadecimal.
pub fn checksum(path: &Path) -> Result<String> {
    Ok(checksum_of_bytes(&read(path)?))
}

/// Makes an empty file, which can be written to.
pub fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Copies a file; zeros take no room in the copy.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    output(command("cp").arg("--sparse=always").args([from, to])).map(drop)
}

/// Writes a file, and makes the directories that it lies in.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, content))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a file. Until all is written, the file has its old content, or does not exist.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    fs::write(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Removes a file or a directory with all its contents, if it exists.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Makes an empty directory in place of what is at its path.
pub fn empty(folder: &Path) -> Result<()> {
    remove(folder)?;
    make_directory(folder)
}

/// Makes a directory, and those above it, unless it exists.
pub fn make_directory(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// The paths in a directory, not below its subdirectories, whose names end in a period and
/// `extension`, in the order of the names.
pub fn with_extension(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The paths of all files in a directory and its subdirectories, in the order of the names. Leaves
/// out symbolic links.
pub fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            paths.push(entry.into_path());
        }
    }
    Ok(paths)
}

/// Fails unless two directories have the same files with the same content, except for those of the
/// names `except`. Follows symbolic links.
pub fn compare(one: &Path, other: &Path, except: &[&str]) -> Result<()> {
    silent(
        command("diff")
            .args(["--recursive", "--brief"])
            .args(except.iter().map(|name| format!("--exclude={name}")))
            .args([one, other]),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn files_are_found_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["b.rs", "a.rs", "rs", "sub/c.rs"] {
            write(&path(name), name).unwrap();
        }
        let found = with_extension(folder.path(), "rs").unwrap();
        assert_eq!(found, ["a.rs", "b.rs"].map(path));
        let found = below(folder.path()).unwrap();
        assert_eq!(found, ["a.rs", "b.rs", "rs", "sub/c.rs"].map(path));
    }

    #[test]
    fn directories_must_have_the_same_files() {
        let folder = tempfile::tempdir().unwrap();
        let [file, link] = ["one/a/file", "other/a/file"].map(|name| folder.path().join(name));
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        let is_same = || compare(&one, &other, &["skipped"]).is_ok();
        write(&file, "text").unwrap();
        write(&one.join("skipped/file"), "").unwrap();
        fs::create_dir_all(other.join("a")).unwrap();
        assert!(!is_same());
        symlink(&file, &link).unwrap();
        assert!(is_same());
        write(&other.join("more"), "").unwrap();
        assert!(!is_same());
        remove(&other.join("more")).unwrap();
        remove(&link).unwrap();
        write(&link, "another text").unwrap();
        assert!(!is_same());
    }

    #[test]
    fn a_file_that_cannot_be_replaced_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [file, temporary] = ["file", "file.tmp"].map(|name| folder.path().join(name));
        replace(&file, "old").unwrap();
        // Stands for a disk that is full.
        fs::create_dir(&temporary).unwrap();
        assert!(replace(&file, "new").is_err());
        assert_eq!(read_text(&file).unwrap(), "old");
        fs::remove_dir(&temporary).unwrap();
        replace(&file, "new").unwrap();
        assert_eq!(read_text(&file).unwrap(), "new");
        assert!(!temporary.exists());
    }

    #[test]
    fn what_is_removed_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let [sub, file] = ["sub", "sub/file"].map(|name| folder.path().join(name));
        write(&file, "text").unwrap();
        remove(&file).unwrap();
        remove(&file).unwrap();
        write(&file, "text").unwrap();
        empty(&sub).unwrap();
        assert!(sub.is_dir() && !file.exists());
        remove(&sub).unwrap();
        assert!(!sub.exists());
    }
}
