// SPDX-License-Identifier: GPL-2.0-only

//! Damage to the purgatory itself: its code and its parameters.

use std::mem::offset_of;

use anyhow::{Context, Result, ensure};

use crate::abi::{Header, Params, Region};
use crate::bare::expect::{ended, fault, refused};
use crate::bare::image::{BLOB, BOOT_PARAMS, OTHERS, put};
use crate::bare::machine::Bare;
use crate::bare::run::Ending;
use crate::processors::MAX;

pub fn code_damaged(bare: &Bare) -> Result<()> {
    let damaged = |byte: usize| {
        let mut image = bare.image(0);
        let flipped = bare.blob.bytes[byte] ^ 1;
        image.damage.push((BLOB + byte as u64, vec![flipped]));
        bare.run(MAX, &image)
    };
    // An unused field.
    refused(
        &damaged(offset_of!(Header, reserved))?,
        &fault("the purgatory itself is damaged"),
    )?;

    // A constant of the digest code, so that every digest is wrong.
    let run = damaged(bare.blob.params() - 1)?;
    ensure!(
        run.printed.starts_with(&fault("")[..fault("").len() - 1]),
        "printed {:?}",
        run.printed
    );
    ended(&run, Ending::Halted)
}

pub fn parameters_damaged(bare: &Bare) -> Result<()> {
    let expected = [
        (
            offset_of!(Params, magic),
            "its parameters have a bad magic number",
        ),
        (
            offset_of!(Params, tsc_khz),
            "the parameters of the purgatory are damaged",
        ),
        (
            offset_of!(Params, params_digest) + 31,
            "the parameters of the purgatory are damaged",
        ),
        (
            size_of::<Params>() - 1,
            "the parameters of the purgatory are damaged",
        ),
    ];
    for (offset, message) in expected {
        let mut image = bare.image(0);
        image.damage_params(offset);
        refused(&bare.run(MAX, &image)?, &fault(message))
            .with_context(|| format!("damage in byte {offset} of the parameters"))?;
    }
    Ok(())
}

/// Parameters with a correct digest and wrong contents.
pub fn parameters_forged(bare: &Bare) -> Result<()> {
    let region = |index: usize, field: usize| {
        offset_of!(Params, regions) + index * size_of::<Region>() + field
    };
    let start = offset_of!(Region, start);
    let cases: [(usize, &[u8], &str); 9] = [
        (
            offset_of!(Params, version),
            &[0xff],
            "its parameters are of another version",
        ),
        (
            offset_of!(Params, size),
            &[0],
            "its parameters have a bad size",
        ),
        (
            offset_of!(Params, blob),
            &(BLOB + 0x1000).to_le_bytes(),
            "the purgatory is not where it was placed",
        ),
        (offset_of!(Params, engine), &[4], "there is no such engine"),
        (
            offset_of!(Params, nr_regions),
            &[17],
            "there are no regions, or too many",
        ),
        (
            region(1, start),
            &u64::MAX.to_le_bytes(),
            "a region wraps or overlaps another one",
        ),
        (
            region(1, start),
            &BLOB.to_le_bytes(),
            "a region wraps or overlaps another one",
        ),
        (
            offset_of!(Params, entry),
            &OTHERS.to_le_bytes(),
            "its entry point or boot_params lie outside of what is verified",
        ),
        (
            offset_of!(Params, boot_params),
            &(BOOT_PARAMS - 1).to_le_bytes(),
            "its entry point or boot_params lie outside of what is verified",
        ),
    ];
    for (offset, bytes, message) in cases {
        let mut image = bare.image(1);
        let mut params = image.params();
        put(&mut params, offset, bytes);
        image.forge(params);
        refused(&bare.run(MAX, &image)?, &fault(message))
            .with_context(|| format!("{bytes:x?} at {offset} of the parameters"))?;
    }
    Ok(())
}
