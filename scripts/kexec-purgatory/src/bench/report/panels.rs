// SPDX-License-Identifier: GPL-2.0-only

//! What the picture shows.

use anyhow::{Context, Result};

use super::{BenchReport, millions};
use crate::bench::copy::Loop;
use crate::bench::instruction_counts::{Counts, Repeated};
use crate::bench::mapped::missing;
use crate::bench::measure::Spread;
use crate::bench::picture::{Bar, Panel, rounded};
use crate::bench::processor::{self, Caches};
use crate::engines::EngineKind;

impl BenchReport {
    /// What the picture shows.
    pub fn panels(&self) -> Result<Vec<Panel>> {
        let direct = self
            .copy
            .get(Loop::PROJECT.name)
            .and_then(|by| by.get(processor::PAGES.name()))
            .context("the copy was not measured")?;
        // Only what was measured together: the copy and the verification after it.
        let mut bars = vec![time_bar("mainline", self.mainline.verify_copy_ms)];
        for &kind in EngineKind::ALL {
            bars.push(match self.image.get(kind.name()) {
                Some(image) => time_bar(kind.name(), image.verify_copy_ms),
                None => Bar {
                    name: kind.name().to_owned(),
                    parts: Err(missing(kind)),
                    label: None,
                },
            });
        }
        bars.push(time_bar("direct (copy only)", direct.ms));
        let mut panels = vec![Panel {
            title: format!(
                "Copy and verify {:.1} MB, caches {}, on {}",
                self.work.loaded as f64 / 1e6,
                match self.work.caches {
                    Caches::Warm => "warm",
                    Caches::Cold => "cold",
                },
                self.machine.name()
            ),
            unit: "ms",
            parts: vec!["fastest run", "median"],
            bars,
        }];
        if let Some(cases) = &self.instructions_in_parts {
            panels.extend(instructions_panels(cases));
        }
        Ok(panels)
    }
}

/// A bar as long as the median, of which the first part is the fastest run.
fn time_bar(name: &str, time: Spread) -> Bar {
    Bar {
        name: name.to_owned(),
        parts: Ok(vec![time.min, time.median - time.min]),
        label: Some(format!(
            "{} ms, median {} ms",
            rounded(time.min),
            rounded(time.median)
        )),
    }
}

/// Panels of all cases up to the next kernel's first instruction, and of those that went on to its
/// `/init`.
fn instructions_panels(cases: &Counts) -> [Panel; 2] {
    let bar = |name: &String, parts: Vec<u64>| Bar {
        name: name.clone(),
        parts: Ok(parts.into_iter().map(millions).collect()),
        label: None,
    };
    let to_entry = cases.iter().map(|(name, Repeated { counted, .. })| {
        let parts = vec![counted.shut_down, counted.copy, counted.verify];
        bar(name, parts)
    });
    let to_init = cases.iter().filter_map(|(name, Repeated { counted, .. })| {
        let boot = counted.boot?;
        let parts = vec![counted.shut_down, counted.copy, counted.verify, boot];
        Some(bar(name, parts))
    });
    [
        Panel {
            title: "To the next kernel's first instruction: instructions in QEMU, not time"
                .to_owned(),
            unit: "million",
            parts: vec!["shut down", "copy", "verify"],
            bars: to_entry.collect(),
        },
        Panel {
            title: "To the next kernel's /init: instructions in QEMU, not time".to_owned(),
            unit: "million",
            parts: vec!["shut down", "copy", "verify", "enter"],
            bars: to_init.collect(),
        },
    ]
}
