// SPDX-License-Identifier: GPL-2.0-only

//! Measures how fast the purgatory is, compared with mainline's.

pub mod copy;
mod decompress;
pub mod instruction_counts;
pub mod load;
mod mainline_purgatory;
pub mod mapped;
mod measure;
mod picture;
mod present_memory;
pub mod processor;
mod program;
mod report;
mod segments;
pub mod standalone;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::decompress::{Compressed, Decompressor};
use self::instruction_counts::Counts;
use self::mainline_purgatory::Mainline;
use self::processor::{Caches, ProgramBytes, Programs};
use self::report::BenchReport;
use self::segments::Image;
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
    let bytes = program_bytes(layout, &mainline)?;
    let next = fetch::distribution_kernel(layout)?;
    let tree = fetch::pristine_tree(layout)?;
    let compressed = Compressed::build(layout, &tree, &mainline, &next.image)?;
    let image = Image::of_kernel(&next.image)?;
    // Comes first because measuring pins this process to one processor.
    let instructions = runs
        .map(|runs| instruction_counts::count(layout, &next, runs))
        .transpose()?;
    let report = measure(&bytes, &image, compressed.as_ref(), options, instructions)?;
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
    bytes: &ProgramBytes,
    image: &Image,
    compressed: Option<&Compressed>,
    options: &Options,
    instructions: Option<Counts>,
) -> Result<BenchReport> {
    let programs = Programs::link(bytes)?;
    let decompressor = compressed.map(Decompressor::link).transpose()?;
    processor::stay_on_one()?;
    let measured = processor::on_image(&programs, image, decompressor.as_ref(), options)?;
    let small = processor::on_small_regions(&programs, options)?;
    let sizes = processor::on_sizes(&programs, options)?;
    BenchReport::new(image, options, measured, &small, &sizes, instructions)
}

/// Prints tables, and writes `bench.json` and `bench.svg` to the directory `folder`.
fn write(report: &BenchReport, folder: &Path) -> Result<()> {
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
fn program_bytes(layout: &Layout, mainline: &Path) -> Result<ProgramBytes> {
    let step = Step::start("build the purgatory alone");
    let purgatory = bare::Purgatory::build(layout, &layout.overlay.join(bare::SOURCES), None)?;
    step.done();
    ProgramBytes::read(purgatory.bytes, purgatory.digests, mainline)
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

/// Checks what the measurements rely on: every engine of the purgatory that this CPU can run, and
/// the kernel's own code, compute correct digests, and mainline's purgatory, as linked here, tells a
/// sound image from a damaged one. `ours` and `mainline` are build directories with the objects.
pub fn check(ours: &Path, mainline: &Path, kernel: &Path) -> Result<()> {
    let read = |name: &str| files::read(&ours.join(name));
    let (purgatory, digests) = (read(processor::PURGATORY)?, read(processor::DIGESTS)?);
    let programs = Programs::link(&ProgramBytes::read(purgatory, digests, mainline)?)?;
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
