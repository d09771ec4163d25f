// SPDX-License-Identifier: GPL-2.0-only

//! What was measured, as JSON and as tables.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets::ASCII_MARKDOWN};
use serde::Serialize;

use super::blob::{Engine, needs};
use super::copy::{Loop, Pages};
use super::image::{Image, Segment};
use super::instructions::{Counted, Instructions};
use super::measure::{Measured, Spread};
use super::picture::{Bar, Panel};
use super::processor::{self, names};
use crate::abi::EngineKind;
use crate::command::{command, output};

/// All that `bench.json` has.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
    work: Work,
    mainline: Figures,
    /// By engine.
    engines: BTreeMap<&'static str, PerByte>,
    /// By engine.
    image: BTreeMap<&'static str, OnImage>,
    /// Other code on the same memory.
    references: BTreeMap<&'static str, Speed>,
    /// By loop: milliseconds for the copy of scattered pages and their verification by the
    /// fastest engine.
    copy_verify_ms: BTreeMap<&'static str, Spread>,
    /// By loop, then by how the pages lie.
    copy: BTreeMap<&'static str, BTreeMap<&'static str, CopyFigures>>,
    growth: Vec<Growth>,
    /// By case: instructions in QEMU from `kexec -e` to the next kernel's first one. None if they
    /// were not counted.
    instructions: Option<BTreeMap<&'static str, u64>>,
    /// The same in parts.
    instructions_in_parts: Option<BTreeMap<&'static str, Counted>>,
    /// Cases of which two runs did not count the same.
    instructions_not_repeatable: BTreeMap<&'static str, Vec<Counted>>,
    measured: Measured,
}

/// The machine that this ran on.
#[derive(Serialize)]
struct Machine {
    processor: String,
    flags: Vec<String>,
    kernel: String,
    /// Memory of this process in large pages, in KiB.
    large_pages_kib: u64,
}

/// What was copied and verified.
#[derive(Serialize)]
struct Work {
    segments: Vec<Segment>,
    /// Bytes.
    loaded: usize,
    /// Bytes, with the zero tails.
    total: usize,
    rounds: usize,
    /// How the pages lay that were copied and verified.
    pages: &'static str,
    /// The loop that copies for the project's figures.
    project_loop: &'static str,
}

/// Mainline's purgatory, with the copy loop in front of it.
#[derive(Serialize)]
struct Figures {
    #[serde(flatten)]
    speed: Speed,
    verify_ms: Spread,
    copy_ms: Spread,
    verify_copy_ms: Spread,
}

#[derive(Serialize)]
struct Speed {
    mb_per_s: Spread,
    cycles_per_byte: Spread,
}

#[derive(Serialize)]
struct PerByte {
    /// Mainline's time for a byte over that of the engine.
    per_byte_ratio: Option<f64>,
    per_byte_ratio_spread: Option<Spread>,
    #[serde(flatten)]
    speed: Option<Speed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_measured: Option<String>,
}

#[derive(Serialize)]
struct OnImage {
    /// Mainline's time for the whole image over that of the engine.
    verify_ratio: Option<f64>,
    /// The same for copy and verification.
    verify_copy_ratio: Option<f64>,
    verify_ratio_spread: Option<Spread>,
    verify_copy_ratio_spread: Option<Spread>,
    verify_ms: Option<Spread>,
    verify_copy_ms: Option<Spread>,
}

#[derive(Serialize)]
struct CopyFigures {
    ms: Spread,
    mb_per_s: Spread,
    /// The time that `rep movsq` for each page takes over that of this loop.
    ratio: Spread,
}

/// Milliseconds that an image of some size takes to verify.
#[derive(Serialize)]
struct Growth {
    mib: usize,
    mainline_ms: Spread,
    engines_ms: BTreeMap<&'static str, Spread>,
}

impl Report {
    pub fn new(
        image: &Image,
        rounds: usize,
        measured: Measured,
        sizes: &[(usize, Measured)],
        instructions: Option<Instructions>,
    ) -> Result<Self> {
        let mut engines = BTreeMap::new();
        let mut on_image = BTreeMap::new();
        for kind in EngineKind::ALL {
            engines.insert(kind.name(), PerByte::of(kind, &measured)?);
            on_image.insert(kind.name(), OnImage::of(kind, &measured)?);
        }
        let mut copy = BTreeMap::new();
        for how in Loop::ALL {
            let mut figures = BTreeMap::new();
            for pages in Pages::ALL {
                figures.insert(pages.name(), CopyFigures::of(how, pages, &measured)?);
            }
            copy.insert(how.name(), figures);
        }
        let references = [names::OPENSSL, names::OPENSSL_TAIL, names::READ]
            .into_iter()
            .map(|name| Ok((name, Speed::of(name, &measured)?)))
            .collect::<Result<_>>()?;
        let cases = instructions
            .as_ref()
            .map(|instructions| &instructions.cases);
        Ok(Self {
            machine: Machine::this()?,
            work: Work {
                segments: image.segments.clone(),
                loaded: image.loaded(),
                total: image.total(),
                rounds,
                pages: processor::PAGES.name(),
                project_loop: Loop::PROJECT.name(),
            },
            mainline: Figures {
                speed: Speed::of(names::MAINLINE_VERIFY, &measured)?,
                verify_ms: measured.milliseconds(names::MAINLINE_VERIFY)?,
                copy_ms: measured.milliseconds(names::MAINLINE_COPY)?,
                verify_copy_ms: measured.milliseconds(names::MAINLINE_VERIFY_COPY)?,
            },
            engines,
            image: on_image,
            references,
            copy_verify_ms: Loop::ALL
                .into_iter()
                .map(|how| {
                    let name = names::copy_verify(how);
                    Ok((how.name(), measured.milliseconds(&name)?))
                })
                .collect::<Result<_>>()?,
            copy,
            growth: sizes
                .iter()
                .map(|(size, measured)| Growth::of(*size, measured))
                .collect::<Result<_>>()?,
            instructions: cases.map(|cases| {
                let totals = cases
                    .iter()
                    .map(|(name, counted)| (*name, counted.to_entry()));
                totals.collect()
            }),
            instructions_in_parts: cases.map(|cases| cases.iter().cloned().collect()),
            instructions_not_repeatable: instructions
                .as_ref()
                .map(|instructions| instructions.different.clone())
                .unwrap_or_default(),
            measured,
        })
    }

    /// Prints all tables.
    pub fn print(&self) {
        println!(
            "{}, Linux {}\n",
            self.machine.processor, self.machine.kernel
        );
        println!(
            "Image of {} bytes, {} with zero tails. Median of {} interleaved rounds, and the\n\
             distance of the quartiles in percent of it. Time is processor time, cycles are those\n\
             of the time stamp counter. Ratios are mainline's time over that of the engine.\n",
            self.work.loaded, self.work.total, self.work.rounds
        );
        println!("{}", self.verification());
        for (name, engine) in &self.engines {
            if let Some(reason) = &engine.not_measured {
                println!("{name}: {reason}");
            }
        }
        println!();
        println!(
            "Copy loops, over what was loaded: MB/s, and times as fast as rep movsq for each page;\n\
             then ms for a copy of scattered pages and their verification by {}.\n",
            Engine::fastest().name()
        );
        println!("{}\n", self.copy_loops());
        println!("Verification of images of several sizes without a tail, in ms.\n");
        println!("{}\n", self.sizes());
        if let Some(cases) = &self.instructions_in_parts {
            println!(
                "Millions of instructions from kexec -e to the next kernel's first one, and to its\n\
                 /init, in QEMU: how many, not how long. Waits count a nanosecond as one.\n"
            );
            println!("{}", instructions_table(cases));
            match self
                .instructions_not_repeatable
                .keys()
                .copied()
                .collect::<Vec<_>>()[..]
            {
                [] => println!("Two runs of each counted the same, to the instruction.\n"),
                ref cases => println!("Two runs differ: {}\n", cases.join(", ")),
            }
        }
    }

    /// What the picture shows.
    pub fn panels(&self) -> Result<Vec<Panel>> {
        let copy = self
            .copy
            .get(Loop::PROJECT.name())
            .and_then(|by| by.get(processor::PAGES.name()))
            .context("the copy was not measured")?
            .ms
            .median;
        let mut bars = vec![Bar {
            name: "mainline".to_owned(),
            parts: Ok(vec![
                self.mainline.copy_ms.median,
                self.mainline.verify_ms.median,
            ]),
        }];
        for kind in EngineKind::ALL {
            let image = self.image.get(kind.name());
            let parts = match image.and_then(|image| image.verify_ms) {
                Some(verify) => Ok(vec![copy, verify.median]),
                None => Err(format!("not measured: no {}", needs(kind))),
            };
            bars.push(Bar {
                name: kind.name().to_owned(),
                parts,
            });
        }
        bars.push(Bar {
            name: "direct".to_owned(),
            parts: Ok(vec![copy, 0.0]),
        });
        let mut panels = vec![Panel {
            title: format!("Copy and verify, measured on {}", self.machine.processor),
            unit: "ms",
            parts: vec!["copy", "verify"],
            bars,
        }];
        if let Some(cases) = &self.instructions_in_parts {
            panels.extend(instructions_panels(cases));
        }
        Ok(panels)
    }

    fn verification(&self) -> Table {
        let mut table = new_table(&[
            "verification",
            "MB/s",
            "cycles/B",
            "per byte",
            "image, ms",
            "ratio",
            "and copy, ms",
            "ratio",
        ]);
        let mainline = &self.mainline;
        table.add_row([
            "mainline, tail".to_owned(),
            with_spread(&mainline.speed.mb_per_s, 0),
            figure(&mainline.speed.cycles_per_byte, 2),
            "1".to_owned(),
            with_spread(&mainline.verify_ms, 1),
            "1".to_owned(),
            with_spread(&mainline.verify_copy_ms, 1),
            "1".to_owned(),
        ]);
        for (name, speed) in &self.references {
            let mut row = [const { String::new() }; 8];
            row[0] = (*name).to_owned();
            row[1] = with_spread(&speed.mb_per_s, 0);
            row[2] = figure(&speed.cycles_per_byte, 2);
            table.add_row(row);
        }
        for engine in Engine::all() {
            table.add_row(self.engine_row(engine.name()));
        }
        table
    }

    fn engine_row(&self, name: &str) -> [String; 8] {
        let mut row = [const { String::new() }; 8];
        row[0] = name.to_owned();
        let (Some(engine), Some(image)) = (self.engines.get(name), self.image.get(name)) else {
            return row;
        };
        if let Some(speed) = &engine.speed {
            row[1] = with_spread(&speed.mb_per_s, 0);
            row[2] = figure(&speed.cycles_per_byte, 2);
        }
        let figures = [
            (&engine.per_byte_ratio_spread, 3),
            (&image.verify_ratio_spread, 5),
            (&image.verify_copy_ratio_spread, 7),
        ];
        for (spread, column) in figures {
            row[column] = spread.map(|spread| figure(&spread, 2)).unwrap_or_default();
        }
        for (spread, column) in [(&image.verify_ms, 4), (&image.verify_copy_ms, 6)] {
            row[column] = spread
                .map(|spread| with_spread(&spread, 1))
                .unwrap_or_default();
        }
        row
    }

    fn copy_loops(&self) -> Table {
        let mut table = new_table(&[
            "loop",
            "adjacent",
            "ratio",
            "scattered",
            "ratio",
            "and verify",
        ]);
        for how in Loop::ALL {
            let mut row = vec![how.name().to_owned()];
            for pages in Pages::ALL {
                let Some(figures) = self
                    .copy
                    .get(how.name())
                    .and_then(|by| by.get(pages.name()))
                else {
                    continue;
                };
                row.push(with_spread(&figures.mb_per_s, 0));
                row.push(with_spread(&figures.ratio, 2));
            }
            if let Some(spread) = self.copy_verify_ms.get(how.name()) {
                row.push(with_spread(spread, 1));
            }
            table.add_row(row);
        }
        table
    }

    fn sizes(&self) -> Table {
        let engines: Vec<&str> = Engine::all().iter().map(|engine| engine.name()).collect();
        let mut table = new_table(&[&["MiB", "mainline"], &engines[..]].concat());
        for growth in &self.growth {
            let mut row = vec![growth.mib.to_string(), with_spread(&growth.mainline_ms, 1)];
            row.extend(engines.iter().map(|engine| {
                growth
                    .engines_ms
                    .get(engine)
                    .map(|spread| with_spread(spread, 1))
                    .unwrap_or_default()
            }));
            table.add_row(row);
        }
        table
    }
}

/// Millions, of which a part of an instruction is nothing.
fn millions(instructions: u64) -> f64 {
    instructions as f64 / 1e6
}

fn instructions_table(cases: &BTreeMap<&'static str, Counted>) -> Table {
    let mut table = new_table(&[
        "case",
        "shut down",
        "copy",
        "verify",
        "to entry",
        "next kernel",
        "to /init",
    ]);
    for (name, counted) in cases {
        let mut row = vec![(*name).to_owned()];
        let parts = [
            counted.shut_down,
            counted.copy,
            counted.verify,
            counted.to_entry(),
        ];
        row.extend(parts.map(|part| format!("{:.3}", millions(part))));
        if let Some(boot) = counted.boot {
            let parts = [boot, counted.to_entry() + boot];
            row.extend(parts.map(|part| format!("{:.3}", millions(part))));
        }
        table.add_row(row);
    }
    table
}

/// All cases to the next kernel's first instruction, and those that went on to its `/init`.
fn instructions_panels(cases: &BTreeMap<&'static str, Counted>) -> [Panel; 2] {
    let bar = |(name, parts): (&&str, Vec<u64>)| Bar {
        name: (**name).to_owned(),
        parts: Ok(parts.into_iter().map(millions).collect()),
    };
    let to_entry = cases.iter().map(|(name, counted)| {
        let parts = vec![counted.shut_down, counted.copy, counted.verify];
        bar((name, parts))
    });
    let to_init = cases.iter().filter_map(|(name, counted)| {
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

/// Names to the left, figures to the right.
fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_padding((1, 1));
    }
    table
}

fn figure(spread: &Spread, digits: usize) -> String {
    format!("{:.digits$}", spread.median)
}

fn with_spread(spread: &Spread, digits: usize) -> String {
    format!("{:.digits$} {:>2.0}%", spread.median, spread.percent())
}

impl Speed {
    fn of(name: &str, measured: &Measured) -> Result<Self> {
        Ok(Self {
            mb_per_s: measured.speed(name)?,
            cycles_per_byte: measured.cycles_per_byte(name)?,
        })
    }
}

impl PerByte {
    fn of(kind: EngineKind, measured: &Measured) -> Result<Self> {
        if Engine::new(kind).is_none() {
            return Ok(Self {
                per_byte_ratio: None,
                per_byte_ratio_spread: None,
                speed: None,
                not_measured: Some(format!("not measured: no {}", needs(kind))),
            });
        }
        let name = names::verify(kind.name());
        let ratio = measured.ratio_per_byte(names::MAINLINE_VERIFY, &name)?;
        Ok(Self {
            per_byte_ratio: Some(ratio.median),
            per_byte_ratio_spread: Some(ratio),
            speed: Some(Speed::of(&name, measured)?),
            not_measured: None,
        })
    }
}

impl OnImage {
    fn of(kind: EngineKind, measured: &Measured) -> Result<Self> {
        let measured = Engine::new(kind).map(|_| measured);
        let verify = names::verify(kind.name());
        let verify_copy = names::verify_copy(kind.name());
        let ratio = |mainline, name: &str| measured.map(|m| m.ratio(mainline, name)).transpose();
        let time = |name: &str| measured.map(|m| m.milliseconds(name)).transpose();

        let verify_ratio = ratio(names::MAINLINE_VERIFY, &verify)?;
        let verify_copy_ratio = ratio(names::MAINLINE_VERIFY_COPY, &verify_copy)?;
        Ok(Self {
            verify_ratio: verify_ratio.map(|ratio| ratio.median),
            verify_copy_ratio: verify_copy_ratio.map(|ratio| ratio.median),
            verify_ratio_spread: verify_ratio,
            verify_copy_ratio_spread: verify_copy_ratio,
            verify_ms: time(&verify)?,
            verify_copy_ms: time(&verify_copy)?,
        })
    }
}

impl CopyFigures {
    fn of(how: Loop, pages: Pages, measured: &Measured) -> Result<Self> {
        let name = names::copy(how, pages);
        Ok(Self {
            ms: measured.milliseconds(&name)?,
            mb_per_s: measured.speed(&name)?,
            ratio: measured.ratio(&names::copy(Loop::Movsq, pages), &name)?,
        })
    }
}

impl Growth {
    fn of(mib: usize, measured: &Measured) -> Result<Self> {
        Ok(Self {
            mib,
            mainline_ms: measured.milliseconds(names::MAINLINE_VERIFY)?,
            engines_ms: Engine::all()
                .into_iter()
                .map(|engine| {
                    let name = engine.name();
                    Ok((name, measured.milliseconds(&names::verify(name))?))
                })
                .collect::<Result<_>>()?,
        })
    }
}

impl Machine {
    fn this() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let field = |name: &str| {
            cpuinfo
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(": "))
                .with_context(|| format!("/proc/cpuinfo has no {name}"))
        };
        let smaps = fs::read_to_string("/proc/self/smaps_rollup")?;
        let large_pages = smaps
            .lines()
            .find_map(|line| line.strip_prefix("AnonHugePages:"))
            .and_then(|value| value.split_whitespace().next()?.parse().ok());
        Ok(Self {
            processor: field("model name")?.to_owned(),
            flags: field("flags")?
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            kernel: output(command("uname").arg("-r"))?.trim().to_owned(),
            large_pages_kib: large_pages.unwrap_or(0),
        })
    }
}
