// SPDX-License-Identifier: GPL-2.0-only

//! Tests what `make bench` relies on. Measures nothing.

use anyhow::Result;

use super::{Kernels, Report};
use crate::bench;
use crate::bench::load::KernelSha256;
use crate::kernel::{self, Verify};

/// The name of the test with all programs that this processor can run.
const PROGRAMS: &str = "bench/programs";
/// The name of the test with the kernel's decompressor.
const DECOMPRESS: &str = "bench/decompress";
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
