// SPDX-License-Identifier: GPL-2.0-only

//! The series as mails for mailing lists, which do not take mails of any size.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

use crate::files;

/// How many bytes a patch has at most that is sent whole. Lists hold larger mails until a moderator
/// has seen them, or refuse them.
pub const LIMIT: usize = 100_000;

/// Where the whole series can be pulled from, as `git pull` takes it.
#[derive(Clone, Debug)]
pub struct Pull {
    repository: String,
    branch: String,
}

impl FromStr for Pull {
    type Err = anyhow::Error;

    /// Reads the URL of a repository and the name of a branch, with a blank between them.
    fn from_str(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let [repository, branch] = *words else {
            anyhow::bail!("give the URL of a repository, a blank and the name of a branch");
        };
        Ok(Self {
            repository: repository.to_owned(),
            branch: branch.to_owned(),
        })
    }
}

impl fmt::Display for Pull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.repository, self.branch)
    }
}

/// Writes the patches and the cover letter in `series` to the new directory `mails`. A patch of
/// more than [`LIMIT`] bytes keeps its message and its statistics there, and loses its diff.
/// Returns the patches without a diff.
pub fn write(series: &[PathBuf], mails: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir(mails)?;
    let mut shortened = Vec::new();
    for path in series {
        let name = path.file_name().context("no name")?;
        let text = files::read_text(path)?;
        let mail = if text.len() > LIMIT {
            shortened.push(path.clone());
            without_diff(&text).with_context(|| path.display().to_string())?
        } else {
            text
        };
        fs::write(mails.join(name), mail)?;
    }
    Ok(shortened)
}

fn without_diff(patch: &str) -> Result<String> {
    let (head, _diff) = patch.split_once("\ndiff --git ").context("no diff")?;
    let size = patch.len() / 1000;
    let mail = format!(
        "{head}\nThe diff is left out, as the patch has {size} kB. It is in the repository that \
         the\ncover letter names.\n"
    );
    ensure!(mail.len() <= LIMIT, "{} bytes without a diff", mail.len());
    Ok(mail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_patches_lose_their_diff() {
        let folder = tempfile::tempdir().unwrap();
        let small = folder.path().join("1.patch");
        let large = folder.path().join("2.patch");
        let head = "Subject: x\n\nWhy.\n---\n a | 1 +\n\n";
        fs::write(&small, format!("{head}diff --git a/a b/a\n+1\n")).unwrap();
        let diff = "+1\n".repeat(LIMIT);
        fs::write(&large, format!("{head}diff --git a/a b/a\n{diff}")).unwrap();

        let mails = folder.path().join("mails");
        let shortened = write(&[small.clone(), large.clone()], &mails).unwrap();
        assert_eq!(shortened, [large]);
        let mail = |name| fs::read_to_string(mails.join(name)).unwrap();
        assert_eq!(mail("1.patch"), fs::read_to_string(small).unwrap());
        assert!(mail("2.patch").starts_with(head));
        assert!(mail("2.patch").contains("as the patch has 300 kB"));
        assert!(!mail("2.patch").contains("+1"));
    }

    #[test]
    fn a_repository_and_a_branch_are_read() {
        let pull: Pull = " https://host/linux.git  kexec ".parse().unwrap();
        assert_eq!(pull.to_string(), "https://host/linux.git kexec");
        assert!("https://host/linux.git".parse::<Pull>().is_err());
    }
}
