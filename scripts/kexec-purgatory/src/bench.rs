// SPDX-License-Identifier: GPL-2.0-only

//! Measures how fast the purgatory is, compared with mainline's.

pub mod copy;
mod decompress;
mod image;
pub mod instructions;
pub mod load;
mod mainline;
pub mod mapped;
mod measure;
mod memory;
mod picture;
pub mod processor;
mod program;
mod report;
pub mod standalone;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::decompress::{Compressed, Decompressor};
use self::image::Image;
use self::instructions::Counts;
use self::mainline::Mainline;
use self::processor::{Caches, Objects, Programs};
use self::report::Report;
use crate::bare;
use crate::fetch;
use crate::files;
use crate::kernel::objects;
use crate::kernel::toolchain::Toolchain;
use crate::layout::Layout;
use crate::progress::Step;

/// How to measure.
pub struct Options {
    /// How often each piece of work is done.
    pub rounds: usize,
    pub caches: Caches,
    /// Sizes of images, in MiB.
    pub sizes: &'static [usize],
}

/// Measures, prints tables, and writes the results to `build/bench`. If `runs` is given, also
/// counts instructions in that many runs in QEMU. Fails at the end if runs of a case in QEMU
/// counted different numbers.
pub fn run(layout: &Layout, options: &Options, runs: Option<u16>) -> Result<()> {
    ensure!(
        !cfg!(debug_assertions),
        "this tool was built without optimizations, which distorts the figures: run make bench"
    );
    let folder = layout.build.join("bench");
    fs::create_dir_all(&folder)?;
    let mainline = mainline(layout)?;
    let objects = objects(layout, &mainline)?;
    let next = fetch::distribution_kernel(layout)?;
    let tree = fetch::pristine_tree(layout)?;
    let compressed = Compressed::build(layout, &tree, &mainline, &next.image)?;
    let image = Image::of_kernel(&next.image)?;
    // Comes first because measuring pins this process to one processor.
    let instructions = runs
        .map(|runs| instructions::count(layout, &next, runs))
        .transpose()?;
    let report = measure(&objects, &image, compressed.as_ref(), options, instructions)?;
    write(&report, &folder)?;

    let different = report.different();
    ensure!(
        different.is_empty(),
        "runs did not count the same instructions: {}",
        different.join(", ")
    );
    Ok(())
}

/// Measures on this processor. If `compressed` is given, includes the decompression of that kernel.
fn measure(
    objects: &Objects,
    image: &Image,
    compressed: Option<&Compressed>,
    options: &Options,
    instructions: Option<Counts>,
) -> Result<Report> {
    let programs = Programs::link(objects)?;
    let decompressor = compressed.map(Decompressor::link).transpose()?;
    processor::stay_on_one()?;
    let measured = processor::on_image(&programs, image, decompressor.as_ref(), options)?;
    let small = processor::on_small_regions(&programs, options)?;
    let sizes = processor::on_sizes(&programs, options)?;
    Report::new(image, options, measured, &small, &sizes, instructions)
}

/// Prints tables, and writes `bench.json` and `bench.svg` to the directory `folder`.
fn write(report: &Report, folder: &Path) -> Result<()> {
    report.print();
    let path = folder.join("bench.json");
    files::write(&path, serde_json::to_string_pretty(report)?)?;
    println!("{}", path.display());
    let path = folder.join("bench.svg");
    picture::draw(&path, &report.panels()?)?;
    println!("{}", path.display());
    Ok(())
}

/// Builds the purgatory alone, without a kernel around it, and reads mainline's programs from the
/// build directory `mainline`.
fn objects(layout: &Layout, mainline: &Path) -> Result<Objects> {
    let step = Step::start("build the purgatory alone");
    let purgatory = bare::Purgatory::build(layout, &layout.overlay.join(bare::SOURCES), None)?;
    step.done();
    Objects::read(purgatory.bytes, purgatory.digests, mainline)
}

/// Makes a build directory with the purgatory and SHA-256 code of a pristine tree, compiled as in a
/// distribution's kernel.
fn mainline(layout: &Layout) -> Result<PathBuf> {
    objects::Objects {
        name: "bench-mainline",
        tree: &fetch::pristine_tree(layout)?,
        arch: "x86_64",
        tools: Toolchain::Machine,
        fragments: &["base", "norust"],
        objects: &[
            processor::MAINLINE_OBJECT,
            load::STREAMS[0].object,
            load::STREAMS[1].object,
        ],
    }
    .build(layout)
}

/// Checks that the decompressor of `tree`, which was configured in `build`, decompresses the kernel
/// `bzimage`.
pub fn check_decompressor(
    layout: &Layout,
    tree: &Path,
    build: &Path,
    bzimage: &Path,
) -> Result<()> {
    let compressed = Compressed::build(layout, tree, build, bzimage)?
        .with_context(|| format!("{} is not compressed with zstd", bzimage.display()))?;
    Decompressor::link(&compressed).map(drop)
}

/// Checks what the measurements rely on: every engine of the purgatory and the kernel's own code
/// compute correct digests, and mainline's purgatory, as linked here, tells a sound image from a
/// damaged one. `ours` and `mainline` are build directories with the objects.
pub fn check(ours: &Path, mainline: &Path, kernel: &Path) -> Result<()> {
    let read = |name: &str| files::read(&ours.join(name));
    let (purgatory, digests) = (read(processor::PURGATORY)?, read(processor::DIGESTS)?);
    let programs = Programs::link(&Objects::read(purgatory, digests, mainline)?)?;
    let mut image = Image::of_kernel(kernel)?;
    processor::check(&programs, &image)?;

    let digest = image.mainline_digest();
    let accepts = |image: &Image| Mainline::accepts(&programs.mainline, image, digest);
    ensure!(accepts(&image)?, "mainline refuses a sound image");
    let damaged: Vec<(&str, usize)> = image
        .segments
        .iter()
        .flat_map(|segment| {
            let bytes = segment.memory_range();
            [(segment.name, bytes.start), (segment.name, bytes.end - 1)]
        })
        .collect();
    for (name, at) in damaged {
        image.memory[at] ^= 1;
        ensure!(!accepts(&image)?, "mainline accepts a damaged {name}");
        image.memory[at] ^= 1;
    }
    Ok(())
}
