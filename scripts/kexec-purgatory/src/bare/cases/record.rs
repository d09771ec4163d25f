// SPDX-License-Identifier: GPL-2.0-only

//! What the next kernel is told in its record.

use anyhow::{Context, Result, ensure};

use super::super::bare_machine::Bare;
use super::super::expect::{enters, fault, printed, refuses};
use super::super::image::{BOOT_PARAMS, KERNEL, OTHERS, RECORD};
use super::super::run_result::Run;
use crate::expected::{RECORD_SIZE, reason};

/// Offset of the stamps in a record, by the documentation of the format.
const STAMPS: usize = 256;
pub const MISMATCH: usize = 4;

/// The stamps of the record, `None` for one that was not written.
pub fn read(run: &Run) -> Result<[Option<u64>; 5]> {
    let bytes = run.memory(RECORD, RECORD_SIZE)?;
    ensure!(
        bytes[..STAMPS].iter().all(|byte| *byte == 0),
        "more than the stamps was written"
    );
    let word = |index: usize| {
        let at = STAMPS + 8 * index;
        bytes[at..at + 8].try_into().map(u64::from_le_bytes)
    };
    let mut stamps = [None; 5];
    for (index, stamp) in stamps.iter_mut().enumerate() {
        *stamp = match (word(2 * index)?, word(2 * index + 1)?) {
            (0, 0) => None,
            (value, complement) if complement == !value => Some(value),
            pair => anyhow::bail!("stamp {index} is {pair:x?}"),
        };
    }
    Ok(stamps)
}

pub fn stamps(bare: &Bare) -> Result<()> {
    let mut image = bare.image(2);
    image.left = 77;
    let run = enters(bare, &image)?;
    let found = read(&run)?;
    let [left, Some(start), Some(verified), Some(end), None] = found else {
        anyhow::bail!("the stamps are {found:?}");
    };
    ensure!(left == Some(77), "left at {left:?}");
    ensure!(
        start < verified && verified < end,
        "the stamps are {found:?}"
    );
    // Nothing after the record was written.
    ensure!(run.memory(RECORD + RECORD_SIZE as u64, 64)? == [0; 64]);

    // A previous kernel that does not know the time.
    image.left = 0;
    let run = enters(bare, &image)?;
    let [None, Some(_), Some(_), Some(_), None] = read(&run)? else {
        anyhow::bail!("the stamps are {:?}", read(&run)?);
    };
    Ok(())
}

pub fn without_io(bare: &Bare) -> Result<()> {
    let mut image = bare.image(0);
    image.no_io = true;
    let found = read(&enters(bare, &image)?)?;
    ensure!(found == [None; 5], "the stamps are {found:?}");
    Ok(())
}

/// Parameters with a record that is not where the loader puts it.
pub fn forged(bare: &Bare) -> Result<()> {
    for record in [
        RECORD + 8,
        RECORD - 8,
        BOOT_PARAMS,
        KERNEL,
        OTHERS,
        u64::MAX - 7,
    ] {
        let mut image = bare.image(1);
        image.forge(|params| params.record = record);
        refuses(bare, &image, &fault(reason::RECORD))
            .with_context(|| format!("a record at {record:#x}"))?;
    }

    let mut image = bare.image(1);
    image.forge(|params| params.record = 0);
    let run = enters(bare, &image)?;
    printed(&run, "")?;
    ensure!(read(&run)? == [None; 5], "there is no record");
    Ok(())
}
