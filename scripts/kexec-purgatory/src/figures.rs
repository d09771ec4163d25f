// SPDX-License-Identifier: GPL-2.0-only

//! What the purgatory costs on each kind of processor, read from the page with all figures.

use std::fs;

use anyhow::{Context, Result};

use crate::layout::Layout;

/// The page, below the top of the overlay.
pub const PAGE: &str = "Documentation/arch/x86/kexec-purgatory-performance.rst";

/// A row of the table of processors. Times are in ms and cover the verification of an image.
#[derive(Debug, PartialEq)]
pub struct Figures {
    pub processor: String,
    pub engine: String,
    pub in_c: String,
    pub ms: String,
    pub ratio: String,
}

/// The rows of the page's table of processors.
pub fn read(layout: &Layout) -> Result<Vec<Figures>> {
    let path = layout.overlay.join(PAGE);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("{PAGE} has no table of processors"))
}

fn parse(page: &str) -> Option<Vec<Figures>> {
    let table = page
        .split("\n\n")
        .find(|paragraph| paragraph.starts_with('+') && paragraph.contains("| processor "))?;
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut begins = true;
    for line in table.lines() {
        if line.starts_with('+') {
            begins = true;
            continue;
        }
        let cells = line.trim_matches('|').split('|').map(str::trim);
        if begins {
            rows.push(cells.map(str::to_owned).collect());
        } else if let Some(row) = rows.last_mut() {
            // A cell that is too long for its column continues in the next line.
            for (cell, more) in row
                .iter_mut()
                .zip(cells)
                .filter(|(_, more)| !more.is_empty())
            {
                *cell += " ";
                *cell += more;
            }
        }
        begins = false;
    }
    rows.into_iter()
        .skip(1)
        .map(|row| match row.as_slice() {
            [processor, engine, in_c, ms, ratio, ..] => Some(Figures {
                processor: processor.clone(),
                engine: engine.replace('`', ""),
                in_c: in_c.clone(),
                ms: ms.clone(),
                ratio: ratio.clone(),
            }),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Figures, parse};

    #[test]
    fn rows_may_have_several_lines() {
        let page = "Text.\n\n+--+\n| processor | engine | in C, ms | ms | ratio | per byte |\n\
                    +==+\n| A CPU, model | ``x16`` | 300 | 15.0 | 20.0 | 10.0 |\n\
                    | 17 | | | | | |\n+--+\n| B | ``x3`` | 200 | 8.0 | 25.0 | 9.0 |\n+--+\n\nMore.";
        let row = |values: [&str; 5]| {
            let [processor, engine, in_c, ms, ratio] = values.map(str::to_owned);
            Figures {
                processor,
                engine,
                in_c,
                ms,
                ratio,
            }
        };
        assert_eq!(
            parse(page).unwrap(),
            [
                row(["A CPU, model 17", "x16", "300", "15.0", "20.0"]),
                row(["B", "x3", "200", "8.0", "25.0"]),
            ]
        );
        assert!(parse("Text.").is_none());
    }
}
