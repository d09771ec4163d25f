// SPDX-License-Identifier: GPL-2.0-only

//! Fetches the kernel's source, and a distribution's kernel and kexec.

mod deb;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow, bail};

use self::deb::{cached, contents, deb, private_apt, record};
pub use self::deb::{retried, unpacked, untar};
use crate::apt::Package;
use crate::command::{command, logged, output};
use crate::files;
use crate::layout::{Layout, lock};
use crate::progress::Step;
use crate::setup;
use crate::supported::{self, SERIES};

/// The suite that has the series.
pub const SUITE: &str = "trixie-backports";

/// The distribution's kernel.
#[derive(Clone)]
pub struct DistributionKernel {
    pub image: PathBuf,
    /// What `uname -r` prints on it.
    pub release: String,
}

/// The kernel series to work with: the one that the user named, the one of the tree that the user
/// named, or the newest of [`SERIES`] that the suite has. If the newest of [`SERIES`] was fetched
/// before, that needs no access to the suite.
pub fn series(layout: &Layout) -> Result<&'static str> {
    static NEWEST: OnceLock<&'static str> = OnceLock::new();

    if let Some(series) = layout.series.or(NEWEST.get().copied()) {
        return Ok(series);
    }
    if let Some(dir) = &layout.kdir {
        return supported::series(dir);
    }
    let _lock = lock(&layout.cache)?;
    let mut fetched = Vec::new();
    for series in SERIES {
        if cached(layout, &record(layout, &record_name("source", series)))?.is_some() {
            fetched.push(*series);
        }
    }
    let newest = newest(SERIES, &fetched, || {
        let packages = private_apt(layout, SUITE)?.search("^linux-source-", |_| false)?;
        Ok(packages.into_iter().map(|package| package.name).collect())
    })?;
    Ok(NEWEST.get_or_init(|| newest))
}

/// The first of `all` series that was `fetched` or that the suite has. `in_suite` names the
/// suite's packages with a kernel's source. If it fails, no older series is used instead: a failure
/// of the network would change what is tested.
fn newest(
    all: &[&'static str],
    fetched: &[&str],
    in_suite: impl FnOnce() -> Result<Vec<String>>,
) -> Result<&'static str> {
    let newest = all[0];
    if fetched.contains(&newest) {
        return Ok(newest);
    }
    let in_suite = in_suite().map_err(|error| {
        let hint = fetched.first().map(|series| {
            format!(
                "\nlinux {series} was fetched before; to use it, set SERIES=, as in: \
                 make kernel SERIES={series}"
            )
        });
        let hint = hint.unwrap_or_default();
        anyhow!("cannot tell whether {SUITE} has linux {newest}: {error:#}{hint}")
    })?;
    for series in all {
        if fetched.contains(series) || in_suite.contains(&format!("linux-source-{series}")) {
            return Ok(series);
        }
        eprintln!("no linux {series} in {SUITE}");
    }
    bail!(
        "{SUITE} has none of linux {}.\n\
         Name a kernel tree of one with KDIR=, as in: make kernel KDIR=/path/to/linux",
        all.join(", ")
    )
}

/// The kernel tree of this clone that the overlay is grafted onto. Extracts it if necessary.
pub fn kernel_tree(layout: &Layout) -> Result<PathBuf> {
    extracted(layout, "linux")
}

/// A second kernel tree of this clone. Only fixes of the kernel are grafted onto it.
pub fn pristine_tree(layout: &Layout) -> Result<PathBuf> {
    extracted(layout, "pristine")
}

/// Where the tree of [`kernel_tree`] is, or will be.
pub fn kernel_tree_path(layout: &Layout) -> Result<PathBuf> {
    tree(layout, "linux")
}

fn tree(layout: &Layout, kind: &str) -> Result<PathBuf> {
    Ok(layout.build.join(format!("{kind}-{}", series(layout)?)))
}

/// Extracts a kernel tree again, so that nothing in it is changed.
pub fn new_tree(layout: &Layout, kind: &str) -> Result<PathBuf> {
    files::remove(&marker(&tree(layout, kind)?))?;
    extracted(layout, kind)
}

/// The file that marks a tree as completely extracted.
fn marker(tree: &Path) -> PathBuf {
    let mut marker = tree.as_os_str().to_owned();
    marker.push(".json");
    PathBuf::from(marker)
}

/// The tree of that kind. Extracts it if necessary.
fn extracted(layout: &Layout, kind: &str) -> Result<PathBuf> {
    let tree = tree(layout, kind)?;
    let marker = marker(&tree);
    let (deb, fetched) = source(layout)?;
    let made_from = serde_json::to_string_pretty(&fetched)?;
    if tree.is_dir() && fs::read_to_string(&marker).is_ok_and(|text| text == made_from) {
        return Ok(tree);
    }
    let name = &fetched.name;
    let mut step = Step::start(format!("extract {name} {}", fetched.version));
    for old in [&tree, &marker] {
        files::remove(old)?;
    }
    let temporary = unpacked(layout, &deb)?;
    let archive = temporary.path().join(format!("usr/src/{name}.tar.xz"));
    let top = temporary.path().join("tree");
    fs::create_dir(&top)?;
    // With the archive's times, files could be older than what was built from an earlier version.
    logged(
        untar(&archive, &top).args(["--strip-components=1", "--touch"]),
        &layout.log("extract")?,
        &mut step,
    )?;
    fs::rename(&top, &tree)?;
    fs::write(&marker, made_from)?;
    step.done();
    Ok(tree)
}

/// The package with the kernel's source, and its file.
pub fn source(layout: &Layout) -> Result<(PathBuf, Package)> {
    of_series(layout, "source")
}

/// A series of the distribution's kernels.
#[derive(PartialEq)]
pub struct Release {
    pub series: &'static str,
    pub suite: &'static str,
    /// What the names of its packages begin with.
    pub package: &'static str,
}

/// The distribution's signed kernel.
pub fn distribution_kernel(layout: &Layout) -> Result<DistributionKernel> {
    kernel_of(
        layout,
        &Release {
            series: series(layout)?,
            suite: SUITE,
            package: "linux-binary-",
        },
    )
}

/// The newest of the distribution's kernels of a series.
pub fn kernel_of(layout: &Layout, release: &Release) -> Result<DistributionKernel> {
    let Release {
        series,
        suite,
        package,
    } = release;
    let pattern = format!("^{package}{}\\..*-amd64$", series.replace('.', "\\."));
    let (deb, fetched) = of_kernel(layout, "binary", series, suite, &pattern, |name| {
        name.contains("-cloud-") || name.contains("-rt-")
    })?;
    let release = fetched
        .name
        .strip_prefix(package)
        .context("not a kernel's package")?
        .to_owned();
    let dir = contents(layout, &deb, &fetched)?;
    // Older packages have the image in `/boot`.
    let places = [
        format!("usr/lib/modules/{release}/vmlinuz"),
        format!("boot/vmlinuz-{release}"),
    ];
    let image = places
        .iter()
        .map(|place| dir.join(place))
        .find(|image| image.is_file())
        .with_context(|| format!("{} has no {}", deb.display(), places.join(" and no ")))?;
    Ok(DistributionKernel { image, release })
}

/// The distribution's program `kexec`. On Debian, it comes from a package of this machine's release
/// that is not installed: installed, that package makes the next reboot of this machine a kexec. The
/// packages that it depends on are installed.
pub fn kexec(layout: &Layout) -> Result<PathBuf> {
    const PACKAGE: &str = "kexec-tools";
    // Guests are made in several threads at a time.
    static FOUND: Mutex<Option<PathBuf>> = Mutex::new(None);

    let mut known = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = &*known {
        return Ok(path.clone());
    }
    let (root, depends) = match setup::release() {
        Some(suite) => {
            let found = deb(
                layout,
                &format!("{PACKAGE}-{suite}"),
                &format!("the package {PACKAGE}"),
                suite,
                &format!("^{PACKAGE}$"),
                |_| false,
            )?;
            let (deb, fetched) =
                found.with_context(|| format!("{suite} has no package {PACKAGE}"))?;
            let depends = output(command("dpkg-deb").arg("-f").arg(&deb).arg("Depends"))?;
            (contents(layout, &deb, &fetched)?, Some(depends))
        }
        None => (PathBuf::from("/"), None),
    };
    let path = ["usr/sbin/kexec", "sbin/kexec"]
        .map(|path| root.join(path))
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| format!("there is no kexec; install {PACKAGE}"))?;
    let runs = || output(command(&path).arg("--version"));
    // Debian's is linked to libraries that are in other packages.
    if let Some(depends) = depends
        && runs().is_err()
    {
        setup::install_dependencies(layout, PACKAGE, depends.trim())?;
    }
    runs()?;
    Ok(known.insert(path).clone())
}

/// The configuration of the distribution's kernel.
pub fn distribution_config(layout: &Layout) -> Result<String> {
    let (deb, fetched) = of_series(layout, "config")?;
    let temporary = unpacked(layout, &deb)?;
    let folder = temporary.path().join("usr/src").join(fetched.name);
    output(
        command("xz")
            .args(["--decompress", "--stdout"])
            .arg(folder.join("config.amd64_none_amd64.xz")),
    )
}

/// The package `linux-<kind>-<series>`.
fn of_series(layout: &Layout, kind: &str) -> Result<(PathBuf, Package)> {
    let series = series(layout)?;
    let pattern = format!("^linux-{kind}-{}$", series.replace('.', "\\."));
    of_kernel(layout, kind, series, SUITE, &pattern, |_| false)
}

/// A package of a kernel, see [`deb`]. `kind` says what the package contains.
fn of_kernel(
    layout: &Layout,
    kind: &str,
    series: &str,
    suite: &str,
    pattern: &str,
    unwanted: impl Fn(&str) -> bool,
) -> Result<(PathBuf, Package)> {
    deb(
        layout,
        &record_name(kind, series),
        &format!("the {kind} of linux {series}"),
        suite,
        pattern,
        unwanted,
    )?
    .with_context(|| {
        format!(
            "{suite} no longer has a package {pattern}.\n\
             Name a {series} kernel tree with KDIR=, as in: make kernel KDIR=/path/to/linux"
        )
    })
}

/// The name of the record for a package of a kernel.
fn record_name(kind: &str, series: &str) -> String {
    format!("{kind}-{series}")
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::newest;

    #[test]
    fn only_a_suite_without_the_newest_series_leads_to_an_older_one() {
        let of = |fetched: &[&str], in_suite: Option<&str>| {
            newest(&["9.2", "9.1"], fetched, || match in_suite {
                Some(series) => Ok(vec![format!("linux-source-{series}")]),
                None => bail!("no network"),
            })
            .map_err(|error| format!("{error:#}"))
        };
        assert_eq!(of(&["9.2", "9.1"], None).unwrap(), "9.2");
        assert_eq!(of(&[], Some("9.2")).unwrap(), "9.2");
        assert_eq!(of(&["9.1"], Some("9.2")).unwrap(), "9.2");
        assert_eq!(of(&[], Some("9.1")).unwrap(), "9.1");
        assert_eq!(of(&["9.1"], Some("9.0")).unwrap(), "9.1");
        assert!(of(&[], Some("9.0")).is_err());

        let error = of(&["9.1"], None).unwrap_err();
        assert!(
            error.contains("SERIES=9.1") && error.contains("no network"),
            "{error}"
        );
        let error = of(&[], None).unwrap_err();
        assert!(
            !error.contains("SERIES=") && error.contains("no network"),
            "{error}"
        );
    }
}
