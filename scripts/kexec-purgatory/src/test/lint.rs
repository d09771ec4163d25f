// SPDX-License-Identifier: GPL-2.0-only

//! Runs the kernel's own checkers on the overlay's objects and sources.
//!
//! Each checker builds objects again, with other flags, in the directory where the kernels are
//! built, so that little else is built. A complaint counts if it is about a file of the overlay, or
//! about one that its patches change.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::{Kernels, Report, shared};
use crate::command::{command, logged_step, silent};
use crate::graft::map;
use crate::kernel::objects::OF_OVERLAY;
use crate::kernel::toolchain::Toolchain;
use crate::kernel::{self, Verify};
use crate::layout::Layout;
use crate::series;

/// The state that includes the modules.
const STATE: Verify = Verify::M;

/// The name of a test for reports, and whether a complaint belongs to it.
type Test = (&'static str, fn(complaint: &str) -> bool);

/// A build with a checker.
struct Check {
    tests: &'static [Test],
    /// The make variables that enable the checker; the log is named after the first one.
    variables: &'static [&'static str],
    /// What make prints about objects and sources that are checked, one of each language.
    shows: &'static [(&'static str, &'static str)],
}

const CHECKS: &[Check] = &[
    // Every C source is checked, whether or not its object is up to date.
    Check {
        tests: &[("lint/sparse", |complaint| !is_of_a_module_macro(complaint))],
        // Sparse 0.6.4 does not know __typeof_unqual__, and the kernel uses no checker without it.
        variables: &["C=2", "CHECK=sparse -D__typeof_unqual__=__typeof__"],
        shows: &[
            ("CHECK", "kernel/kexec_core.c"),
            ("CHECK", "arch/x86/kexec/"),
        ],
    },
    Check {
        tests: &[("lint/clippy", |_| true)],
        variables: &["CLIPPY=1"],
        shows: &[
            ("CLIPPY", "rust/kernel.o"),
            ("CLIPPY", "arch/x86/kexec/"),
            ("CLIPPY", "libpurgatory.rlib"),
            ("CLIPPY", "samples/rust/"),
        ],
    },
    Check {
        tests: &[
            ("lint/warnings", |complaint| !is_of_objtool(complaint)),
            ("lint/objtool", is_of_objtool),
        ],
        variables: &["W=1"],
        shows: &[("CC", "kernel/kexec_core.o"), ("CC", "arch/x86/kexec/")],
    },
];

/// The name of the test that the Rust sources have the kernel's format.
const RUSTFMT: &str = "lint/rustfmt";

pub fn names() -> Vec<String> {
    CHECKS
        .iter()
        .flat_map(|check| check.tests)
        .map(|(name, _)| *name)
        .chain([RUSTFMT])
        .map(str::to_owned)
        .collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let layout = kernels.layout;
    let tree = kernels.tree().to_path_buf();
    report.test(RUSTFMT, || rustfmt(layout, &tree));
    let is_wanted = |check: &&Check| check.tests.iter().any(|(name, _)| report.wants(name));
    let wanted: Vec<&Check> = CHECKS.iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let files = files(layout)?;
    let folder = kernel::configured(layout, &tree, STATE)?;
    for check in wanted {
        let built = build(layout, &tree, &folder, check).map(|log| complaints(&log, &files));
        for (name, is_its_own) in check.tests {
            report.test(name, || {
                let own: Vec<&str> = shared(&built)?
                    .iter()
                    .map(String::as_str)
                    .filter(|complaint| is_its_own(complaint))
                    .collect();
                ensure!(own.is_empty(), "{}", own.join("\n"));
                Ok(())
            });
        }
    }
    Ok(())
}

/// Builds the objects with a checker. Returns the log.
fn build(layout: &Layout, tree: &Path, folder: &Path, check: &Check) -> Result<String> {
    let variable = check.variables.first().context("no variable")?;
    let log = layout.log(&format!("lint-{variable}"))?;
    logged_step(
        format!("check objects with {variable}"),
        &log,
        Toolchain::Machine
            .make(layout, tree, folder, "x86_64")?
            .args(check.variables)
            .args(OF_OVERLAY),
    )?;
    let log = fs::read_to_string(&log)?;
    for (word, object) in check.shows {
        let shown = log.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(word) && words.any(|word| word.contains(object))
        });
        ensure!(
            shown,
            "the log has no {word} of {object}: nothing was checked"
        );
    }
    Ok(log)
}

/// The files of the overlay and those that its patches change, by their paths in the kernel tree,
/// without the third-party crates.
fn files(layout: &Layout) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = map::links(layout)?
        .into_iter()
        .filter(|(_, file)| file.starts_with(&layout.overlay))
        .map(|(path, _)| path)
        .collect();
    files.extend(series::touched(layout)?.into_iter().map(PathBuf::from));
    Ok(files)
}

fn is_of_objtool(complaint: &str) -> bool {
    complaint.contains("objtool:")
}

/// Whether this is what sparse 0.6.4 says about every use of the macros that describe a module,
/// mainline's included: it does not accept the size of a two-part string as a constant.
fn is_of_a_module_macro(complaint: &str) -> bool {
    let mut place = complaint.split(':');
    let source = place.next().map(fs::read_to_string);
    let line = place.next().and_then(|number| number.parse::<usize>().ok());
    let (Some(Ok(source)), Some(line)) = (source, line) else {
        return false;
    };
    let line = source.lines().nth(line.saturating_sub(1)).unwrap_or("");
    complaint.ends_with("error: bad constant expression")
        && ["module_param", "MODULE_"]
            .iter()
            .any(|macro_| line.starts_with(macro_))
}

/// How many lines after its first line a complaint of rustc has its place.
const PLACE: usize = 4;

/// The complaints in a log that are about one of these files, or about an object made from one.
/// Each has its place and its first line.
fn complaints(log: &str, files: &[PathBuf]) -> Vec<String> {
    let stems: Vec<String> = files
        .iter()
        .map(|file| file.with_extension("").display().to_string())
        .collect();
    let is_ours = |place: &str| {
        let path = place.split(':').next().unwrap_or_default();
        let path = Path::new(path.trim()).with_extension("");
        stems.iter().any(|stem| path.ends_with(stem))
    };
    let lines: Vec<&str> = log.lines().collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        // <place>: warning: <text>, from C compilers, sparse and objtool
        let of_c = [": warning: ", ": error: "]
            .iter()
            .any(|kind| line.contains(kind));
        // warning: <text>, and soon --> <place>, from Rust compilers
        let of_rust = ["warning", "error"].iter().any(|kind| {
            line.strip_prefix(kind)
                .is_some_and(|rest| rest.starts_with([':', '[']))
        });
        let place = match (of_c, of_rust) {
            (true, _) => Some(*line),
            (_, true) => lines[number + 1..]
                .iter()
                .take(PLACE)
                .find_map(|line| line.trim_start().strip_prefix("--> ")),
            _ => None,
        };
        if let Some(place) = place.filter(|place| is_ours(place)) {
            found.push(match of_c {
                true => (*line).to_owned(),
                false => format!("{place}: {line}"),
            });
        }
    }
    found
}

/// Does what "make rustfmtcheck" does: uses the kernel's settings, or those of a directory that has
/// its own. Works on copies, because rustfmt looks for settings where a symbolic link leads to.
fn rustfmt(layout: &Layout, tree: &Path) -> Result<()> {
    let scratch = tempfile::tempdir_in(&layout.build)?;
    let settings = [".rustfmt.toml", "rustfmt.toml"];
    let is_rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let copied = files(layout)?
        .into_iter()
        .filter(|path| is_rust(path) || settings.iter().any(|file| path.ends_with(file)));
    let mut sources = Vec::new();
    for path in copied.chain([PathBuf::from(settings[0])]) {
        let to = scratch.path().join(&path);
        fs::create_dir_all(to.parent().context("no folder")?)?;
        fs::copy(tree.join(&path), &to).with_context(|| format!("no {}", path.display()))?;
        if is_rust(&path) {
            sources.push(path);
        }
    }
    ensure!(!sources.is_empty(), "there is no Rust source");
    let mut wrong = String::new();
    for path in sources {
        let source = scratch.path().join(&path);
        // rustfmt follows the modules that a file declares, but not those of its standard input.
        let checked = silent(
            command("rustfmt")
                .arg("--check")
                .current_dir(source.parent().context("no folder")?)
                .stdin(File::open(&source)?),
        );
        if let Err(error) = checked {
            wrong += &format!("{}\n{error:#}", path.display());
        }
    }
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
  CC      kernel/kexec_core.o
../linux-7.3/kernel/kexec_core.c:10:5: warning: unused variable 'x' [-Wunused-variable]
../linux-7.3/kernel/fork.c:10:5: warning: unused variable 'x' [-Wunused-variable]
arch/x86/kexec/loader.o: warning: objtool: f+0x1: unreachable instruction
warning: unused variable: `x`
 --> ../linux-7.3/rust/kernel/kexec.rs:3:4
  |
error[E0425]: cannot find value
   --> ../linux-7.3/rust/kernel/list.rs:3:4
warning: 1 warning emitted
";

    #[test]
    fn complaints_about_files_of_the_overlay_count() {
        let files = [
            "kernel/kexec_core.c",
            "arch/x86/kexec/loader.rs",
            "rust/kernel/kexec.rs",
        ];
        let found = complaints(LOG, &files.map(PathBuf::from));
        let of_objtool: Vec<bool> = found.iter().map(|text| is_of_objtool(text)).collect();
        assert_eq!(of_objtool, [false, true, false]);
        assert!(found[2].contains("kexec.rs:3:4: warning: unused"));
        assert!(complaints(LOG, &[PathBuf::from("kernel/exit.c")]).is_empty());
    }
}
