// SPDX-License-Identifier: GPL-2.0-only

//! The way to the next kernel as stacked bars.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::files;

/// The first line of the picture.
const LICENSE: &str = "<!-- SPDX-License-Identifier: GPL-2.0-only -->";

/// Size of the picture in pixels.
const WIDTH: u32 = 900;
const MARGIN: u32 = 16;
const ROW: u32 = 30;
const BAR: u32 = 20;
/// Space for the title and the legend of a panel, and for its axis.
const HEAD: u32 = 62;
const FOOT: u32 = 50;
/// Space for the names of bars.
const NAMES: u32 = 150;
/// Space for the label after a bar.
const SUMS: u32 = 190;

/// Some bars on one scale.
pub struct Panel {
    pub title: String,
    /// The unit of the scale.
    pub unit: &'static str,
    /// The names of a bar's parts, in order.
    pub parts: Vec<&'static str>,
    pub bars: Vec<Bar>,
}

pub struct Bar {
    pub name: String,
    /// The length of each part of the panel, in its unit, or why there is none.
    pub parts: Result<Vec<f64>, String>,
    /// Text after the bar; without it, the sum of the parts.
    pub label: Option<String>,
}

const COLOURS: [RGBColor; 4] = [
    RGBColor(0x88, 0x88, 0x88),
    RGBColor(0x3b, 0x7d, 0xc4),
    RGBColor(0xd9, 0x6a, 0x1e),
    RGBColor(0x5c, 0xa0, 0x4c),
];

/// Draws panels one below the other.
pub fn draw(path: &Path, panels: &[Panel]) -> Result<()> {
    let height = panels.iter().map(Panel::height).sum::<u32>() + MARGIN;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    let drawn = root.fill(&WHITE).and_then(|()| {
        let mut rest = root.clone();
        for panel in panels {
            let (this, below) = rest.split_vertically(panel.height());
            panel.draw(&this)?;
            rest = below;
        }
        root.present()
    });
    drawn.map_err(|error| anyhow!("cannot write {}: {error}", path.display()))?;
    drop(root);
    // So that the picture can become a file of the documentation.
    let picture = files::read_text(path)?;
    files::write(path, format!("{LICENSE}\n{}\n", picture.trim_end()))
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

impl Panel {
    fn height(&self) -> u32 {
        HEAD + FOOT + self.bars.len() as u32 * ROW
    }

    /// The longest bar.
    fn longest(&self) -> f64 {
        let sums = self.bars.iter().filter_map(|bar| bar.parts.as_ref().ok());
        sums.map(|parts| parts.iter().sum()).fold(0.0, f64::max)
    }

    fn draw<'a>(&self, area: &Area<'a>) -> Drawn<'a> {
        let font = |size: u32| ("sans-serif", size).into_font().color(&BLACK);
        let text = |text: String, x: u32, y: u32, size: u32| {
            Text::new(text, (x as i32, y as i32), font(size))
        };
        area.draw(&text(self.title.clone(), MARGIN, MARGIN, 16))?;

        let step = (WIDTH - NAMES - MARGIN) / self.parts.len().max(1) as u32;
        for ((part, colour), place) in self.parts.iter().zip(COLOURS).zip(0..) {
            let x = NAMES + place * step.min(130);
            area.draw(&rectangle(x, MARGIN + 24, 12, 12, colour))?;
            area.draw(&text((*part).to_owned(), x + 18, MARGIN + 24, 13))?;
        }

        let width = f64::from(WIDTH - NAMES - SUMS);
        let scale = |value: f64| (value / self.longest() * width) as u32;
        for (bar, row) in self.bars.iter().zip(0..) {
            let y = HEAD + row * ROW;
            area.draw(&text(bar.name.clone(), MARGIN, y + 4, 14))?;
            let parts = match &bar.parts {
                Ok(parts) => parts,
                Err(reason) => {
                    area.draw(&text(reason.clone(), NAMES + 6, y + 4, 13))?;
                    continue;
                }
            };
            let mut end = 0.0;
            for (part, colour) in parts.iter().zip(COLOURS) {
                let start = scale(end);
                end += part;
                let length = scale(end) - start;
                area.draw(&rectangle(NAMES + start, y, length, BAR, colour))?;
            }
            let label = bar
                .label
                .clone()
                .unwrap_or_else(|| format!("{} {}", rounded(end), self.unit));
            area.draw(&text(label, NAMES + scale(end) + 6, y + 4, 13))?;
        }

        let y = HEAD + self.bars.len() as u32 * ROW;
        area.draw(&rectangle(NAMES, y, width as u32, 1, BLACK))?;
        for tick in ticks(self.longest()) {
            area.draw(&rectangle(NAMES + scale(tick), y, 1, 5, BLACK))?;
            let label = format!("{} {}", rounded(tick), self.unit);
            area.draw(&text(label, NAMES + scale(tick) - 4, y + 9, 12))?;
        }
        Ok(())
    }
}

fn rectangle(x: u32, y: u32, width: u32, height: u32, colour: RGBColor) -> Rectangle<(i32, i32)> {
    let corner = |x: u32, y: u32| (x as i32, y as i32);
    Rectangle::new(
        [corner(x, y), corner(x + width, y + height)],
        colour.filled(),
    )
}

/// Four to ten round figures up to `longest`, zero included.
fn ticks(longest: f64) -> Vec<f64> {
    let mut step = 10_f64.powf((longest / 5.0).log10().floor());
    while longest / step > 9.0 {
        step *= if longest / step > 20.0 { 5.0 } else { 2.0 };
    }
    (0..)
        .map(|n| f64::from(n) * step)
        .take_while(|tick| *tick <= longest)
        .collect()
}

/// Three digits, or all digits before the point.
pub fn rounded(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(
            ticks(390.0),
            [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 350.0]
        );
        for longest in [0.3, 1.0, 7.0, 12.0, 99.0, 8500.0] {
            let ticks = ticks(longest);
            assert!((3..=11).contains(&ticks.len()), "{longest}: {ticks:?}");
        }
    }

    #[test]
    fn a_picture_has_every_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.svg");
        let bar = |name: &str, parts| Bar {
            name: name.to_owned(),
            parts,
            label: None,
        };
        let panel = Panel {
            title: "Title".to_owned(),
            unit: "ms",
            parts: vec!["copy", "verify"],
            bars: vec![
                bar("one", Ok(vec![1.0, 2.0])),
                bar("other", Err("not measured".to_owned())),
            ],
        };
        draw(&path, &[panel]).unwrap();
        let picture = std::fs::read_to_string(&path).unwrap();
        for text in [
            "Title",
            "copy",
            "verify",
            "one",
            "other",
            "not measured",
            "3.00 ms",
        ] {
            assert!(picture.contains(text), "{text}");
        }
    }
}
