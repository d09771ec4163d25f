// SPDX-License-Identifier: GPL-2.0-only

//! Checks which variables each `make` command takes: those in the README's table of commands, with
//! the few below, and no others.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use crate::command::command;
use crate::files;
use crate::layout::Layout;

/// Variables that the README explains below its table, and the commands that refuse them.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "KDIR",
        &[
            "check",
            "fuzz",
            "bench-static",
            "debian-patches",
            "mutants",
            "series-check",
        ],
    ),
    ("SERIES", &["check", "fuzz"]),
];

/// Asks make, without running anything.
pub fn check(layout: &Layout) -> Result<()> {
    let page = files::read_text(&layout.overlay.join("README.md"))?;
    let commands = commands(&page);
    let all: BTreeSet<&str> = commands.values().flatten().copied().collect();
    ensure!(
        all.contains("FILTER"),
        "the table of commands was not found"
    );
    let takes = |name: &str, variable: &str| -> Result<bool> {
        let made = command("make")
            .args(["-n", name, &format!("{variable}=1")])
            .current_dir(&layout.overlay)
            .output()?;
        Ok(made.status.success())
    };
    for (name, variables) in &commands {
        for variable in &all {
            ensure!(
                takes(name, variable)? == variables.contains(variable),
                "make {name} {variable}= is not as README.md says"
            );
        }
        for (variable, refuse) in ELSEWHERE {
            ensure!(
                takes(name, variable)? != refuse.contains(name),
                "make {name} {variable}= is not as expected"
            );
        }
    }
    Ok(())
}

/// The commands in the table of a page, with the variables that each takes.
fn commands(page: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |"))
        // A row may have several commands.
        .flat_map(|(cell, _)| cell.split(", "))
        .filter_map(|code| code.strip_prefix("`make ")?.strip_suffix('`'))
        .map(|usage| {
            let (name, options) = usage.split_once(' ').unwrap_or((usage, ""));
            let variables = options
                .split(' ')
                .filter_map(|option| Some(option.strip_prefix('[')?.split_once('=')?.0))
                .collect();
            (name, variables)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_with_their_variables() {
        let page = "| `make run`, `make stop` | x |\n\
                    | `make test [A=] [B=1\\|2]` | with `C=` |\n| no | |";
        let found = commands(page);
        assert_eq!(
            found,
            BTreeMap::from([
                ("run", BTreeSet::new()),
                ("stop", BTreeSet::new()),
                ("test", BTreeSet::from(["A", "B"]))
            ])
        );
    }
}
