// SPDX-License-Identifier: GPL-2.0-only

//! The project as patches for Debian's source package `linux`.

use anyhow::{Context, Result};

use crate::command::{command, output};
use crate::fetch;
use crate::files;
use crate::layout::Layout;
use crate::progress::Step;
use crate::series;

/// Where the source package has patches that add features, below `debian/patches`.
const FOLDER: &str = "features/all/kexec-purgatory";

/// What the source package's `debian/config/amd64/config` needs. Everything else is Debian's own,
/// or the default.
const CONFIG: &str = "##
## file: kernel/Kconfig.kexec_purgatory
##
CONFIG_KEXEC_PURGATORY_VERIFY=m
";

/// Writes the patches, the lines for `debian/patches/series`, and those for the configuration to
/// `build/debian-patches`. Applies the patches to a tree like the source package's.
pub fn make(layout: &Layout) -> Result<()> {
    let mut step = Step::start("make patches for Debian's source package");
    let (_, source) = fetch::source(layout)?;
    let folder = layout.build.join("debian-patches");
    files::remove(&folder)?;
    let patches = folder.join("patches");
    let tree = tempfile::tempdir_in(&layout.build)?;
    series::extract_touched(layout, tree.path())?;
    let repository = tempfile::tempdir_in(&layout.build)?;
    output(
        command("cp")
            .arg("--archive")
            .arg(tree.path().join("."))
            .arg(repository.path()),
    )?;
    let written = series::format(layout, repository.path(), &patches.join(FOLDER))?;
    let mut lines = String::new();
    for patch in &written {
        let name = patch.file_name().context("a patch without a name")?;
        lines += &format!("{FOLDER}/{}\n", name.to_string_lossy());
    }
    files::write(&patches.join("series"), lines)?;
    files::write(&folder.join("config/amd64/config"), CONFIG)?;

    step.line("apply them");
    // As the source package's build does. The context of every change must match exactly.
    output(
        command("quilt")
            .args(["--quiltrc=-", "push", "-a", "--fuzz=0", "-q"])
            .env("QUILT_PATCHES", &patches)
            .current_dir(tree.path()),
    )?;
    files::compare(tree.path(), repository.path(), &[".pc", ".git"])
        .context("quilt makes another tree than git")?;
    step.done();
    println!(
        "{} patches apply to linux {}. For its source package, in\n{}:\n\
         patches/features/all/kexec-purgatory goes to debian/patches/features/all,\n\
         the lines of patches/series to the end of debian/patches/series,\n\
         those of config/amd64/config to debian/config/amd64/config.",
        written.len(),
        source.version,
        folder.display()
    );
    Ok(())
}
