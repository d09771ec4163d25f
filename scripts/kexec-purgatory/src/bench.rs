// SPDX-License-Identifier: GPL-2.0-only

//! How fast the purgatory is, against mainline's.

pub mod blob;
mod copy;
mod image;
pub mod instructions;
pub mod load;
mod mainline;
mod measure;
mod memory;
mod picture;
pub mod processor;
mod program;
mod report;

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use self::image::Image;
use self::mainline::Mainline;
use self::processor::Programs;
use self::report::Report;
use crate::fetch;
use crate::graft;
use crate::kernel::objects::Objects;
use crate::kernel::{self, Verify};
use crate::layout::Layout;

/// Measures in `rounds`, counts instructions in `runs` in QEMU if they are given, prints tables, and
/// writes them to `build/bench`. Fails in the end if runs of a case in QEMU did not count the same.
pub fn run(layout: &Layout, rounds: usize, runs: Option<u16>) -> Result<()> {
    let folder = layout.build.join("bench");
    fs::create_dir_all(&folder)?;
    let programs = Programs::load(&blob(layout)?, &mainline(layout)?)?;
    let next = fetch::distribution_kernel(layout)?;
    let image = Image::of_kernel(&next.image)?;
    // Before this process stays on one processor.
    let instructions = runs
        .map(|runs| instructions::count(layout, &next, runs))
        .transpose()?;

    processor::stay_on_one()?;
    let measured = processor::on_image(&programs, &image, rounds)?;
    let sizes = processor::on_sizes(&programs, rounds)?;
    let report = Report::new(&image, rounds, measured, &sizes, instructions)?;
    report.print();

    let path = folder.join("bench.json");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    serde_json::to_writer_pretty(BufWriter::new(file), &report)?;
    println!("{}", path.display());
    let path = folder.join("bench.svg");
    picture::draw(&path, &report.panels()?)?;
    println!("{}", path.display());

    let different = report.different();
    ensure!(
        different.is_empty(),
        "runs did not count the same instructions: {}",
        different.join(", ")
    );
    Ok(())
}

/// The blob of the grafted tree.
fn blob(layout: &Layout) -> Result<PathBuf> {
    let tree = graft::kernel_tree(layout, None)?;
    graft::graft(layout, &tree)?;
    kernel::build(layout, &tree, None, Verify::Y)?;
    Ok(kernel::folder(layout, Verify::Y).join(processor::BLOB))
}

/// A build folder with mainline's purgatory and SHA-256 of a pristine tree, compiled as in a
/// distribution's kernel.
fn mainline(layout: &Layout) -> Result<PathBuf> {
    Objects {
        name: "bench-mainline",
        tree: &fetch::pristine_tree(layout)?,
        arch: "x86_64",
        fragments: &["base", "norust"],
        objects: &[processor::MAINLINE_OBJECT, load::OBJECT],
    }
    .build(layout)
}

/// Checks what the measurements rely on: the blob's digests are right in every engine, as are those
/// of the kernel's own code, and mainline's purgatory, as linked here, tells a sound image from a
/// damaged one. `mainline` is a build folder with its objects.
pub fn check(blob: &Path, mainline: &Path, kernel: &Path) -> Result<()> {
    let programs = Programs::load(blob, mainline)?;
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
        image.flip(at);
        ensure!(!accepts(&image)?, "mainline accepts a damaged {name}");
        image.flip(at);
    }
    Ok(())
}
