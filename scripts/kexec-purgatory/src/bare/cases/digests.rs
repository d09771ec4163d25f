// SPDX-License-Identifier: GPL-2.0-only

//! Digests by an engine must equal those by `scalar`.

use anyhow::{Context, Result, ensure};
use object::{File, Object, ObjectSymbol};

use crate::abi::LEAF_SIZE;
use crate::bare::bare_machine::Bare;
use crate::bare::expect::{ended, printed};
use crate::bare::image::{
    CR0_MP, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_OSXSAVE, DIGESTS, DIGESTS_IMAGE, DIGESTS_PROGRAM,
    GUARD_TABLE, GUARDED, KERNEL_ENTRY, noise,
};
use crate::bare::run_result::Ending;
use crate::engines::{EngineKind, LANES_MAX};
use crate::machine::loaded::PAGE;
use crate::same_code;

const PAGE_SIZE: usize = PAGE as usize;

/// Flags of a page table entry: present, writable.
const MAPPED: u64 = 0x3;

/// Pages with data. The pages before and after them are not mapped.
const PAGES: usize = ((2 * LANES_MAX + 2) * LEAF_SIZE).div_ceil(PAGE_SIZE);
const SIZE: usize = PAGES * PAGE_SIZE;

/// Every length up to a kilobyte, directly after an unmapped page, and directly before one, which
/// gives every alignment in a cache line. The emulator takes two minutes for all lengths up to a
/// page.
pub fn lengths(bare: &Bare, engine: EngineKind) -> Result<()> {
    let regions = (0..=1024).flat_map(|length| [(0, length), (SIZE - length, length)]);
    compare(bare, engine, &regions.collect::<Vec<_>>())
}

/// Every number of leaves that can remain for the lanes, without a tail, with the shortest and with
/// the longest one. Data is alternately directly after an unmapped page and directly before one:
/// the emulator takes twenty seconds for this.
pub fn leaves(bare: &Bare, engine: EngineKind) -> Result<()> {
    let lanes = engine.lanes();
    let numbers = (1..=lanes + 1).chain([2 * lanes + 1]);
    let lengths =
        numbers.flat_map(|leaves| [0, 1, LEAF_SIZE - 1].map(|tail| leaves * LEAF_SIZE + tail));
    let regions = lengths.zip([false, true].into_iter().cycle());
    let regions = regions.map(|(length, at_end)| (if at_end { SIZE - length } else { 0 }, length));
    compare(bare, engine, &regions.collect::<Vec<_>>())
}

/// Runs `bare/digests.S` with regions, as offsets in the data and lengths.
fn compare(bare: &Bare, engine: EngineKind, regions: &[(usize, usize)]) -> Result<()> {
    let data = GUARDED + PAGE_SIZE as u64;
    let mut table = vec![0; PAGE_SIZE];
    let (entries, _) = table.as_chunks_mut();
    for (page, entry) in (data..).step_by(PAGE_SIZE).zip(&mut entries[1..=PAGES]) {
        *entry = (page | MAPPED).to_le_bytes();
    }

    let mut job = Vec::new();
    job.extend(DIGESTS_IMAGE.to_le_bytes());
    job.extend(KERNEL_ENTRY.to_le_bytes());
    job.extend(u64::from(EngineKind::Scalar as u32).to_le_bytes());
    job.extend(u64::from(engine as u32).to_le_bytes());
    for &(offset, length) in regions {
        job.extend(u32::try_from(data + offset as u64)?.to_le_bytes());
        job.extend(u32::try_from(length)?.to_le_bytes());
    }

    let mut image = bare.image(0);
    image.entry = DIGESTS_PROGRAM;
    // What the engine needs besides the bits of `XCR0`.
    image.cr0 |= CR0_MP;
    image.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    image.xcr0 = engine.xcr0();
    image.damage = vec![
        (DIGESTS_PROGRAM, bare.digests.clone()),
        (DIGESTS_IMAGE, bare.purgatory.digests.clone()),
        (DIGESTS, job),
        (GUARD_TABLE, table),
        (data, noise(1, SIZE)),
    ];
    let run = bare.run_in_bochs(&image)?;
    let expected = format!(
        "{:10} digests, {1:10} wrong, the first of {1:10} bytes at {1:10}\n",
        regions.len(),
        0
    );
    printed(&run, &expected)?;
    ended(&run, Ending::Entered)
}

/// Tests and measurements call the code that the purgatory runs, identical in every instruction.
pub fn same_code(bare: &Bare) -> Result<()> {
    let ours = File::parse(&*bare.purgatory.elf)?;
    let tested = File::parse(&*bare.purgatory.digests_elf)?;
    let root = tested
        .symbols()
        .filter_map(|symbol| symbol.name().ok())
        .find(|name| name.ends_with("16purgatory_digest14region_digests"))
        .context("no region_digests()")?;
    let functions = same_code::compare(&ours, &tested, root)?;
    // At least one function for each engine.
    ensure!(
        functions.len() > EngineKind::ALL.len(),
        "only {functions:?} were compared"
    );
    Ok(())
}
