// SPDX-License-Identifier: GPL-2.0-only

//! What `make bench` relies on. Nothing is measured here.

use anyhow::Result;

use super::{Kernels, Report};
use crate::bench::load::KernelSha256;
use crate::bench::{self, processor};
use crate::kernel::{self, Verify};

/// The name of the only test.
const PROGRAMS: &str = "bench/programs";

pub fn names() -> Vec<String> {
    vec![PROGRAMS.to_owned()]
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    // Each leaves its purgatory in the folder that they share.
    kernels.get(Verify::Norust)?;
    kernels.get(Verify::Y)?;
    let folder = kernel::folder(kernels.layout, Verify::Y);
    report.test(PROGRAMS, || {
        bench::check(&folder.join(processor::BLOB), &folder, &kernels.next.image)
    });
    if !KernelSha256::is_usable() {
        report.skip("bench/programs with the kernel's SHA-256", "no SHA-NI");
    }
    Ok(())
}
