// SPDX-License-Identifier: GPL-2.0-only

//! Where things lie: the overlay, its build directory and the cache.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::checksum;
use crate::exit::Cause;

/// The kernel series that the overlay is for.
pub const SERIES: &str = "7.3";

/// The tool's own folder, below the top of the overlay.
const TOOL: &str = "scripts/kexec-purgatory";

/// The folders that every command works with.
pub struct Layout {
    /// Top of the overlay.
    pub overlay: PathBuf,
    /// What this clone builds of a kernel tree.
    pub build: PathBuf,
    /// What is fetched, for all clones of this user.
    pub cache: PathBuf,
    /// The kernel tree that the user named, if one was.
    pub kdir: Option<PathBuf>,
}

impl Layout {
    /// Finds the overlay around the current directory; `kdir` is the kernel tree to use in place of
    /// the one that is fetched.
    pub fn find(kdir: Option<PathBuf>) -> Result<Self> {
        let here = env::current_dir()?;
        let overlay = here
            .ancestors()
            .find(|dir| dir.join(TOOL).join("graft.map").is_file())
            .with_context(|| format!("{} is not inside the overlay", here.display()))?
            .to_path_buf();
        let cache = match env::var_os("XDG_CACHE_HOME") {
            Some(dir) if Path::new(&dir).is_absolute() => PathBuf::from(dir),
            _ => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cache"),
        }
        .join("kexec-purgatory");
        let mut build = overlay.join("build");
        let kdir = kdir
            .map(|dir| {
                dir.canonicalize().map_err(|error| {
                    Cause::Use(format!("cannot use {} as KDIR: {error}", dir.display()))
                })
            })
            .transpose()?;
        if let Some(dir) = &kdir {
            // Objects of one tree are of no use for another.
            let mut tree = checksum::of_bytes(dir.as_os_str().as_encoded_bytes());
            tree.truncate(8);
            build.push(format!("kdir-{tree}"));
        }
        fs::create_dir_all(&build)?;
        fs::create_dir_all(&cache)?;
        Ok(Self {
            overlay,
            build,
            cache,
            kdir,
        })
    }

    /// A path inside the tool's own folder.
    pub fn tool(&self, path: &str) -> PathBuf {
        self.overlay.join(TOOL).join(path)
    }

    /// The kernel tree that is used when none is named.
    pub fn tree(&self) -> PathBuf {
        self.build.join(format!("linux-{SERIES}"))
    }

    /// Where the log called `name` is kept.
    pub fn log(&self, name: &str) -> Result<PathBuf> {
        let logs = self.build.join("logs");
        fs::create_dir_all(&logs)?;
        Ok(logs.join(format!("{name}.log")))
    }
}

/// Holds `dir` for this process, so that two runs do not build over each other.
///
/// The lock goes when the returned file is dropped.
pub fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(".lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            eprintln!("waiting for another run that uses {}", dir.display());
        }
        Err(fs::TryLockError::Error(error)) => bail!("cannot lock {}: {error}", path.display()),
    }
    file.lock()?;
    Ok(file)
}
