// SPDX-License-Identifier: GPL-2.0-only

//! The measurements as JSON, as tables and for the picture.

mod host;
mod panels;
mod tables;

use std::collections::BTreeMap;

use anyhow::Result;
use indexmap::IndexMap;
use serde::Serialize;

use self::host::Host;
use super::Options;
use super::copy::{Loop, Pages};
use super::instruction_counts::Counts;
use super::load;
use super::mapped::{Engine, missing};
use super::measure::{Measured, Spread};
use super::processor::{self, Caches, names};
use super::segments::{Image, Segment};
use crate::engines::EngineKind;

/// Everything in `bench.json`.
#[derive(Serialize)]
pub struct BenchReport {
    machine: Host,
    /// Whether all memory was in large pages, as between two kernels.
    large_pages: bool,
    work: Work,
    mainline: Figures,
    /// By engine.
    engines: BTreeMap<&'static str, OfEngine>,
    /// By engine, of those that this machine can run.
    image: BTreeMap<&'static str, OnImage>,
    /// Other code on the same memory.
    references: IndexMap<&'static str, Speed>,
    /// By loop: milliseconds for the copy of scattered pages and their verification by the
    /// fastest engine.
    copy_verify_ms: BTreeMap<&'static str, Spread>,
    /// By loop, then by how the pages lie.
    copy: BTreeMap<&'static str, BTreeMap<&'static str, CopyFigures>>,
    /// None if the processor lacks SHA-NI.
    load_digests: Option<LoadDigests>,
    /// Milliseconds in which the next kernel decompresses itself. None if that was not measured.
    decompress_ms: Option<Spread>,
    growth: Vec<Growth>,
    /// By case: instructions in QEMU from `kexec -e` to the next kernel's first one. None if they
    /// were not counted.
    instructions: Option<IndexMap<String, u64>>,
    /// The same in parts.
    instructions_in_parts: Option<Counts>,
    measured: Measured,
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
    /// What the caches held before each piece of work.
    caches: Caches,
    /// How the pages lay that were copied and verified.
    pages: &'static str,
    /// The loop that copies for the project's figures.
    project_loop: &'static str,
}

/// Mainline's purgatory, with the copy loop before it.
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

/// The figures of an engine, or why there are none.
#[derive(Serialize)]
#[serde(untagged)]
enum OfEngine {
    Measured(PerByte),
    NotMeasured { not_measured: String },
}

#[derive(Serialize)]
struct PerByte {
    /// Mainline's time per byte over the engine's.
    per_byte_ratio: f64,
    per_byte_ratio_spread: Spread,
    /// The same for the fastest run of each.
    per_byte_ratio_of_minima: f64,
    /// The engine's time per byte of many small regions over that of the image, for the fastest
    /// runs.
    small_regions_ratio: f64,
    small_regions_cycles_per_byte: Spread,
    #[serde(flatten)]
    speed: Speed,
}

#[derive(Serialize)]
struct OnImage {
    /// Mainline's time for the whole image over the engine's.
    verify_ratio: f64,
    /// The same for copy and verification.
    verify_copy_ratio: f64,
    verify_ratio_spread: Spread,
    verify_copy_ratio_spread: Spread,
    /// The same for the fastest run of each.
    verify_ratio_of_minima: f64,
    verify_copy_ratio_of_minima: f64,
    verify_ms: Spread,
    verify_copy_ms: Spread,
}

#[derive(Serialize)]
struct CopyFigures {
    ms: Spread,
    mb_per_s: Spread,
    /// The time of `rep movsq` for each page over that of this loop.
    ratio: Spread,
}

/// The digests that `kexec_file_load()` computes, with the kernel's own code.
#[derive(Serialize)]
struct LoadDigests {
    mainline_ms: Spread,
    ms: Spread,
    /// Mainline's time over that of the project's loader.
    ratio: Spread,
}

/// Milliseconds that verifying an image of some size takes.
#[derive(Serialize)]
struct Growth {
    mib: usize,
    mainline_ms: Spread,
    engines_ms: BTreeMap<&'static str, Spread>,
}

impl BenchReport {
    pub fn new(
        image: &Image,
        options: &Options,
        measured: Measured,
        small: &Measured,
        sizes: &[(usize, Measured)],
        instructions: Option<Counts>,
    ) -> Result<Self> {
        let mut engines = BTreeMap::new();
        let mut on_image = BTreeMap::new();
        for &kind in EngineKind::ALL {
            let figures = if Engine::new(kind).is_some() {
                on_image.insert(kind.name(), OnImage::of(kind, &measured)?);
                OfEngine::Measured(PerByte::of(kind, &measured, small)?)
            } else {
                let not_measured = missing(kind);
                OfEngine::NotMeasured { not_measured }
            };
            engines.insert(kind.name(), figures);
        }
        let mut copy = BTreeMap::new();
        for how in Loop::ALL {
            let mut figures = BTreeMap::new();
            for pages in Pages::ALL {
                figures.insert(pages.name(), CopyFigures::of(how, pages, &measured)?);
            }
            copy.insert(how.name, figures);
        }
        let streams = load::STREAMS.iter().map(|stream| stream.name);
        let references = [
            names::OPENSSL,
            names::OPENSSL_TAIL,
            names::LOAD_DIGESTS,
            names::READ,
        ]
        .into_iter()
        .chain(streams)
        .filter(|name| measured.samples.contains_key(*name))
        .map(|name| Ok((name, Speed::of(name, &measured)?)))
        .collect::<Result<_>>()?;
        Ok(Self {
            machine: Host::this()?,
            large_pages: measured.large_pages
                && small.large_pages
                && sizes.iter().all(|(_, of)| of.large_pages),
            work: Work {
                segments: image.segments.clone(),
                loaded: image.loaded(),
                total: image.total(),
                rounds: options.rounds,
                caches: options.caches,
                pages: processor::PAGES.name(),
                project_loop: Loop::PROJECT.name,
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
                    let name = names::copy_verify(how, Engine::fastest().name());
                    Ok((how.name, measured.milliseconds(&name)?))
                })
                .collect::<Result<_>>()?,
            copy,
            decompress_ms: measured.milliseconds(names::DECOMPRESS).ok(),
            load_digests: LoadDigests::of(&measured)?,
            growth: sizes
                .iter()
                .map(|(size, measured)| Growth::of(*size, measured))
                .collect::<Result<_>>()?,
            instructions: instructions.as_ref().map(|cases| {
                let totals = cases
                    .iter()
                    .map(|(case, repeated)| (case.clone(), repeated.counted.to_entry()));
                totals.collect()
            }),
            instructions_in_parts: instructions,
            measured,
        })
    }

    /// The cases whose runs counted different numbers.
    pub fn different(&self) -> Vec<&str> {
        let cases = self.instructions_in_parts.iter().flatten();
        cases
            .filter(|(_, repeated)| repeated.different.is_some())
            .map(|(case, _)| case.as_str())
            .collect()
    }
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
    fn of(kind: EngineKind, measured: &Measured, small: &Measured) -> Result<Self> {
        let name = names::verify(kind.name());
        let ratio = measured.ratio_per_byte(names::MAINLINE_VERIFY, &name)?;
        let mainline_cycles = measured.cycles_per_byte(names::MAINLINE_VERIFY)?;
        let cycles = measured.cycles_per_byte(&name)?;
        let small_cycles = small.cycles_per_byte(&name)?;
        Ok(Self {
            per_byte_ratio: ratio.median,
            per_byte_ratio_spread: ratio,
            per_byte_ratio_of_minima: mainline_cycles.min / cycles.min,
            small_regions_ratio: small_cycles.min / cycles.min,
            small_regions_cycles_per_byte: small_cycles,
            speed: Speed::of(&name, measured)?,
        })
    }
}

impl OnImage {
    fn of(kind: EngineKind, measured: &Measured) -> Result<Self> {
        let verify = names::verify(kind.name());
        let verify_copy = names::copy_verify(Loop::PROJECT, kind.name());
        let verify_ratio = measured.ratio(names::MAINLINE_VERIFY, &verify)?;
        let verify_copy_ratio = measured.ratio(names::MAINLINE_VERIFY_COPY, &verify_copy)?;
        Ok(Self {
            verify_ratio: verify_ratio.median,
            verify_copy_ratio: verify_copy_ratio.median,
            verify_ratio_spread: verify_ratio,
            verify_copy_ratio_spread: verify_copy_ratio,
            verify_ratio_of_minima: measured.ratio_of_minima(names::MAINLINE_VERIFY, &verify)?,
            verify_copy_ratio_of_minima: measured
                .ratio_of_minima(names::MAINLINE_VERIFY_COPY, &verify_copy)?,
            verify_ms: measured.milliseconds(&verify)?,
            verify_copy_ms: measured.milliseconds(&verify_copy)?,
        })
    }
}

impl CopyFigures {
    fn of(how: Loop, pages: Pages, measured: &Measured) -> Result<Self> {
        let name = names::copy(how, pages);
        Ok(Self {
            ms: measured.milliseconds(&name)?,
            mb_per_s: measured.speed(&name)?,
            ratio: measured.ratio(&names::copy(Loop::MOVSQ, pages), &name)?,
        })
    }
}

impl LoadDigests {
    /// None if it was not measured.
    fn of(measured: &Measured) -> Result<Option<Self>> {
        if !measured.samples.contains_key(names::LOAD_DIGESTS) {
            return Ok(None);
        }
        Ok(Some(Self {
            mainline_ms: measured.milliseconds(names::MAINLINE_LOAD_DIGESTS)?,
            ms: measured.milliseconds(names::LOAD_DIGESTS)?,
            ratio: measured.ratio(names::MAINLINE_LOAD_DIGESTS, names::LOAD_DIGESTS)?,
        }))
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

/// Instructions in millions.
fn millions(instructions: u64) -> f64 {
    instructions as f64 / 1e6
}
