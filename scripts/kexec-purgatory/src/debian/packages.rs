// SPDX-License-Identifier: GPL-2.0-only

//! Debian packages of the grafted kernel.
//!
//! They have Debian's own configuration with the few settings of `config/debian.config`. The
//! compilers of Debian 13 build them, in a root of that release, whatever release the machine has.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use super::debian_config::{check_modules, configure};
use crate::command::{command, logged, logged_step, output};
use crate::exit::Cause;
use crate::fetch;
use crate::files;
use crate::graft;
use crate::kernel::toolchain::Toolchain;
use crate::layout::Layout;
use crate::progress::Step;
use crate::root::{Root, Rust, SUITE};

/// GCC and the Rust of Debian 13, which also build Debian's own kernel.
const TOOLS: Toolchain = Toolchain::GCC_OLDEST;

/// The directory for the package of debug symbols, below that of the other packages: a host that
/// needs no symbols installs everything in the latter.
pub const DEBUG: &str = "debug";

/// How much of Debian's configuration to build.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Profile {
    /// All modules
    Full,
    /// The modules that a guest in QEMU needs
    Guest,
}

impl Profile {
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Guest => "guest",
        }
    }

    /// The settings on top of Debian's configuration.
    pub fn fragments(self) -> &'static [&'static str] {
        match self {
            Self::Full => &["debian"],
            Self::Guest => &["debian", "debian-guest"],
        }
    }
}

/// Which packages to build.
#[derive(Clone, Copy, PartialEq)]
pub enum Build {
    /// Those to install.
    First,
    /// Those to update to: of a newer version, without debug symbols, in a directory of their own.
    Second,
}

impl Build {
    const ALL: [Self; 2] = [Self::First, Self::Second];

    /// The file that names the packages that the source and the configuration beside it have made.
    fn stamp(self) -> &'static str {
        match self {
            Self::First => "packages",
            Self::Second => "second-packages",
        }
    }
}

/// Builds packages in `build/debian-packages`, unless they are there, built from the same source
/// and configuration. Returns their paths. Continues an interrupted build.
///
/// # Errors
///
/// [`Cause::Missing`] on a machine of another architecture.
pub fn make(layout: &Layout, profile: Profile, build: Build) -> Result<Vec<PathBuf>> {
    let architecture = output(command("dpkg").arg("--print-architecture"))?;
    if architecture.trim() != "amd64" {
        bail!(Cause::Missing(format!(
            "packages are built on amd64; this machine's are for {}",
            architecture.trim()
        )));
    }
    let folder = folder(layout, profile);
    // Objects of another series would look newer than its source.
    let work = folder.join(format!("work-{}", fetch::series(layout)?));
    fs::create_dir_all(&work)?;
    // Removed meanwhile, so that an interrupted run leaves none.
    let stamps = Build::ALL.map(|build| work.join(build.stamp()));
    let made = stamps
        .each_ref()
        .map(|stamp| fs::read_to_string(stamp).unwrap_or_default());
    stamps.iter().try_for_each(|stamp| files::remove(stamp))?;

    let tree = graft::kernel_tree(layout)?;
    graft::graft(layout, &tree)?;
    let source = work.join("source");
    let copied = copy(layout, &tree, &source)?;

    let objects = work.join("objects");
    fs::create_dir_all(&objects)?;
    let make = || TOOLS.make(layout, &source, &objects, "x86_64");
    let configured = configure(layout, profile, &objects, &make)?;

    let to = match build {
        Build::First => folder.clone(),
        Build::Second => folder.join("second"),
    };
    let stamp = work.join(build.stamp());
    if !copied && !configured {
        for (stamp, names) in iter::zip(&stamps, &made) {
            fs::write(stamp, names)?;
        }
        let names = files::read_text(&stamp)?;
        let packages: Vec<PathBuf> = names.lines().map(|name| to.join(name)).collect();
        if !packages.is_empty() && packages.iter().all(|package| package.is_file()) {
            return Ok(packages);
        }
    }
    if build == Build::First {
        // They would be older than the first ones.
        files::remove(&work.join(Build::Second.stamp()))?;
    }
    let mut step = Step::start(format!("build packages, profile {}", profile.name()));
    remove_packages(&work)?;
    let mut run = make()?;
    run.env("KDEB_CHANGELOG_DIST", SUITE)
        .env("KDEB_PKGVERSION", version(&make)?)
        // The default, xz, takes minutes for the debug symbols.
        .env("KDEB_COMPRESS", "zstd")
        .arg("bindeb-pkg");
    if build == Build::Second {
        run.env("DEB_BUILD_PROFILES", "pkg.linux-upstream.nokerneldbg");
    }
    let log = layout.log(&format!("build-debian-{}", profile.name()))?;
    logged(&mut run, &log, &mut step)?;
    if profile == Profile::Guest {
        check_modules(layout, &objects)?;
    }
    let names = collect(&objects, &work, &to)?;
    fs::write(&stamp, names.join("\n"))?;
    step.done();
    Ok(names.iter().map(|name| to.join(name)).collect())
}

/// The version of the packages: that of the kernel, and the time, so that packages of a later build
/// replace those of an earlier one, wherever they were built.
fn version(make: &dyn Fn() -> Result<Command>) -> Result<String> {
    let kernel = output(make()?.args(["--silent", "kernelversion"]))?;
    let time = output(command("date").args(["--utc", "+%Y%m%d%H%M%S"]))?;
    Ok(format!("{}-{}", kernel.trim(), time.trim()))
}

/// What `uname -r` prints on the kernel of a package; `None` if it is another package.
pub fn release(package: &Path) -> Option<String> {
    let name = package.file_name()?.to_str()?;
    let (release, _) = name.strip_prefix("linux-image-")?.split_once('_')?;
    (!has_symbols(package)).then(|| release.to_owned())
}

/// Whether it is the package of debug symbols.
pub fn has_symbols(package: &Path) -> bool {
    let name = package.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.split_once('_'))
        .is_some_and(|(name, _)| name.ends_with("-dbg"))
}

fn folder(layout: &Layout, profile: Profile) -> PathBuf {
    layout.build.join("debian-packages").join(profile.name())
}

/// Updates a copy of the grafted tree, in which the overlay's files are not links: a package of
/// headers would contain the links. Returns whether the contents of any file changed.
fn copy(layout: &Layout, tree: &Path, source: &Path) -> Result<bool> {
    fs::create_dir_all(source)?;
    let from = tree.join("").display().to_string();
    let shared = [&layout.overlay, &layout.cache, tree];
    let log = layout.log("copy-tree")?;
    logged_step(
        "copy the grafted tree",
        &log,
        Root::make(layout, Rust::Oldest)?
            .command(&shared, "rsync")?
            .args(["--archive", "--delete", "--copy-unsafe-links"])
            .args(["--itemize-changes", "--exclude=/.git", &from])
            // Each graft writes its record, and Python its caches.
            .arg(format!("--exclude=/{}", graft::RECORD))
            .arg("--exclude=__pycache__")
            .arg(source),
    )?;
    // A line that begins with a period is about nothing but a file's attributes.
    let changes = fs::read_to_string(&log)?;
    Ok(changes.lines().any(|line| !line.starts_with('.')))
}

/// Moves the packages of the last build from `work` to `folder`, in place of earlier ones, those of
/// debug symbols to [`DEBUG`] in it. Leaves out the package of headers for user space: it would
/// replace the distribution's. Returns their paths in `folder`.
fn collect(objects: &Path, work: &Path, folder: &Path) -> Result<Vec<String>> {
    let list = objects.join("debian/files");
    let text = files::read_text(&list)?;
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|name| name.ends_with(".deb") && !name.starts_with("linux-libc-dev_"))
        .collect();
    if !names.iter().any(|name| name.starts_with("linux-image-")) {
        bail!("{} names no package of a kernel", list.display());
    }
    let debug = folder.join(DEBUG);
    fs::create_dir_all(&debug)?;
    remove_packages(folder)?;
    remove_packages(&debug)?;
    names
        .iter()
        .map(|name| {
            let to = match has_symbols(Path::new(name)) {
                true => format!("{DEBUG}/{name}"),
                false => (*name).to_owned(),
            };
            fs::rename(work.join(name), folder.join(&to))
                .with_context(|| format!("{name} was not built"))?;
            Ok(to)
        })
        .collect()
}

/// Removes the packages in a directory.
fn remove_packages(folder: &Path) -> Result<()> {
    for old in files::with_extension(folder, "deb")? {
        files::remove(&old)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{DEBUG, collect, release};

    #[test]
    fn the_release_is_in_the_name_of_the_image() {
        let of = |name| release(Path::new(name));
        assert_eq!(
            of("a/linux-image-7.3.4-new_7.3.4-2_amd64.deb").as_deref(),
            Some("7.3.4-new")
        );
        assert_eq!(of("a/linux-image-7.3.4-new-dbg_7.3.4-2_amd64.deb"), None);
        assert_eq!(of("a/linux-headers-7.3.4-new_7.3.4-2_amd64.deb"), None);
    }

    #[test]
    fn packages_replace_those_of_the_last_build() {
        let folder = tempfile::tempdir().unwrap();
        let [objects, work, to] = ["objects", "work", "to"].map(|name| folder.path().join(name));
        for folder in [&objects.join("debian"), &work, &to.join(DEBUG)] {
            fs::create_dir_all(folder).unwrap();
        }
        let image = "linux-image-7.3.4-new_2_amd64.deb";
        let symbols = "linux-image-7.3.4-new-dbg_2_amd64.deb";
        let built = [image, symbols, "linux-libc-dev_2_amd64.deb"];
        let list = built
            .map(|name| format!("{name} kernel optional\n"))
            .concat();
        fs::write(objects.join("debian/files"), list).unwrap();
        for name in built {
            fs::write(work.join(name), "").unwrap();
        }
        let old = to.join(DEBUG).join("linux-image-7.3.4-new-dbg_1_amd64.deb");
        fs::write(&old, "").unwrap();

        let names = collect(&objects, &work, &to).unwrap();
        assert_eq!(names, [image.to_owned(), format!("{DEBUG}/{symbols}")]);
        assert!(names.iter().all(|name| to.join(name).is_file()));
        assert!(!old.exists());
        // The package of symbols is gone from `work`.
        assert!(collect(&objects, &work, &to).is_err());
    }
}
