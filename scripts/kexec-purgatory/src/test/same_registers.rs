// SPDX-License-Identifier: GPL-2.0-only

//! The next kernel finds the registers that it finds after mainline's purgatory.

use anyhow::Result;

use super::{Kernels, Report, TreeTest};
use crate::engines::EngineKind;
use crate::kernel::Verify;
use crate::registers;

pub fn names() -> Vec<String> {
    registers::names().map(|way| name(&way)).collect()
}

fn name(way: &str) -> String {
    format!("registers/{way}")
}

fn built(kernels: &mut Kernels) -> Result<registers::ComparedKernels> {
    Ok(registers::ComparedKernels {
        mainline: kernels.get(Verify::Norust)?,
        verified: kernels.get(Verify::Y)?,
        direct: kernels.get(Verify::N)?,
    })
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let built = built(kernels)?;
    let (mainline, others) = registers::enter(kernels.layout, &built)?;
    for entered in &others {
        report.record(&name(&entered.name), entered.check(&mainline));
    }
    Ok(())
}

/// The comparison in Bochs, which is a row of the matrix.
pub const IN_BOCHS: &[TreeTest] = &[("matrix/avx512-x16-registers", in_bochs)];

fn in_bochs(kernels: &mut Kernels) -> Result<()> {
    let built = built(kernels)?;
    let engine = EngineKind::Avx512X16;
    let (mainline, verified) = registers::enter_in_bochs(kernels.layout, &built, engine)?;
    verified.check(&mainline)
}
