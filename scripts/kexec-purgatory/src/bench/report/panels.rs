// SPDX-License-Identifier: GPL-2.0-only

//! What the picture shows.

use anyhow::{Context, Result};
use indexmap::IndexMap;

use super::{Report, millions};
use crate::bench::blob::needs;
use crate::bench::copy::Loop;
use crate::bench::instructions::Repeated;
use crate::bench::picture::{Bar, Panel};
use crate::bench::processor;
use crate::engines::EngineKind;

impl Report {
    /// What the picture shows.
    pub fn panels(&self) -> Result<Vec<Panel>> {
        let copy = self
            .copy
            .get(Loop::PROJECT.name())
            .and_then(|by| by.get(processor::PAGES.name()))
            .context("the copy was not measured")?
            .ms
            .median;
        // Only what was measured together: copy and verification, one behind the other.
        let mut bars = vec![Bar {
            name: "mainline".to_owned(),
            parts: Ok(vec![self.mainline.verify_copy_ms.median]),
        }];
        for &kind in EngineKind::ALL {
            let image = self.image.get(kind.name());
            let parts = match image.and_then(|image| image.verify_copy_ms) {
                Some(time) => Ok(vec![time.median]),
                None => Err(format!("not measured: no {}", needs(kind))),
            };
            bars.push(Bar {
                name: kind.name().to_owned(),
                parts,
            });
        }
        bars.push(Bar {
            name: "direct".to_owned(),
            parts: Ok(vec![copy]),
        });
        let mut panels = vec![Panel {
            title: format!("Copy and verify, measured on {}", self.machine.processor),
            unit: "ms",
            parts: vec!["copy and verify"],
            bars,
        }];
        if let Some(cases) = &self.instructions_in_parts {
            panels.extend(instructions_panels(cases));
        }
        Ok(panels)
    }
}

/// All cases to the next kernel's first instruction, and those that went on to its `/init`.
fn instructions_panels(cases: &IndexMap<&'static str, Repeated>) -> [Panel; 2] {
    let bar = |(name, parts): (&&str, Vec<u64>)| Bar {
        name: (**name).to_owned(),
        parts: Ok(parts.into_iter().map(millions).collect()),
    };
    let to_entry = cases.iter().map(|(name, Repeated { counted, .. })| {
        let parts = vec![counted.shut_down, counted.copy, counted.verify];
        bar((name, parts))
    });
    let to_init = cases.iter().filter_map(|(name, Repeated { counted, .. })| {
        let parts = vec![
            counted.shut_down,
            counted.copy,
            counted.verify,
            counted.boot?,
        ];
        Some(bar((name, parts)))
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
