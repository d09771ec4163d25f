// SPDX-License-Identifier: GPL-2.0-only

//! What the purgatory costs on each kind of processor, read from the page with all figures.

use anyhow::{Context, Result};

use crate::files;
use crate::layout::Layout;
use crate::table_cells::grid;

/// The page, below the top of the overlay.
pub const PAGE: &str = "Documentation/arch/x86/kexec-purgatory-performance.rst";

/// The rows of the page's table of processors: processor, engine, time in C, time, and the ratio of
/// both. Times are in ms and cover the verification of an image.
pub fn read(layout: &Layout) -> Result<Vec<[String; 5]>> {
    let text = files::read_text(&layout.overlay.join(PAGE))?;
    parse(&text).with_context(|| format!("{PAGE} has no table of processors"))
}

/// The least and the most time in ms that one of these engines takes on a processor, by the page's
/// table of engines.
pub fn range(layout: &Layout, engines: &[&str]) -> Result<(f64, f64)> {
    let text = files::read_text(&layout.overlay.join(PAGE))?;
    range_in(&text, engines).with_context(|| format!("{PAGE} has no times of {engines:?}"))
}

fn range_in(page: &str, engines: &[&str]) -> Option<(f64, f64)> {
    let rows = grid(page, "| in C | ``")?;
    let (header, rows) = rows.split_first()?;
    let mut times: Vec<f64> = rows
        .iter()
        .flat_map(|row| header.iter().zip(row))
        .filter(|(engine, _)| engines.contains(&engine.trim_matches('`')))
        // Not every processor has every engine.
        .filter_map(|(_, time)| time.parse().ok())
        .collect();
    times.sort_by(f64::total_cmp);
    Some((*times.first()?, *times.last()?))
}

fn parse(page: &str) -> Option<Vec<[String; 5]>> {
    grid(page, "| processor ")?
        .iter()
        .skip(1)
        .map(|row| {
            let [processor, engine, in_c, ms, ratio] = row.first_chunk()?.clone();
            Some([processor, engine.replace('`', ""), in_c, ms, ratio])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{parse, range_in};

    #[test]
    fn rows_may_have_several_lines() {
        let page = "Text.\n\n+--+\n| processor | engine | in C, ms | ms | ratio | per byte |\n\
                    +==+\n| A CPU, model | ``x16`` | 300 | 15.0 | 20.0 | 10.0 |\n\
                    | 17 | | | | | |\n+--+\n| B | ``x3`` | 200 | 8.0 | 25.0 | 9.0 |\n+--+\n\nMore.";
        assert_eq!(
            parse(page).unwrap(),
            [
                ["A CPU, model 17", "x16", "300", "15.0", "20.0"],
                ["B", "x3", "200", "8.0", "25.0"],
            ]
        );
        assert!(parse("Text.").is_none());
    }

    #[test]
    fn ranges_are_over_engines_and_processors() {
        let page = "+--+\n| | in C | ``x16`` | ``x3`` |\n+==+\n| A | 300 | 15.0 | 20 |\n+--+\n\
                    | B | 200 | | 8.5 |\n+--+\n";
        assert_eq!(range_in(page, &["x16"]), Some((15.0, 15.0)));
        assert_eq!(range_in(page, &["x16", "x3"]), Some((8.5, 20.0)));
        assert_eq!(range_in(page, &["x8"]), None);
    }
}
