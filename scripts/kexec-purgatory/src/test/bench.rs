// SPDX-License-Identifier: GPL-2.0-only

//! What `make bench` relies on. Nothing is measured here.

use anyhow::Result;

use super::{Kernels, Report};
use crate::bench::{self, processor};
use crate::kernel::{self, Verify};

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    if report.wants("bench/programs") {
        // Each leaves its purgatory in the folder that they share.
        kernels.get(Verify::Norust)?;
        kernels.get(Verify::Y)?;
        let folder = kernel::folder(kernels.layout, Verify::Y);
        report.test("bench/programs", || {
            bench::check(&folder.join(processor::BLOB), &folder, &kernels.next.image)
        });
    }
    Ok(())
}
