// SPDX-License-Identifier: GPL-2.0-only

//! Checks what README.md, CONTRIBUTING.md, `make help` and the overlay's kernel documentation say,
//! as far as possible without a kernel tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::samples::printed_metrics;
use super::{HostTest, decision_tables, overlay, sysfs_abi, variables};
use crate::debian::guide::{self, Guide};
use crate::figures;
use crate::graft::map;
use crate::layout::Layout;

/// The tests of the group `pages`.
pub const TESTS: &[HostTest] = &[
    ("pages/commands", commands),
    ("pages/paths", paths),
    ("pages/figures", figures),
    ("pages/ranges", ranges),
    ("pages/picture", picture),
    ("pages/guide", guide),
    ("pages/headings", headings),
    ("pages/abi", sysfs_abi::check),
    ("pages/variables", variables::check),
    ("pages/decisions", decision_tables::check),
];

/// Targets of the Makefile that are not commands: the tool itself, and the list of commands.
const NO_COMMANDS: &[&str] = &["tool", "help"];

/// Columns of a terminal.
const COLUMNS: usize = 80;

/// The characters that underline headings.
const UNDERLINES: &[char] = &['=', '-', '~', '.'];

/// README.md and `make help` have every command of the Makefile, and no others.
fn commands(layout: &Layout) -> Result<()> {
    let read = |path: &str| fs::read_to_string(layout.overlay.join(path));
    let (makefile, readme) = (read("Makefile")?, read("README.md")?);
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.strip_prefix(".PHONY: "))
        .flat_map(str::split_whitespace)
        .collect();
    ensure!(targets.len() > NO_COMMANDS.len(), "no targets were found");
    let help: String = makefile
        .lines()
        .filter(|line| line.starts_with("\t@echo '"))
        .map(|line| format!("{line}\n"))
        .collect();
    for line in help.lines() {
        let printed = line.trim_start_matches("\t@echo '").trim_end_matches('\'');
        let width = printed.replace("'\\''", "'").chars().count();
        ensure!(width <= COLUMNS, "make help: {width} columns: {printed}");
    }
    let contributing = read("CONTRIBUTING.md")?;
    for (page, text) in [("README.md", &readme), ("make help", &help)] {
        let named = named(text);
        for target in &targets {
            if !NO_COMMANDS.contains(target) {
                ensure!(named.contains(target), "{page} does not have make {target}");
            }
        }
    }
    // Commands for a shell: in code, or in an indented block.
    for target in named(&readme).into_iter().chain(named(&contributing)) {
        ensure!(targets.contains(target), "there is no make {target}");
    }
    Ok(())
}

/// The words after `make ` where that begins a command: at the beginning of code or of a line.
fn named(text: &str) -> BTreeSet<&str> {
    ["`make ", "    make ", "'make "]
        .iter()
        .flat_map(|begin| text.split(begin).skip(1))
        .filter_map(|rest| {
            let word = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            word.into_iter().next()
        })
        .filter(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()))
        .collect()
}

/// Every path in a page that begins with a directory of the overlay exists in the overlay or in a
/// grafted tree.
fn paths(layout: &Layout) -> Result<()> {
    ["README.md", "CONTRIBUTING.md"]
        .iter()
        .try_for_each(|page| paths_in(layout, page))
}

fn paths_in(layout: &Layout, page: &str) -> Result<()> {
    let text = fs::read_to_string(layout.overlay.join(page))?;
    let mut files = overlay::files(layout)?;
    let grafted = map::links(layout)?.into_keys();
    files.extend(grafted.map(|path| path.display().to_string()));
    let folders: BTreeSet<&str> = files
        .iter()
        .filter_map(|path| path.split_once('/'))
        .map(|(folder, _)| folder)
        .collect();
    let mut checked = 0;
    for code in text.split('`').skip(1).step_by(2) {
        let is_path = code
            .split_once('/')
            .is_some_and(|(folder, _)| folders.contains(folder));
        if !is_path || code.contains(char::is_whitespace) {
            continue;
        }
        // A path that ends in an asterisk stands for all that begin with it.
        let begin = code.trim_end_matches('*');
        let exact = begin == code && !code.ends_with('/');
        let found = files.iter().any(|path| {
            path.strip_prefix(begin)
                .is_some_and(|rest| !exact || rest.is_empty() || rest.starts_with('/'))
        });
        ensure!(found, "{page}: there is no {code}");
        checked += 1;
    }
    ensure!(checked > 0, "{page} names no path");
    Ok(())
}

/// The times in README.md are those of the performance page, which has all figures.
fn figures(layout: &Layout) -> Result<()> {
    let readme = fs::read_to_string(layout.overlay.join("README.md"))?;
    let rows: Vec<String> = figures::read(layout)?
        .iter()
        .map(|[processor, engine, in_c, ms, _]| {
            format!("| {processor} | {in_c} ms | {ms} ms, `{engine}` |")
        })
        .collect();
    let mut found = 0;
    for line in readme.lines() {
        if line.starts_with("| AMD") || line.starts_with("| Intel") {
            ensure!(
                rows.iter().any(|row| row == line),
                "README.md: {} does not have {line}",
                figures::PAGE
            );
            found += 1;
        }
    }
    ensure!(found >= 2, "README.md has no times of two processors");
    Ok(())
}

/// The ranges of times in README.md, in the help of Kconfig and in the administrator's guide are
/// those of the performance page, rounded.
fn ranges(layout: &Layout) -> Result<()> {
    const ROUNDED: f64 = 0.03;

    let fast = figures::range(layout, &["avx512-x16", "SHA-NI"])?;
    let avx2 = figures::range(layout, &["avx2-x8"])?;
    let scalar = figures::range(layout, &["scalar"])?;
    for (page, expected) in [
        ("README.md", [avx2, scalar].as_slice()),
        ("Kconfig", &[fast, avx2, scalar]),
        (guide::PAGE, &[fast, avx2, scalar]),
    ] {
        let text = fs::read_to_string(layout.overlay.join(page))?;
        let found = times(&text);
        let is_near = |said: f64, time: f64| (said - time).abs() <= time * ROUNDED;
        let agree = found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(said, range)| is_near(said.0, range.0) && is_near(said.1, range.1));
        ensure!(
            agree,
            "{page} has the ranges {found:?}, {} has {expected:?}",
            figures::PAGE
        );
    }
    Ok(())
}

/// The ranges of the form `1 to 2 ms` in a text.
fn times(text: &str) -> Vec<(f64, f64)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    words
        .windows(4)
        .filter(|words| words[1] == "to" && words[3].trim_end_matches(['.', ',']) == "ms")
        .filter_map(|words| Some((words[0].parse().ok()?, words[2].parse().ok()?)))
        .collect()
}

/// The times in the picture are in the page on performance, which has the median first.
fn picture(layout: &Layout) -> Result<()> {
    let page = fs::read_to_string(layout.overlay.join(figures::PAGE))?;
    let path = Path::new(figures::PAGE).with_extension("svg");
    let picture = fs::read_to_string(layout.overlay.join(&path))?;
    let mut found = 0;
    for label in picture.lines().filter(|line| line.contains("median ")) {
        let (min, median) = label
            .strip_suffix(" ms")
            .and_then(|label| label.split_once(" ms, median "))
            .with_context(|| format!("{}: {label}", path.display()))?;
        let figures = format!(" {median}, {min} ");
        ensure!(
            page.contains(&figures),
            "{} does not have{figures}",
            figures::PAGE
        );
        found += 1;
    }
    ensure!(found >= 2, "{} has no two times", path.display());
    Ok(())
}

/// Every block of commands in the administrator's guide has a name, under which tests run it. The
/// guide names every metric.
fn guide(layout: &Layout) -> Result<()> {
    let text = fs::read_to_string(layout.overlay.join(guide::PAGE))?;
    let blocks = text.lines().filter(|line| line.ends_with("::")).count();
    let named = Guide::read(layout)?.names().len();
    ensure!(
        blocks > 0 && named == blocks,
        "{}: {blocks} blocks, {named} of them with names",
        guide::PAGE
    );
    let metrics = printed_metrics(layout)?;
    let names = metrics.lines().filter_map(|line| line.split_once('{'));
    for (name, _) in names {
        ensure!(
            text.contains(&format!("\n``{name}`` ")),
            "{} does not describe {name}",
            guide::PAGE
        );
    }
    Ok(())
}

/// The line under a heading is as long as the heading.
fn headings(layout: &Layout) -> Result<()> {
    let mut checked = 0;
    for path in overlay::files(layout)? {
        if !path.ends_with(".rst") {
            continue;
        }
        let text = fs::read_to_string(layout.overlay.join(&path))?;
        let lines: Vec<&str> = text.lines().collect();
        for (number, pair) in lines.windows(2).enumerate() {
            let [heading, line] = pair else { continue };
            let Some(mark) = line.chars().next().filter(|mark| UNDERLINES.contains(mark)) else {
                continue;
            };
            let is_line = line.len() > 2 && line.chars().all(|c| c == mark);
            // A separate line, or the top of a table, has no heading above it.
            if !is_line || heading.trim().is_empty() || heading.starts_with([' ', mark]) {
                continue;
            }
            ensure!(
                heading.chars().count() == line.len(),
                "{path}:{}: the line is not as long as the heading",
                number + 2
            );
            // A title has a line above it as well.
            let above = number.checked_sub(1).map_or("", |above| lines[above]);
            ensure!(
                !above.starts_with(mark) || above == *line,
                "{path}:{number}: the line is not as long as the heading"
            );
            checked += 1;
        }
    }
    ensure!(checked > 0, "no heading was found");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_where_they_begin() {
        let text = "`make run`, and\n\n    make test  # all\n\t@echo 'make bench  measure' make no";
        assert_eq!(named(text), BTreeSet::from(["run", "test", "bench"]));
    }

    #[test]
    fn the_oldest_rust_is_the_same_everywhere() {
        let overlay = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let read = |path: &str| fs::read_to_string(overlay.join(path)).unwrap();
        let oldest = env!("CARGO_PKG_RUST_VERSION");
        // The script bootstrap reads this line of the tool's manifest.
        let line = format!("rust-version = \"{oldest}\"");
        for manifest in [
            "scripts/kexec-purgatory/Cargo.toml",
            "arch/x86/purgatory/rust/digest-tests/Cargo.toml",
        ] {
            let has = read(manifest).lines().any(|found| found == line);
            assert!(has, "{manifest} does not have {line}");
        }
        let readme = read("README.md");
        let versions: Vec<&str> = readme
            .split("Rust ")
            .filter_map(|rest| rest.split_once(' '))
            .filter(|(_, rest)| rest.starts_with("or newer"))
            .map(|(version, _)| version)
            .collect();
        assert_eq!(versions, [oldest; 2]);
    }

    #[test]
    fn times_are_found() {
        let text = "takes 9 to\n24 ms, 1 to 2 s or 30 to 40.5 ms.";
        assert_eq!(times(text), [(9.0, 24.0), (30.0, 40.5)]);
    }
}
