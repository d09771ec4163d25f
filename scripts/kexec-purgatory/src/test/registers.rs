// SPDX-License-Identifier: GPL-2.0-only

//! The next kernel finds the registers that it finds after mainline's purgatory.

use anyhow::Result;

use super::{Kernels, Report};
use crate::kernel::Verify;
use crate::registers;

pub fn names() -> Vec<String> {
    registers::names().map(|way| name(&way)).collect()
}

/// The name of a way for reports.
fn name(way: &str) -> String {
    format!("registers/{way}")
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let built = registers::Kernels {
        mainline: kernels.get(Verify::Norust)?,
        verified: kernels.get(Verify::Y)?,
        direct: kernels.get(Verify::N)?,
    };
    let (mainline, others) = registers::enter(kernels.layout, &built)?;
    for entered in &others {
        report.record(&name(&entered.name), entered.check(&mainline));
    }
    Ok(())
}
