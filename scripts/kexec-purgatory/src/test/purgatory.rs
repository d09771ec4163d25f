// SPDX-License-Identifier: GPL-2.0-only

//! Checks the built purgatory from outside.

use std::iter;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::{File, Object, ObjectSection, ObjectSymbol};

use super::{Kernels, Report};
use crate::abi::LEAF_SIZE;
use crate::bench::mapped::{Engine, MappedPurgatory};
use crate::bench::processor::{DIGESTS, PURGATORY};
use crate::engines::EngineKind;
use crate::files;
use crate::kernel::{self, Verify};
use crate::stack::Program;

/// The purgatory's first instruction, see `entry.rs`, and the entry point of tests and
/// measurements, see `purgatory_test.rs`.
const ENTRY: &str = "purgatory_entry";
const DIGEST_ENTRY: &str = "purgatory_test_entry";
const STACK_END: &str = "purgatory_stack_end";

/// The name of the test that does not depend on engines.
const BOUND: &str = "purgatory/stack-bound";

pub fn names() -> Vec<String> {
    let engines = EngineKind::ALL.iter().copied().map(name);
    iter::once(BOUND.to_owned()).chain(engines).collect()
}

fn name(engine: EngineKind) -> String {
    format!("purgatory/stack-{}", engine.name())
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    kernels.get(Verify::Y)?;
    let folder = kernel::folder(kernels.layout, Verify::Y);
    let elf = folder.join(PURGATORY).with_extension("elf");
    report.test(BOUND, || stack_bound(&elf));
    for &kind in EngineKind::ALL {
        match Engine::new(kind) {
            Some(engine) => report.test(&name(kind), || stack_used(&folder, engine)),
            None => report.skip(
                &name(kind),
                &format!("this CPU does not have what {} needs", kind.name()),
            ),
        }
    }
    Ok(())
}

/// The purgatory's stack is larger than what any path through its code needs.
fn stack_bound(elf: &Path) -> Result<()> {
    let bytes = files::read(elf)?;
    let file = File::parse(bytes.as_slice())?;
    let end = file
        .symbol_by_name(STACK_END)
        .with_context(|| format!("no {STACK_END}"))?
        .address();
    // The stack is everything in the section before this symbol.
    let start = file.section_by_name(".bss").context("no .bss")?.address();
    let bound = Program::of_elf(&file)?.bound(ENTRY)?;
    ensure!(
        bound <= end - start,
        "up to {bound} bytes are used of a stack of {}",
        end - start
    );
    Ok(())
}

/// What an engine really uses is within that bound, and not far below it.
fn stack_used(folder: &Path, engine: Engine) -> Result<()> {
    let digests = folder.join(DIGESTS);
    let bytes = files::read(&digests.with_extension("elf"))?;
    let bound = Program::of_elf(&File::parse(bytes.as_slice())?)?.bound(DIGEST_ENTRY)?;
    // Leaves in every lane, an odd number of them, and a short one.
    let region = vec![1; 35 * LEAF_SIZE + 1];
    let purgatory = files::read(&folder.join(PURGATORY))?;
    let purgatory = MappedPurgatory::new(&purgatory, &files::read(&digests)?)?;
    let used = purgatory.stack_used(engine, &region) as u64;
    ensure!(used <= bound, "{used} bytes are used, of at most {bound}");
    ensure!(used > bound / 8, "only {used} bytes are used, of {bound}");
    Ok(())
}
