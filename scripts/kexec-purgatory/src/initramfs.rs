// SPDX-License-Identifier: GPL-2.0-only

//! Writing initramfs archives.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use cpio::newc::{Builder, trailer};

use crate::files;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const EXECUTABLE: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_777;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An initramfs that is being written; missing directories are added.
pub struct Initramfs {
    archive: BufWriter<File>,
    folders: BTreeSet<String>,
    inode: u32,
}

impl Initramfs {
    /// Starts an archive with the console that `/init` talks to.
    pub fn create(path: &Path) -> Result<Self> {
        let mut initramfs = Self {
            archive: BufWriter::new(files::create(path)?),
            folders: BTreeSet::new(),
            inode: 0,
        };
        for folder in ["proc", "sys", "dev", "tmp", "bin", "sbin"] {
            initramfs.folder(folder)?;
        }
        let console = initramfs
            .entry("dev/console", CHARACTER_DEVICE)
            .rdev_major(5)
            .rdev_minor(1);
        initramfs.write(console, &[])?;
        Ok(initramfs)
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.add(path, FILE, content)
    }

    /// Adds a copy of one of the host's programs.
    pub fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = files::read(from)?;
        self.add(path, EXECUTABLE, &content)
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, path: &str, target: &str) -> Result<()> {
        self.add(path, SYMLINK, target.as_bytes())
    }

    /// Ends the archive.
    pub fn finish(self) -> Result<()> {
        trailer(self.archive)?.flush()?;
        Ok(())
    }

    fn add(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.folder(parent)?;
        }
        let entry = self.entry(path, mode);
        self.write(entry, content)
    }

    /// Adds a directory, unless the archive has it.
    pub fn folder(&mut self, path: &str) -> Result<()> {
        if !self.folders.insert(path.to_owned()) {
            return Ok(());
        }
        self.add(path, DIRECTORY, &[])
    }

    fn entry(&mut self, path: &str, mode: u32) -> Builder {
        self.inode += 1;
        Builder::new(path).ino(self.inode).mode(mode)
    }

    fn write(&mut self, entry: Builder, content: &[u8]) -> Result<()> {
        let mut writer = entry.write(&mut self.archive, u32::try_from(content.len())?);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }
}
