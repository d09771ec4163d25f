// SPDX-License-Identifier: GPL-2.0-only

//! Measures on the processor that this program runs on.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use serde::Serialize;

use super::Options;
use super::copy::{Copy, Extent, Loop, Pages};
use super::decompress::Decompressor;
use super::load::{self, KernelSha256};
use super::mainline_purgatory::Mainline;
use super::mapped::{Engine, MappedPurgatory};
use super::measure::{Case, Measured, interleaved};
use super::present_memory::flush;
use super::segments::Image;
use crate::files;
use crate::progress::Step;

/// How image pages lie where copy and verification are measured together: the way that suits the
/// copy, and so the project's code, least.
pub const PAGES: Pages = Pages::Scattered;

/// The sizes of images to measure, in MiB.
pub const SIZES: &[usize] = &[16, 64, 256, 1024];

/// The image of many small segments: how many there are, and bytes of each.
pub const SMALL_REGIONS: usize = 16;
pub const SMALL_REGION: usize = 64 << 10;

/// What the caches hold of an image before it is measured.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Caches {
    /// What the previous piece of work left there
    Warm,
    /// Nothing
    Cold,
}

impl Caches {
    /// Prepares the caches for work on an image. `others` is other memory that the work reads.
    fn prepare(self, image: &Image, others: &[&[u8]]) {
        if self == Self::Cold {
            for memory in others.iter().chain([&&*image.memory]) {
                flush(memory);
            }
        }
    }
}

/// The programs that are compared.
pub struct Programs {
    pub purgatory: MappedPurgatory,
    /// Mainline's `purgatory.ro`.
    pub mainline: Vec<u8>,
    /// The kernel's own code that this processor can run.
    pub kernel: Vec<KernelSha256>,
}

/// The names of the measurements.
pub mod names {
    use super::{Loop, Pages};

    pub const MAINLINE_VERIFY: &str = "mainline/verify";
    pub const MAINLINE_COPY: &str = "mainline/copy";
    pub const MAINLINE_VERIFY_COPY: &str = "mainline/copy+verify";
    pub const OPENSSL: &str = "openssl";
    pub const OPENSSL_TAIL: &str = "openssl, tail";
    pub const READ: &str = "read";
    pub const DECOMPRESS: &str = "decompress the next kernel";
    pub const MAINLINE_LOAD_DIGESTS: &str = "mainline/load digests";
    pub const LOAD_DIGESTS: &str = "lib/crypto, SHA-NI, two leaves";

    pub fn verify(engine: &str) -> String {
        format!("{engine}/verify")
    }

    pub fn copy_verify(how: Loop, engine: &str) -> String {
        format!("{}/{engine}/copy+verify", how.name)
    }

    pub fn copy(how: Loop, pages: Pages) -> String {
        format!("{}/{}", how.name, pages.name())
    }
}

/// What OpenSSL needs for an image.
#[cfg(feature = "openssl")]
fn openssl(image: &Image) -> Vec<Case<'_>> {
    use openssl::sha::{Sha256, sha256};

    vec![
        Case::new(names::OPENSSL_TAIL, image.total(), || {
            let mut hash = Sha256::new();
            for segment in &image.segments {
                hash.update(&image.memory[segment.memory_range()]);
            }
            black_box(hash.finish());
        }),
        Case::new(names::OPENSSL, image.loaded(), || {
            for segment in &image.segments {
                black_box(sha256(&image.memory[segment.loaded_range()]));
            }
        }),
    ]
}

/// The tool builds without OpenSSL's headers as well, and the static program leaves OpenSSL out.
#[cfg(not(feature = "openssl"))]
fn openssl(_: &Image) -> Vec<Case<'_>> {
    Vec::new()
}

/// Checks that all programs compute what they should, then measures them on the image of a real
/// kernel. If `decompressor` is given, also measures the kernel's decompression.
pub fn on_image(
    programs: &Programs,
    image: &Image,
    decompressor: Option<&Decompressor<'_>>,
    options: &Options,
) -> Result<Measured> {
    let &Options { caches, rounds, .. } = options;
    let purgatory = &programs.purgatory;
    let mut step = Step::start(format!("measure on this processor, {rounds} rounds"));
    check(programs, image)?;

    let mainline = Mainline::link(&programs.mainline, image)?;
    let with_tail = Copy::new(image, PAGES, Extent::WithTail)?;
    let copies = Pages::ALL
        .into_iter()
        .map(|pages| Ok((pages, Copy::new(image, pages, Extent::Loaded)?)))
        .collect::<Result<Vec<_>>>()?;
    for (_, copy) in &copies {
        copy.check()?;
    }

    let (loaded, total) = (image.loaded(), image.total());
    let mut cases = vec![
        Case::new(names::MAINLINE_VERIFY, total, || mainline.verify()),
        Case::new(names::MAINLINE_COPY, total, || with_tail.run(Loop::MOVSQ)),
        Case::new(names::MAINLINE_VERIFY_COPY, total, || {
            with_tail.run(Loop::MOVSQ);
            mainline.verify();
        }),
    ];
    cases.extend(openssl(image));
    cases.push(Case::new(names::READ, loaded, || {
        for segment in &image.segments {
            black_box(sum(&image.memory[segment.loaded_range()]));
        }
    }));
    cases.extend(decompressor.map(|decompressor| {
        Case::new(names::DECOMPRESS, decompressor.size(), || {
            black_box(decompressor.run());
        })
    }));
    for kernel in &programs.kernel {
        cases.push(Case::new(kernel.name, loaded, || {
            black_box(kernel.loaded(image));
        }));
        if kernel.has_finup_2x() {
            cases.push(Case::new(names::MAINLINE_LOAD_DIGESTS, total, || {
                black_box(kernel.mainline(image));
            }));
            cases.push(Case::new(names::LOAD_DIGESTS, loaded, || {
                black_box(kernel.regions(image));
            }));
        }
    }
    for (pages, copy) in &copies {
        for how in Loop::ALL {
            let name = names::copy(how, *pages);
            cases.push(Case::new(name, copy.bytes(), move || copy.run(how)));
        }
    }
    cases.extend(by_engines(purgatory, image));
    if let Some((_, copy)) = copies.iter().find(|(pages, _)| *pages == PAGES) {
        let every_engine = Engine::all().into_iter().map(|e| (Loop::PROJECT, e));
        let others = Loop::ALL
            .into_iter()
            .filter(|how| how.name != Loop::PROJECT.name);
        for (how, engine) in every_engine.chain(others.map(|how| (how, Engine::fastest()))) {
            let name = names::copy_verify(how, engine.name());
            cases.push(Case::new(name, loaded, move || {
                copy.run(how);
                black_box(purgatory.verify(engine, image));
            }));
        }
    }
    let copied = copies.iter().map(|(_, copy)| copy).chain([&with_tail]);
    let mut others: Vec<&[u8]> = copied.flat_map(Copy::memory).collect();
    others.extend(decompressor.map(Decompressor::payload));
    let before = || caches.prepare(image, &others);
    let measured = interleaved(cases, before, rounds, &mut step)?;
    step.done();
    Ok(measured)
}

/// The verification of an image by every engine.
fn by_engines<'a>(
    purgatory: &'a MappedPurgatory,
    image: &'a Image,
) -> impl Iterator<Item = Case<'a>> {
    Engine::all().into_iter().map(move |engine| {
        let name = names::verify(engine.name());
        Case::new(name, image.loaded(), move || {
            black_box(purgatory.verify(engine, image));
        })
    })
}

/// Measures the verification of an image by mainline's code and by every engine. `label` names the
/// image in messages.
fn verification(
    programs: &Programs,
    label: &str,
    image: &Image,
    options: &Options,
) -> Result<Measured> {
    let &Options { caches, rounds, .. } = options;
    let mut step = Step::start(format!("measure {label} on this processor"));
    let mainline = Mainline::link(&programs.mainline, image)?;
    let mut cases = vec![Case::new(names::MAINLINE_VERIFY, image.loaded(), || {
        mainline.verify();
    })];
    cases.extend(by_engines(&programs.purgatory, image));
    let measured = interleaved(cases, || caches.prepare(image, &[]), rounds, &mut step)?;
    step.done();
    Ok(measured)
}

/// Measures the verification of an image of many small segments.
pub fn on_small_regions(programs: &Programs, options: &Options) -> Result<Measured> {
    let image = Image::of_equal_segments(SMALL_REGIONS, SMALL_REGION)?;
    verification(programs, "small regions", &image, options)
}

/// Measures on images of several sizes, without a tail. Returns the size of each in MiB with its
/// measurements.
pub fn on_sizes(programs: &Programs, options: &Options) -> Result<Vec<(usize, Measured)>> {
    let on_size = |&size: &usize| {
        let image = Image::of_equal_segments(1, size << 20)?;
        let measured = verification(programs, &format!("{size} MiB"), &image, options)?;
        Ok((size, measured))
    };
    options.sizes.iter().map(on_size).collect()
}

/// Fails unless every engine, and the kernel's own code, computes the same digests as another
/// implementation.
///
/// Mainline's purgatory returns only from an image that it found sound.
pub fn check(programs: &Programs, image: &Image) -> Result<()> {
    for engine in Engine::all() {
        programs.purgatory.check(engine, image)?;
    }
    for kernel in &programs.kernel {
        kernel.check(image)?;
    }
    Ok(())
}

/// Reads memory and does almost nothing with it.
fn sum(bytes: &[u8]) -> u64 {
    // Independent sums, so that additions do not wait for each other.
    let mut sums = [0_u64; 16];
    for chunk in bytes.as_chunks::<128>().0 {
        for (sum, word) in sums.iter_mut().zip(chunk.as_chunks().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.iter().fold(0, |total, sum| total.wrapping_add(*sum))
}

/// Pins the process to the processor that it runs on, because there is only one between two
/// kernels.
pub fn stay_on_one() -> Result<()> {
    let mut set = CpuSet::new();
    set.set(sched_getcpu());
    sched_setaffinity(None, &set).context("cannot stay on one processor")
}

/// Mainline's purgatory in a kernel's build directory.
pub const MAINLINE_OBJECT: &str = "arch/x86/purgatory/purgatory.ro";

/// The project's purgatory there, and the image with only its digest code.
pub const PURGATORY: &str = "arch/x86/purgatory/rust/purgatory.bin";
pub const DIGESTS: &str = "arch/x86/purgatory/rust/purgatory_test.bin";

/// The bytes of all programs.
pub struct ProgramBytes {
    pub purgatory: Vec<u8>,
    pub digests: Vec<u8>,
    pub mainline: Vec<u8>,
    /// In the order of [`load::STREAMS`].
    pub streams: [Vec<u8>; load::STREAMS.len()],
}

impl ProgramBytes {
    /// Reads mainline's objects from its build directory.
    pub fn read(purgatory: Vec<u8>, digests: Vec<u8>, mainline: &Path) -> Result<Self> {
        let read = |object: &str| files::read(&mainline.join(object));
        let mut streams = <[Vec<u8>; load::STREAMS.len()]>::default();
        for (bytes, stream) in streams.iter_mut().zip(&load::STREAMS) {
            *bytes = read(stream.object)?;
        }
        Ok(Self {
            purgatory,
            digests,
            mainline: read(MAINLINE_OBJECT)?,
            streams,
        })
    }
}

impl Programs {
    /// Links everything that this processor can run.
    pub fn link(bytes: &ProgramBytes) -> Result<Self> {
        let mut kernel = Vec::new();
        for (stream, object) in load::STREAMS.iter().zip(&bytes.streams) {
            kernel.extend(KernelSha256::link(stream, object)?);
        }
        Ok(Self {
            purgatory: MappedPurgatory::new(&bytes.purgatory, &bytes.digests)?,
            mainline: bytes.mainline.clone(),
            kernel,
        })
    }
}
