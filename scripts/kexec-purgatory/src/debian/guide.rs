// SPDX-License-Identifier: GPL-2.0-only

//! The commands of the administrator's guide, which the tests run in a guest.

use anyhow::{Context, Result};

use crate::files;
use crate::layout::Layout;

/// The page, below the top of the overlay.
pub const PAGE: &str = "Documentation/admin-guide/kdump/kexec-purgatory.rst";

/// The text before a block's name, in a comment of the page.
const LABEL: &str = ".. run: ";

/// The blocks of the page.
pub struct Guide {
    blocks: Vec<(String, String)>,
}

impl Guide {
    pub fn read(layout: &Layout) -> Result<Self> {
        let text = files::read_text(&layout.overlay.join(PAGE))?;
        Ok(Self::parse(&text))
    }

    /// Finds the literal blocks with names: the indented lines after the next line that is `::`.
    fn parse(text: &str) -> Self {
        let mut blocks = Vec::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(name) = line.strip_prefix(LABEL) else {
                continue;
            };
            let block: Vec<&str> = lines
                .by_ref()
                .skip_while(|line| *line != "::")
                .skip(1)
                .skip_while(|line| line.is_empty())
                .take_while(|line| line.starts_with('\t'))
                .map(|line| line.trim_start_matches('\t'))
                .collect();
            blocks.push((name.to_owned(), block.join("\n")));
        }
        Self { blocks }
    }

    /// The names of all blocks.
    pub fn names(&self) -> Vec<&str> {
        self.blocks.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The paths of files in the blocks that begin with one of `beginnings`. They may have `*`.
    pub fn paths(&self, beginnings: &[&str]) -> Vec<&str> {
        let in_path = |c: char| c.is_ascii_alphanumeric() || "/._-*".contains(c);
        self.blocks
            .iter()
            .flat_map(|(_, block)| block.split(|c| !in_path(c)))
            .filter(|word| {
                beginnings
                    .iter()
                    .any(|beginning| word.starts_with(beginning))
            })
            .filter(|word| !word.ends_with('/'))
            .collect()
    }

    /// The commands of the block with that name, one per line.
    pub fn block(&self, name: &str) -> Result<&str> {
        self.blocks
            .iter()
            .find_map(|(other, block)| (other == name).then_some(block.as_str()))
            .filter(|block| !block.is_empty())
            .with_context(|| format!("{PAGE} has no block {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Guide;

    #[test]
    fn blocks_are_found_by_their_names() {
        let guide = Guide::parse(
            "Text::\n\n\tnot this\n\n.. run: one\n\n::\n\n\tfirst\n\tsecond\n\nText.\n\n\
             .. run: two\n\n::\n\n\tthird\n",
        );
        assert_eq!(guide.block("one").unwrap(), "first\nsecond");
        assert_eq!(guide.block("two").unwrap(), "third");
        assert!(guide.block("three").is_err());
    }

    #[test]
    fn paths_are_those_of_files() {
        let guide = Guide::parse(
            ".. run: one\n\n::\n\n\tcat >/etc/a.d/b-c.conf <<'END'\n\tcp x /etc/d/\n\n\
             .. run: two\n\n::\n\n\trm -f \"/etc/e.*\" /usr/bin/f\n",
        );
        assert_eq!(guide.paths(&["/etc/"]), ["/etc/a.d/b-c.conf", "/etc/e.*"]);
    }
}
