// SPDX-License-Identifier: GPL-2.0-only

//! Damage to the purgatory itself: its code and its parameters.

use std::mem::offset_of;

use anyhow::{Context, Result, ensure};

use crate::abi::{Header, Params};
use crate::bare::bare_machine::Bare;
use crate::bare::expect::{ended, fault, refuses};
use crate::bare::image::{OTHERS, PURGATORY};
use crate::bare::run_result::Ending;
use crate::expected::reason;
use crate::processors::MAX;

pub fn code_damaged(bare: &Bare) -> Result<()> {
    let damaged = |byte: usize| {
        let mut image = bare.image(0);
        let flipped = bare.purgatory.bytes[byte] ^ 1;
        image.damage.push((PURGATORY + byte as u64, vec![flipped]));
        image
    };
    let unused_field = damaged(offset_of!(Header, reserved));
    refuses(bare, &unused_field, &fault(reason::OWN_DIGEST))?;

    // A constant of the digest code, so that every digest is wrong.
    let run = bare.run(MAX, &damaged(bare.purgatory.params - 1))?;
    ensure!(
        run.printed.starts_with(&fault("")[..fault("").len() - 1]),
        "printed {:?}",
        run.printed
    );
    ended(&run, Ending::Halted)
}

pub fn parameters_damaged(bare: &Bare) -> Result<()> {
    let expected = [
        (offset_of!(Params, magic), reason::MAGIC),
        (offset_of!(Params, tsc_khz), reason::PARAMS_DIGEST),
        (
            offset_of!(Params, params_digest) + 31,
            reason::PARAMS_DIGEST,
        ),
        (size_of::<Params>() - 1, reason::PARAMS_DIGEST),
    ];
    for (offset, message) in expected {
        let mut image = bare.image(0);
        image.damage_params(offset);
        refuses(bare, &image, &fault(message))
            .with_context(|| format!("damage in byte {offset} of the parameters"))?;
    }
    Ok(())
}

/// Parameters with a correct digest and wrong contents.
pub fn parameters_forged(bare: &Bare) -> Result<()> {
    type Change = fn(&mut Params);
    let cases: &[(Change, &str)] = &[
        (|p| p.version = 0xff, reason::VERSION),
        (|p| p.size = 0, reason::SIZE),
        (|p| p.purgatory += 0x1000, reason::ADDRESS),
        (|p| p.engine = 4, reason::ENGINE),
        (|p| p.nr_regions = 17, reason::REGION_COUNT),
        (|p| p.regions[1].start = u64::MAX, reason::REGION),
        (|p| p.regions[1].start = PURGATORY, reason::REGION),
        (|p| p.entry = OTHERS, reason::ENTRY),
        (|p| p.boot_params -= 1, reason::ENTRY),
    ];
    for (number, (change, message)) in cases.iter().enumerate() {
        let mut image = bare.image(1);
        image.forge(change);
        refuses(bare, &image, &fault(message))
            .with_context(|| format!("change {number} of the parameters, for '{message}'"))?;
    }
    Ok(())
}
