// SPDX-License-Identifier: GPL-2.0-only

//! The whole project as a patch series against the kernel.
//!
//! `patches/series` names each patch of the overlay and, indented below it, the overlay's files
//! that belong to the same commit. A directory stands for every file below it that no longer path
//! in `patches/series` names. A patch in `patches/overlay/` changes files of the overlay: the
//! commits before it get these files without that change. `@crates` stands for the commits that
//! import third-party crates, see [`Vendored`]. checkpatch checks all commits except those:
//! upstream imports crates unchanged. The commits are made in a scratch repository that holds only
//! the files they touch.

pub mod check;
pub mod mail;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::command::{command, git, output};
use crate::figures;
use crate::files;
use crate::graft::{map, patch};
use crate::layout::Layout;
use crate::pristine;
use crate::vendor::{self, Vendored};
use mail::Pull;

/// The patches of the overlay.
pub fn hooks(layout: &Layout) -> Result<Vec<PathBuf>> {
    patch::files(&layout.overlay.join("patches"))
}

/// All patches of the overlay: [`hooks`], and those that change files of the overlay.
pub fn patch_files(layout: &Layout) -> Result<Vec<PathBuf>> {
    let mut all = hooks(layout)?;
    all.extend(patch::files(&layout.overlay.join(OF_OVERLAY))?);
    Ok(all)
}

/// The patches that `patches/series` names, in its order. Fails unless every file of the overlay is
/// in one commit.
pub fn patches(layout: &Layout) -> Result<Vec<PathBuf>> {
    Ok(commits(layout)?
        .into_iter()
        .filter_map(|commit| match commit.start {
            Start::Patch(patch) => Some(patch),
            Start::Import(_) => None,
        })
        .collect())
}

/// The files that the patches change.
pub fn touched(layout: &Layout) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    for patch in hooks(layout)? {
        files.extend(patch::changed(&patch)?);
    }
    Ok(files)
}

/// Writes the top Makefile and the files that the patches change, as they were fetched, to `tree`.
pub fn extract_touched(layout: &Layout, tree: &Path) -> Result<()> {
    let mut files = touched(layout)?;
    files.insert("Makefile".to_owned());
    pristine::extract(layout, &files, tree)
}

/// Makes `tree` a repository and applies the patches with `git am`.
pub fn apply_hooks(layout: &Layout, tree: &Path) -> Result<()> {
    start_repository(tree, ["--all"])?;
    for patch in hooks(layout)? {
        output(git(tree).args(["am", "--quiet"]).arg(&patch))?;
    }
    Ok(())
}

/// Makes `tree` a repository with one commit of these files; `--all` stands for all of them.
fn start_repository(tree: &Path, files: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<()> {
    output(git(tree).args(["init", "--quiet"]))?;
    output(git(tree).args(["add", "--force"]).args(files))?;
    output(git(tree).args(["commit", "--quiet", "--message", "pristine"]))?;
    Ok(())
}

/// What a commit starts from.
enum Start {
    /// A patch of the overlay, which has the message.
    Patch(PathBuf),
    /// This message. The files are third-party.
    Import(String),
}

/// A commit, and its new files by their path in the kernel tree.
struct Commit {
    start: Start,
    files: BTreeMap<PathBuf, PathBuf>,
}

/// The same for every version of the series, so that tools such as b4 can find them all.
const CHANGE_ID: &str = "20261123-kexec-purgatory-rust-7b1f0c9e4d52";

/// The directory of the overlay with patches to files of the overlay.
const OF_OVERLAY: &str = "patches/overlay";

/// The directory of the kernel tree that crates are imported to.
const CRATES_FOLDER: &str = "rust";

/// Writes the series to the directory `series`, which is replaced. If the series can be pulled from
/// somewhere, also writes the mails for mailing lists to `mails` in this directory. Returns whether
/// checkpatch accepts all of it.
pub fn make(layout: &Layout, tree: &Path, series: &Path, pull: Option<&Pull>) -> Result<bool> {
    let commits = commits(layout)?;
    let scratch = tempfile::tempdir_in(&layout.build)?;
    extract_touched(layout, scratch.path())?;
    let patches = write(&commits, scratch.path(), series)?;
    let letter = cover_letter(layout, scratch.path(), &patches, pull)?;
    fs::write(series.join("0000-cover-letter.patch"), letter)?;
    if pull.is_some() {
        for patch in mail::write(&patch::files(series)?, &series.join("mails"))? {
            println!(
                "{}: too large for a mail, sent without its diff",
                patch.display()
            );
        }
    }
    let mut good = true;
    for (patch, commit) in patches.iter().zip(&commits) {
        match commit.start {
            Start::Patch(ref start) => good &= checkpatch(tree, patch, start)?,
            Start::Import(_) => println!("{}: imported, not checked", patch.display()),
        }
    }
    println!("the series: {}", series.display());
    Ok(good)
}

/// The text of `patches/cover-letter`.
pub fn cover_text(layout: &Layout) -> Result<String> {
    files::read_text(&layout.overlay.join("patches/cover-letter"))
}

/// The cover letter as a mail: [`cover_text`], whose first line after the license is the
/// subject, with the figures of each kind of processor, a summary of the commits, and where to pull
/// them from. Its author and date are those of the last patch.
fn cover_letter(
    layout: &Layout,
    repository: &Path,
    patches: &[PathBuf],
    pull: Option<&Pull>,
) -> Result<String> {
    let commits = patches.len();
    let last = files::read_text(patches.last().context("no patches")?)?;
    let (head, _) = last.split_once("\nSubject: ").context("no subject")?;
    let text = cover_text(layout)?;
    let (_license, text) = text.split_once("\n\n").context("no license")?;
    let (subject, body) = text.split_once("\n\n").context("no subject")?;
    let processors: Vec<String> = figures::read(layout)?
        .iter()
        .map(|[processor, engine, in_c, ms, ratio]| {
            format!("  {processor}:\n    in C {in_c} ms, {engine} {ms} ms: {ratio} times as fast")
        })
        .collect();
    let since = format!("HEAD~{commits}..HEAD");
    let log = output(git(repository).args(["log", "--reverse", "--format=  %s", &since]))?;
    // The imported crates have hundreds of files.
    let without = vendor::CRATES
        .iter()
        .map(|name| format!(":(exclude){CRATES_FOLDER}/{name}"));
    let stat = output(
        git(repository)
            .args(["diff", "--stat=75", &since, "--", "."])
            .args(without),
    )?;
    let pull = pull.map_or_else(String::new, |pull| {
        format!("\nThe whole series, with the crates, can be pulled:\n\n  git pull {pull}\n")
    });
    Ok(format!(
        "{head}\nSubject: [PATCH 00/{commits}] {subject}\n\n{}{pull}\n{log}\n{stat}\n\
         The imported crates are left out: {}.\n\n\
         ---\n{}\nchange-id: {CHANGE_ID}\n",
        body.replace("@processors", &processors.join("\n")),
        vendor::CRATES.join(", "),
        pristine::base(layout)?
    ))
}

/// Turns `repository`, a directory with what [`extract_touched`] extracts, into a repository with
/// the commits. Writes the commits as patches to `folder`, which is replaced, and returns their
/// paths.
pub fn format(layout: &Layout, repository: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    write(&commits(layout)?, repository, folder)
}

fn write(commits: &[Commit], repository: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    start_repository(repository, ["--all"])?;
    for (index, commit) in commits.iter().enumerate() {
        add(repository, commit, &commits[index + 1..])?;
    }
    files::remove(folder)?;
    // checkpatch must see MAINTAINERS before it sees a new file.
    let order = repository.join(".git/order");
    fs::write(&order, "MAINTAINERS\n")?;
    output(
        git(repository)
            .args(["format-patch", "--quiet", "-O"])
            .arg(&order)
            .arg("--output-directory")
            .arg(folder)
            .arg(format!("-{}", commits.len())),
    )?;
    patch::files(folder)
}

/// Makes a commit. `later` are the commits after it: what their patches change in this commit's
/// files is taken back.
fn add(repository: &Path, commit: &Commit, later: &[Commit]) -> Result<()> {
    match &commit.start {
        Start::Patch(patch) => output(git(repository).args(["am", "--quiet"]).arg(patch))?,
        Start::Import(message) => {
            // A patch comes before each import.
            let author = output(git(repository).args(["log", "-1", "--format=%an <%ae>"]))?;
            let author = author.trim();
            output(
                git(repository)
                    .args(["commit", "--quiet", "--allow-empty", "--author", author])
                    .args(["--message", message])
                    .args(["--message", &format!("Signed-off-by: {author}")]),
            )?
        }
    };
    for (path, file) in &commit.files {
        let to = repository.join(path);
        fs::create_dir_all(to.parent().context("no folder")?)?;
        fs::copy(file, &to).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    for later in later.iter().rev() {
        let Start::Patch(patch) = &later.start else {
            continue;
        };
        let mut revert = git(repository);
        revert.args(["apply", "--reverse"]);
        let changed: Vec<String> = patch::changed(patch)?
            .into_iter()
            .filter(|path| commit.files.contains_key(Path::new(path)))
            .map(|path| format!("--include={path}"))
            .collect();
        if !changed.is_empty() {
            output(revert.args(changed).arg(patch))?;
        }
    }
    output(git(repository).args(["add", "--all", "--force"]))?;
    output(git(repository).args(["commit", "--quiet", "--amend", "--no-edit"]))?;
    Ok(())
}

/// `patches/series`.
pub fn list(layout: &Layout) -> PathBuf {
    layout.overlay.join("patches/series")
}

/// Reads [`list`]. Every file of the overlay must be in one commit.
fn commits(layout: &Layout) -> Result<Vec<Commit>> {
    let folder = layout.overlay.join("patches");
    let path = list(layout);
    let text = files::read_text(&path)?;
    let mut left = map::links(layout)?;
    let mut commits: Vec<Commit> = Vec::new();
    // A path of the overlay, and the index of the commit that names it.
    let mut claims: Vec<(PathBuf, usize)> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        let name = line.trim_start();
        if name.is_empty() {
            continue;
        }
        if name == map::CRATES {
            let imports = imports(&Vendored::fetch(layout)?)?;
            left.retain(|path, _| !imports.iter().any(|commit| commit.files.contains_key(path)));
            commits.extend(imports);
            continue;
        }
        if name == line {
            commits.push(Commit {
                start: Start::Patch(folder.join(name)),
                files: BTreeMap::new(),
            });
            continue;
        }
        ensure!(
            !commits.is_empty(),
            "{}: {name} comes before any patch",
            path.display()
        );
        claims.push((layout.overlay.join(name), commits.len() - 1));
    }
    let mut used = vec![false; claims.len()];
    for (path_in_tree, file) in left {
        let (index, (_, commit)) = claims
            .iter()
            .enumerate()
            .filter(|(_, (claim, _))| file.starts_with(claim))
            .max_by_key(|(_, (claim, _))| claim.components().count())
            .with_context(|| format!("{}: {} is in no commit", path.display(), file.display()))?;
        used[index] = true;
        commits[*commit].files.insert(path_in_tree, file);
    }
    for ((claim, _), used) in claims.iter().zip(used) {
        ensure!(used, "{}: no file for {}", path.display(), claim.display());
    }
    Ok(commits)
}

/// The commits that import crates, as upstream imported `syn` and `zerocopy`.
fn imports(crates: &Vendored) -> Result<Vec<Commit>> {
    let to = Path::new(CRATES_FOLDER);
    let names = vendor::CRATES.join(", ");
    let (readmes, sources) = crates
        .links(to)?
        .into_iter()
        .partition(|(path, _)| path.ends_with("README.md"));
    let commit = |message: String, files| Commit {
        start: Start::Import(message),
        files,
    };
    Ok(vec![
        commit(
            format!(
                "rust: sha2: Import crate and its dependencies\n\n\
                 The Rust purgatory of x86 computes SHA-256 with the sha2 crate. Import\n\
                 the crates as they were published, to show what is changed later:\n\n  {names}"
            ),
            crates.published(to)?,
        ),
        commit(
            "rust: sha2: Add SPDX License Identifiers\n\n\
             The kernel wants an identifier in every file. Nothing else is changed."
                .to_owned(),
            sources,
        ),
        commit(
            "rust: sha2: Add README.md\n\n\
             Tell for each crate what version it is, where it came from and what its\n\
             license is, as the README.md of rust/syn does."
                .to_owned(),
            readmes,
        ),
    ])
}

/// Prints what the kernel's checkpatch says about a patch, a commit that starts with the overlay's
/// patch `start`. Returns whether it accepts the patch.
fn checkpatch(tree: &Path, patch: &Path, start: &Path) -> Result<bool> {
    let mut ignored = vec![
        // The tree has no history in which checkpatch could look up the commit of a Fixes: tag.
        "UNKNOWN_COMMIT_ID",
    ];
    if start
        .parent()
        .is_some_and(|folder| folder.ends_with(OF_OVERLAY))
    {
        // MAINTAINERS names the directories of these files since the purgatory was added.
        ignored.push("FILE_PATH_CHANGES");
    }
    let checked = command("perl")
        .args([
            "scripts/checkpatch.pl",
            "--strict",
            "--terse",
            "--show-types",
            "--ignore",
            &ignored.join(","),
        ])
        .arg(patch)
        .current_dir(tree)
        .output()?;
    print!("{}", String::from_utf8_lossy(&checked.stdout));
    Ok(checked.status.success())
}
