// SPDX-License-Identifier: GPL-2.0-only

//! The memory of a kernel's segment after the end of its file: nothing is copied there, and the
//! kernel does not depend on its contents.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{Kernels, Report};
use crate::guest::{self, Purpose};
use crate::kernel::{Built, Verify};
use crate::layout::Layout;
use crate::machine::guest_setup::{DIRECT_CPU, GuestSetup};
use crate::machine::loaded::PAGE;
use crate::machine::memory;
use crate::parallel::in_order;
use crate::progress::Step;

/// The byte that the tail is filled with.
const GARBAGE: u8 = 0xa5;

/// A name for reports, whether the next kernel is the overlay's instead of the distribution's, and
/// an addition to its command line.
const CASES: &[(&str, bool, &str)] = &[
    ("tail/distribution", false, ""),
    ("tail/distribution-nokaslr", false, " nokaslr"),
    ("tail/own", true, ""),
    ("tail/own-nokaslr", true, " nokaslr"),
];

pub fn names() -> Vec<String> {
    CASES.iter().map(|(name, ..)| (*name).to_owned()).collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    let kernel = kernels.get(Verify::Y)?;
    let distribution = kernels.next.image.clone();
    let wanted: Vec<_> = CASES
        .iter()
        .filter(|(name, ..)| report.wants(name))
        .collect();
    in_order(
        &wanted,
        |&&(name, own, arguments)| {
            let next = match own {
                true => kernel.image(),
                false => &distribution,
            };
            enter(kernels.layout, &kernel, name, next, arguments)
        },
        |(name, ..), result| report.record(name, result),
    );
    Ok(())
}

/// Enters `next` with garbage in its tail.
fn enter(layout: &Layout, kernel: &Built, name: &str, next: &Path, arguments: &str) -> Result<()> {
    let step = Step::start(name);
    let folder = memory::folder(layout)?;
    let guest = guest::commanded(layout, next, arguments)?;
    let setup = GuestSetup::new(folder.path(), kernel, &guest)?;
    let path = folder.path().join("tail");
    let mut machine = setup.boot("ready", DIRECT_CPU)?.copy(&path)?;
    let image = setup.load(&mut machine, Purpose::Enter)?;
    setup.leave(&mut machine, Purpose::Enter)?;

    let segment = image.segment(crate::abi::RegionKind::Kernel)?;
    let start = segment.end().next_multiple_of(PAGE);
    let end = segment.start + segment.memory;
    ensure!(start < end, "the segment has no tail");
    let memory = File::options().read(true).write(true).open(&path)?;
    let mut before = vec![0; usize::try_from(end - start)?];
    memory.read_exact_at(&mut before, start)?;
    machine.run_to(image.entry()?)?;
    let mut after = vec![0; before.len()];
    memory.read_exact_at(&mut after, start)?;
    ensure!(
        before.iter().any(|&byte| byte != 0),
        "the tail is zero anyway"
    );
    ensure!(before == after, "something was copied to the tail");

    memory.write_all_at(&vec![GARBAGE; before.len()], start)?;
    setup.arrive(&mut machine)?;
    fs::remove_file(&path)?;
    step.done();
    Ok(())
}
