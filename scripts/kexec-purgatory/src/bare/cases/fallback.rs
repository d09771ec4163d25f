// SPDX-License-Identifier: GPL-2.0-only

//! A damaged normal image, and the crash image that is entered because of it.

use std::mem::offset_of;

use anyhow::{Context, Result, ensure};

use super::super::bare_machine::Bare;
use super::super::expect::{entered_by, enters, fault, mismatch, printed, refuses};
use super::super::image::{CRASH_PURGATORY, Image, PURGATORY};
use super::record;
use crate::abi::{Header, Params};
use crate::expected::reason;
use crate::processors::MAX;

/// What the purgatory of the normal image prints before it goes on.
const ENTERS: &str = "purgatory: entering the crash image\n";

/// What it prints if it cannot.
const ANOTHER: &str = "purgatory: the crash image has another purgatory\n";

/// What a record says was damaged, if it was the purgatory.
const DAMAGED_PURGATORY: u64 = 15;

/// Checks that the crash kernel was entered and told what was damaged.
fn crashed(bare: &Bare, image: &Image, said: &str, damaged: u64) -> Result<()> {
    let run = bare.run(MAX, image)?;
    printed(&run, &format!("{said}{ENTERS}"))?;
    entered_by(&run, image, CRASH_PURGATORY)?;
    let stamps = record::read(&run)?;
    ensure!(
        stamps[record::MISMATCH] == Some(damaged),
        "the stamps are {stamps:?}"
    );
    Ok(())
}

/// An image with a crash image beside it.
fn image(bare: &Bare) -> Image {
    let mut image = bare.image(3);
    image.crash = true;
    image
}

pub fn entered(bare: &Bare) -> Result<()> {
    for timeout in [0, -1, 5] {
        let mut image = image(bare);
        image.timeout = timeout;
        let said = mismatch(&mut image, 3, 0);
        let damaged = image.regions[3].kind as u64 + 1;
        crashed(bare, &image, &said, damaged).with_context(|| format!("panic={timeout}"))?;
    }

    // The first damaged region is reported.
    let mut several = image(bare);
    let damaged = several.regions[2].kind as u64 + 1;
    let said = [2, 4].map(|region| mismatch(&mut several, region, 0));
    crashed(bare, &several, &said.concat(), damaged)?;

    // A sound image is entered as usual.
    let sound = image(bare);
    let run = enters(bare, &sound)?;
    printed(&run, "")?;
    ensure!(record::read(&run)?[record::MISMATCH].is_none());
    Ok(())
}

pub fn parameters_damaged(bare: &Bare) -> Result<()> {
    let mut image = image(bare);
    image.damage_params(offset_of!(Params, entry));
    crashed(
        bare,
        &image,
        &fault(reason::PARAMS_DIGEST),
        DAMAGED_PURGATORY,
    )
}

/// Both are damaged: the machine ends as without a crash image.
pub fn damaged(bare: &Bare) -> Result<()> {
    // A byte of the code. The crash image's purgatory then does not run.
    let code = offset_of!(Header, reserved);
    let mut in_code = image(bare);
    let said = mismatch(&mut in_code, 2, 0);
    in_code
        .damage
        .push((CRASH_PURGATORY + code as u64, vec![1]));
    refuses(bare, &in_code, &format!("{said}{ANOTHER}"))?;

    // A byte of the normal image's own header, of which nothing is used: it cannot be known which
    // purgatory is damaged.
    for offset in [
        code,
        offset_of!(Header, entry) + 3,
        offset_of!(Header, params) + 3,
    ] {
        let mut own = image(bare);
        own.damage.push((PURGATORY + offset as u64, vec![1]));
        let said = fault(reason::OWN_DIGEST) + ANOTHER;
        refuses(bare, &own, &said)
            .with_context(|| format!("damage in byte {offset} of the header"))?;
    }

    // Its parameters, or a region: its purgatory finds that out itself.
    for timeout in [0, -1] {
        let mut params = image(bare);
        params.timeout = timeout;
        let said = mismatch(&mut params, 3, 0);
        let at = CRASH_PURGATORY + (params.purgatory.params + offset_of!(Params, tsc_khz)) as u64;
        params.damage.push((at, vec![1]));
        let ends = [&said, ENTERS, &fault(reason::PARAMS_DIGEST)].concat();
        refuses(bare, &params, &ends)?;

        let mut region = image(bare);
        region.timeout = timeout;
        let said = mismatch(&mut region, 1, 0);
        refuses(bare, &region, &[&said, ENTERS, &said].concat())?;
    }
    Ok(())
}

/// Addresses at which there can be no purgatory.
pub fn elsewhere(bare: &Bare) -> Result<()> {
    let entry = bare.purgatory.entry;
    for (address, damaged) in [
        (1, ""),
        (entry, ""),
        (CRASH_PURGATORY + entry + 8, ""),
        (PURGATORY + entry, ""),
        (CRASH_PURGATORY + 0x10_0000 + entry, ANOTHER),
    ] {
        let mut image = image(bare);
        image.crash_entry = Some(address);
        let said = mismatch(&mut image, 2, 0);
        refuses(bare, &image, &format!("{said}{damaged}"))
            .with_context(|| format!("a crash image at {address:#x}"))?;
    }
    Ok(())
}
