// SPDX-License-Identifier: GPL-2.0-only

//! The third-party crates that the purgatory uses, for the kernel's `rust/` directory.
//!
//! Cargo fetches them and checks them against `digest/Cargo.lock`. The cache has them in the form
//! in which the kernel keeps such crates: the sources, with an SPDX line each, and a README.md. A
//! file beside them has their checksums, which are compared before the crates are used.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::command::{cargo, output};
use crate::fetch::retried;
use crate::files;
use crate::layout::{Layout, lock};
use crate::progress::Step;

/// The directory of the crate that depends on them, with the lock file.
const DEPENDANT: &str = "arch/x86/purgatory/rust/digest";

/// The crates that the purgatory's Makefile builds. The lock file has more, which `sha2` does not
/// use when it is built for one code path.
pub const CRATES: &[&str] = &[
    "block-buffer",
    "cfg-if",
    "crypto-common",
    "digest",
    "hybrid-array",
    "sha2",
    "typenum",
];

/// Name of a directory with an import's first state, without SPDX lines.
const PUBLISHED: &str = "published";
/// Name of a directory with the form that the kernel keeps.
const IMPORTED: &str = "rust";
/// Name of the file with the checksums of both.
const CHECKSUMS: &str = "SHA256SUMS";

/// The part of a manifest that goes into README.md.
#[derive(Deserialize)]
struct Manifest {
    package: Package,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: String,
    repository: String,
}

/// Crates in the cache.
pub struct Vendored {
    folder: PathBuf,
}

impl Vendored {
    /// Fetches the crates that the lock file names, unless the cache has them, undamaged.
    pub fn fetch(layout: &Layout) -> Result<Self> {
        let manifest = layout.overlay.join(DEPENDANT).join("Cargo.toml");
        let lock_file = files::read(&manifest.with_file_name("Cargo.lock"))?;
        let name = format!("crates-{:.16}", files::checksum_of_bytes(&lock_file));
        let folder = layout.cache.join(name);
        let _lock = lock(&layout.cache)?;
        if !is_intact(&folder) {
            if folder.exists() {
                let folder = folder.display();
                eprintln!("{folder} is damaged or incomplete: fetching the crates again");
            }
            let step = Step::start("fetch the crate sha2 and its dependencies");
            let new = tempfile::tempdir_in(&layout.cache)?;
            retried(|| {
                output(
                    cargo()
                        .args(["vendor", "--locked", "--manifest-path"])
                        .arg(&manifest)
                        .arg(new.path().join("vendor")),
                )
            })?;
            for name in CRATES {
                import(name, new.path()).with_context(|| format!("crate {name}"))?;
            }
            files::remove(&new.path().join("vendor"))?;
            let sums = checksums(new.path())?;
            files::write(&new.path().join(CHECKSUMS), sums)?;
            // Kernel trees have links to it.
            files::remove(&folder)?;
            fs::rename(new.keep(), &folder)?;
            step.done();
        }
        Ok(Self { folder })
    }

    /// The directory with a directory for each crate, as in the kernel's `rust/`.
    pub fn folder(&self) -> PathBuf {
        self.folder.join(IMPORTED)
    }

    /// Every file by its path in the kernel tree, with the crates' directories in `to`.
    pub fn links(&self, to: &Path) -> Result<BTreeMap<PathBuf, PathBuf>> {
        moved(&self.folder(), to)
    }

    /// Every source as it was published, by its path in the kernel tree, as in [`Vendored::links`].
    pub fn published(&self, to: &Path) -> Result<BTreeMap<PathBuf, PathBuf>> {
        moved(&self.folder.join(PUBLISHED), to)
    }
}

/// Whether a directory has the files that it had when its checksums were written.
fn is_intact(folder: &Path) -> bool {
    let recorded = files::read_text(&folder.join(CHECKSUMS));
    recorded.is_ok_and(|recorded| checksums(folder).is_ok_and(|now| now == recorded))
}

/// The checksum and the path of every file, one per line, as `sha256sum` prints them.
fn checksums(folder: &Path) -> Result<String> {
    let mut lines = String::new();
    for form in [PUBLISHED, IMPORTED] {
        for (path, file) in moved(&folder.join(form), Path::new(form))? {
            lines += &format!("{}  {}\n", files::checksum(&file)?, path.display());
        }
    }
    Ok(lines)
}

/// Every file of a directory, by its path below `to`.
fn moved(folder: &Path, to: &Path) -> Result<BTreeMap<PathBuf, PathBuf>> {
    files::below(folder)?
        .into_iter()
        .map(|file| Ok((to.join(file.strip_prefix(folder)?), file)))
        .collect()
}

/// Copies the sources of one crate out of cargo's directory, once unchanged and once with SPDX
/// lines and a README.md.
fn import(name: &str, folder: &Path) -> Result<()> {
    let from = folder.join("vendor").join(name);
    let text = files::read_text(&from.join("Cargo.toml"))?;
    let package = toml::from_str::<Manifest>(&text)?.package;
    ensure!(package.name == name, "is {}", package.name);
    for file in files::below(&from.join("src"))? {
        let source = files::read_text(&file)?;
        let below = Path::new(name).join(file.strip_prefix(&from)?);
        files::write(&folder.join(PUBLISHED).join(&below), &source)?;
        files::write(
            &folder.join(IMPORTED).join(&below),
            format!(
                "// SPDX-License-Identifier: {}\n\n{source}",
                package.license
            ),
        )?;
    }
    files::write(
        &folder.join(IMPORTED).join(name).join("README.md"),
        readme(&package),
    )
}

/// The README.md of a crate in the kernel.
fn readme(package: &Package) -> String {
    let Package {
        name,
        version,
        license,
        repository,
    } = package;
    format!(
        "# `{name}`\n\n\
         These source files come from the Rust `{name}` crate, version {version},\n\
         hosted in the <{repository}>\n\
         repository, licensed under \"{license}\" and only modified to add the\n\
         SPDX license identifiers.\n"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The crates in a lock file, and their versions.
    fn locked(folder: &str) -> BTreeMap<String, String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(folder)
            .join("Cargo.lock");
        let text = fs::read_to_string(path).unwrap();
        let lock: toml::Table = toml::from_str(&text).unwrap();
        let field = |package: &toml::Value, key: &str| package[key].as_str().unwrap().to_owned();
        lock["package"]
            .as_array()
            .unwrap()
            .iter()
            .map(|package| (field(package, "name"), field(package, "version")))
            .collect()
    }

    #[test]
    fn damaged_crates_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let source = path.join(IMPORTED).join("a/src/lib.rs");
        files::write(&path.join(PUBLISHED).join("a/src/lib.rs"), "1").unwrap();
        files::write(&source, "2").unwrap();
        assert!(!is_intact(path));
        files::write(&path.join(CHECKSUMS), checksums(path).unwrap()).unwrap();
        assert!(is_intact(path));
        files::write(&source, "3").unwrap();
        assert!(!is_intact(path));
        fs::remove_file(&source).unwrap();
        assert!(!is_intact(path));
        assert!(!is_intact(&path.join("none")));
    }

    #[test]
    fn tests_on_the_host_use_the_crates_of_the_purgatory() {
        let purgatory = locked(DEPENDANT);
        let tests = locked("arch/x86/purgatory/rust/digest-tests");
        for name in CRATES {
            assert!(purgatory.contains_key(*name), "{name} is not locked");
            assert_eq!(purgatory.get(*name), tests.get(*name), "{name}");
        }
    }
}
