// SPDX-License-Identifier: GPL-2.0-only

//! Compares the tables of what is verified, in README.md and in the administrator's guide, with
//! what the booted kernels must decide.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::boot::case::{Case, Expected};
use super::boot::cases;
use crate::debian::guide;
use crate::files;
use crate::guest::Purpose;
use crate::kernel::{SAMPLE_MODULE, VERIFY_MODULE, Verify};
use crate::layout::Layout;
use crate::table_cells::{grid, markdown};

use Verify::{M, N, Y};

/// A kernel, and the policy modules of which one is loaded. Without any, none is loaded.
type Config = (Verify, &'static [&'static str]);

/// What kind of image a row or column is about.
#[derive(Clone, Copy)]
enum Image {
    Crash,
    Normal,
    Spared,
}

/// The columns of README.md's table.
const COLUMNS: [(&str, Config); 4] = [
    ("`=y`", (Y, &[])),
    ("`=m`, module loaded", (M, &[VERIFY_MODULE, SAMPLE_MODULE])),
    ("`=m`, no module", (M, &[])),
    ("`=n`", (N, &[])),
];

/// The rows of that table that are about images which kexec_file_load() loads.
const ROWS: [(&str, Image); 3] = [
    ("crash (`KEXEC_FILE_ON_CRASH`)", Image::Crash),
    ("normal", Image::Normal),
    (
        "normal, with kexec handover or entirely in CMA",
        Image::Spared,
    ),
];

/// The rows of the guide's table that are about kernels with the Rust purgatory.
const GUIDE_ROWS: [(&str, Config); 5] = [
    ("``y``", (Y, &[])),
    (
        "``m``, module ``kexec_purgatory_verify``",
        (M, &[VERIFY_MODULE]),
    ),
    (
        "``m``, sample module ``rust_kexec_policy``",
        (M, &[SAMPLE_MODULE]),
    ),
    ("``m``, no policy module", (M, &[])),
    ("``n``", (N, &[])),
];

/// The columns of that table.
const GUIDE_COLUMNS: [(&str, Image); 3] = [
    ("crash image", Image::Crash),
    ("normal image", Image::Normal),
    ("normal image, handover or CMA", Image::Spared),
];

/// What README.md's table says of a module that may decide either way.
const EITHER: &str = "the module decides";

/// The words for what can be decided.
const OUTCOMES: [&str; 2] = ["verified", "direct"];

pub fn check(layout: &Layout) -> Result<()> {
    let cases = cases();

    let readme = files::read_text(&layout.overlay.join("README.md"))?;
    let table = markdown(&readme, "`KEXEC_FILE_ON_CRASH`").context("README.md has no table")?;
    for (column, config) in COLUMNS {
        for (row, image) in ROWS {
            let cell = cell(&table, row, column).with_context(|| format!("README.md: {row}"))?;
            agrees(&cases, config, image, cell)
                .with_context(|| format!("README.md: {row}: {column}"))?;
        }
    }

    let page = files::read_text(&layout.overlay.join(guide::PAGE))?;
    let table = grid(&page, "handover or CMA").context("the guide has no table")?;
    for (row, config) in GUIDE_ROWS {
        for (column, image) in GUIDE_COLUMNS {
            let cell = cell(&table, row, column).with_context(|| format!("the guide: {row}"))?;
            agrees(&cases, config, image, cell)
                .with_context(|| format!("the guide: {row}: {column}"))?;
        }
    }
    Ok(())
}

/// The cell of a table whose first row and first column have headings.
fn cell<'a>(table: &'a [Vec<String>], row: &str, column: &str) -> Result<&'a str> {
    let index = table
        .first()
        .and_then(|header| header.iter().position(|heading| heading == column))
        .with_context(|| format!("the table has no column {column}"))?;
    table
        .iter()
        .find(|cells| cells.first().is_some_and(|heading| heading == row))
        .and_then(|cells| cells.get(index))
        .map(String::as_str)
        .with_context(|| format!("the table has no row {row}"))
}

/// The outcomes that a cell names.
fn named(cell: &str) -> BTreeSet<&'static str> {
    if cell == EITHER {
        return BTreeSet::from(OUTCOMES);
    }
    // In the guide, this means that the C purgatory compares nothing.
    let cell = cell.replace("not verified", "");
    OUTCOMES
        .into_iter()
        .filter(|outcome| cell.contains(outcome))
        .collect()
}

/// Fails unless the cases that boot what a cell is about have the outcomes that it names, and no
/// others.
fn agrees(cases: &[Case], (verify, modules): Config, image: Image, cell: &str) -> Result<()> {
    let named = named(cell);
    let mut seen = BTreeSet::new();
    for case in cases.iter().filter(|case| case.verify == verify) {
        let Expected::Decided(arm) = case.expected else {
            continue;
        };
        let plan = case.plan();
        let same_module = match plan.modules {
            [] => modules.is_empty(),
            loaded => loaded.iter().all(|module| modules.contains(module)),
        };
        let same_image = match image {
            Image::Crash => plan.purpose == Purpose::Crash,
            Image::Normal => plan.purpose == Purpose::Enter && !case.is_spared(),
            Image::Spared => plan.purpose == Purpose::Enter && case.is_spared(),
        };
        if same_module && same_image {
            let outcome = arm.outcome();
            ensure!(
                named.contains(outcome),
                "the page has {cell:?}, and {} is {outcome}",
                case.name
            );
            seen.insert(outcome);
        }
    }
    // The kselftests, and not these cases, load small images with the sample.
    if cell.contains("if the initramfs has") {
        seen.insert("verified");
    }
    ensure!(
        seen == named,
        "the page has {cell:?}, and the cases {seen:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn what_is_not_verified_is_no_outcome() {
        assert_eq!(Vec::from_iter(named("verified")), ["verified"]);
        assert_eq!(
            Vec::from_iter(named("the module decides")),
            ["direct", "verified"]
        );
        assert_eq!(
            Vec::from_iter(named("direct; verified if x")),
            ["direct", "verified"]
        );
        assert!(named("not verified").is_empty());
    }
}
