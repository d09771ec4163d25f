// SPDX-License-Identifier: GPL-2.0-only

//! A part of `make faults` that has every kind of fault.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};

use super::{Kernels, Report};
use crate::faults;
use crate::kernel::Verify;

/// As many as it takes for every kind of fault at every place of every region, at every stage with
/// every engine; and which ones.
const COUNT: usize = 60;
const SEED: u64 = 1;

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let verified = kernels.get(Verify::Y)?;
    let direct = kernels.get(Verify::N)?;
    let tally = faults::inject(kernels.layout, &verified, &direct, COUNT, SEED)?;
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ran in &tally.0 {
        let failures = groups.entry(ran.group()).or_default();
        if let Err(error) = &ran.result {
            failures.push(format!("{}: {error:#}", ran.name()));
        }
    }
    for (group, failures) in groups {
        let result = match failures.is_empty() {
            true => Ok(()),
            false => Err(anyhow!("{}", failures.join("\n"))),
        };
        report.record(&format!("faults/{group}"), result);
    }
    Ok(())
}
