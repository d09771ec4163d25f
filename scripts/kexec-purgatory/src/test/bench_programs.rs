// SPDX-License-Identifier: GPL-2.0-only

//! Tests what `make bench` relies on. Compares no times.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{HostTest, Kernels, Report};
use crate::bench;
use crate::bench::load::KernelSha256;
use crate::command::{command, output};
use crate::engines::EngineKind;
use crate::kernel::{self, Verify};
use crate::layout::Layout;

/// The name of the test with all programs that this processor can run.
const PROGRAMS: &str = "bench/programs";
/// The name of the test with the kernel's decompressor.
const DECOMPRESS: &str = "bench/decompress";
/// Tests that the static program can be run. The program is built with other options than the
/// tool, which takes minutes.
pub const STATIC: &[HostTest] = &[("long/bench-static", static_program)];
/// The name under which the program that needs SHA-NI is skipped.
const KERNEL_SHA256: &str = "bench/programs with the kernel's SHA-256";

pub fn names() -> Vec<String> {
    let skipped = (!KernelSha256::is_usable()).then_some(KERNEL_SHA256);
    [PROGRAMS, DECOMPRESS]
        .into_iter()
        .chain(skipped)
        .map(str::to_owned)
        .collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    // Each build leaves its purgatory in the shared build directory.
    kernels.get(Verify::Norust)?;
    kernels.get(Verify::Y)?;
    let folder = kernel::folder(kernels.layout, Verify::Y);
    report.test(PROGRAMS, || {
        bench::check(&folder, &folder, &kernels.next.image)
    });
    report.test(DECOMPRESS, || {
        bench::check_decompressor(kernels.layout, kernels.tree(), &folder, &kernels.next.image)
    });
    if !KernelSha256::is_usable() {
        report.skip(KERNEL_SHA256, "this CPU has no SHA-NI");
    }
    Ok(())
}

/// Builds the program of `make bench-static`, and runs it. It must print and write figures of every
/// engine, or why there are none.
fn static_program(layout: &Layout) -> Result<()> {
    let program = bench::standalone::build(layout)?;
    let folder = tempfile::tempdir()?;
    let printed = output(
        command(&program)
            .args(["--rounds", "1", "--caches", "cold", "--output"])
            .arg(folder.path()),
    )?;
    let json = fs::read_to_string(folder.path().join("bench.json"))?;
    let report: Value = serde_json::from_str(&json)?;
    for engine in EngineKind::ALL.iter().map(|engine| engine.name()) {
        ensure!(printed.contains(engine), "{engine} is not in\n{printed}");
        let figures = &report["engines"][engine];
        let measured = figures["cycles_per_byte"]["min"].as_f64();
        ensure!(
            measured.is_some_and(|cycles| cycles > 0.0) || figures["not_measured"].is_string(),
            "{engine}: {figures}"
        );
    }
    let picture = fs::read_to_string(folder.path().join("bench.svg"))?;
    ensure!(
        picture.contains("caches cold"),
        "the picture is of warm caches"
    );
    roxmltree::Document::parse(&picture)
        .map(drop)
        .context("the picture is no XML")
}
