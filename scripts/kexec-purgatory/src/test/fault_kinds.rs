// SPDX-License-Identifier: GPL-2.0-only

//! A part of `make faults` that has every kind of fault.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use super::{Kernels, Report};
use crate::faults;
use crate::faults::damage_point::DamagePoint;
use crate::kernel::Verify;
use crate::processors::picked_in_qemu;

/// The number of faults and the seed. Together they give every kind of fault at every place of
/// every region, and every stage with every engine, but not every combination of these two.
const COUNT: usize = 60;
const SEED: u64 = 1;

/// The groups that trials are reported in, besides the moments of [`DamagePoint`]: with each
/// engine, and once.
const EACH: &[&str] = &[
    "clean image",
    "clean load",
    "regions",
    "what is not verified",
    "8250 in memory",
];
const ONCE: &[&str] = &[
    "purgatory",
    "direct image",
    "normal image before the copy, handover",
    "normal image before the check, handover",
    "clean image, handover",
    "checked crash image at rest",
    "checked normal image at rest",
    "checked direct normal image at rest",
    "clean load, direct",
    "mismatch with a crash image",
    "mismatch with crash memory in CMA",
    "record",
];

pub fn names() -> Vec<String> {
    let mut names: Vec<String> = ONCE.iter().map(|part| name(part)).collect();
    for engine in picked_in_qemu() {
        let points = DamagePoint::ALL.map(DamagePoint::name);
        for part in points
            .iter()
            .map(String::as_str)
            .chain(EACH.iter().copied())
        {
            names.push(name(&format!("{part}, {}", engine.name())));
        }
    }
    names
}

/// The name of a group of trials for reports.
fn name(part: &str) -> String {
    format!("faults/{part}")
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let verified = kernels.get(Verify::Y)?;
    let policy = kernels.get(Verify::M)?;
    let direct = kernels.get(Verify::N)?;
    let tally = faults::inject(kernels.layout, [&verified, &policy, &direct], COUNT, SEED)?;
    let names = names();
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for ran in &tally.0 {
        let failures = groups.entry(ran.group()).or_default();
        if let Err(error) = &ran.result {
            failures.push(format!("{}: {error:#}", ran.name()));
        }
    }
    for (group, failures) in groups {
        let name = name(&group);
        // A filter could not select it.
        ensure!(names.contains(&name), "{name} is not listed");
        report.test(&name, || {
            ensure!(failures.is_empty(), "{}", failures.join("\n"));
            Ok(())
        });
    }
    Ok(())
}
