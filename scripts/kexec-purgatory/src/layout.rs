// SPDX-License-Identifier: GPL-2.0-only

//! The directories: the overlay, its build directory and the cache.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::exit::Cause;
use crate::files;

/// The tool's own directory, relative to the top of the overlay.
const TOOL: &str = "scripts/kexec-purgatory";

/// The directories that every command uses.
#[derive(Clone)]
pub struct Layout {
    /// Top of the overlay.
    pub overlay: PathBuf,
    /// What this clone builds from a kernel tree.
    pub build: PathBuf,
    /// What is fetched, shared by all clones of this user.
    pub cache: PathBuf,
    /// The kernel tree that the user named, if any.
    pub kdir: Option<PathBuf>,
    /// The series that the user named, one of [`crate::supported::SERIES`], if any.
    pub series: Option<&'static str>,
}

/// What the names of temporary files and directories begin with: the default of `tempfile`.
const TEMPORARY: &str = ".tmp";

impl Layout {
    /// Finds the overlay around the current directory. `kdir` is the kernel tree to use instead of
    /// the fetched one, `series` the series to fetch instead of the newest.
    pub fn find(kdir: Option<PathBuf>, series: Option<&'static str>) -> Result<Self> {
        let here = env::current_dir()?;
        let overlay = here
            .ancestors()
            .find(|dir| dir.join(TOOL).join("graft.map").is_file())
            .ok_or_else(|| Cause::Use(format!("{} is not inside the overlay", here.display())))?
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
        // Objects of one tree are useless for another.
        if let Some(series) = series {
            build.push(format!("series-{series}"));
        }
        if let Some(dir) = &kdir {
            let mut tree = files::checksum_of_bytes(dir.as_os_str().as_encoded_bytes());
            tree.truncate(8);
            build.push(format!("kdir-{tree}"));
        }
        files::make_directory(&build)?;
        files::make_directory(&cache)?;
        Ok(Self {
            overlay,
            build,
            cache,
            kdir,
            series,
        })
    }

    /// A path inside the tool's own directory.
    pub fn tool(&self, path: &str) -> PathBuf {
        self.overlay.join(TOOL).join(path)
    }

    /// The path of the log called `name`.
    pub fn log(&self, name: &str) -> Result<PathBuf> {
        Ok(self.logs()?.join(format!("{name}.log")))
    }

    /// The directory of all logs. Makes it if there is none.
    pub fn logs(&self) -> Result<PathBuf> {
        let logs = self.build.join("logs");
        fs::create_dir_all(&logs)?;
        Ok(logs)
    }
}

/// Locks `dir` for this process, so that two runs do not build over each other. Removes what killed
/// runs left there: only the owner of the lock may have temporary files in `dir`.
///
/// Dropping the returned file releases the lock.
pub fn lock(dir: &Path) -> Result<File> {
    let path = dir.join(".lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            eprintln!("waiting for another run that uses {}", dir.display());
            file.lock()?;
        }
        Err(fs::TryLockError::Error(error)) => bail!("cannot lock {}: {error}", path.display()),
    }
    remove_left(dir)?;
    Ok(file)
}

/// Removes the temporary files and directories that killed runs left in `dir`. One that cannot be
/// removed is named, and stays.
pub fn remove_left(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
            && let Err(error) = files::remove(&entry.path())
        {
            eprintln!("{error:#}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_directories_of_killed_runs_are_removed() {
        let build = tempfile::tempdir().unwrap();
        let kept = build.path().join("kernel/.tmp_kept");
        files::write(&kept, "").unwrap();
        let left = tempfile::tempdir_in(&build).unwrap().keep();
        files::write(&left.join("tree/file"), "").unwrap();
        let _lock = lock(build.path()).unwrap();
        assert!(!left.exists());
        assert!(kept.exists());
    }
}
