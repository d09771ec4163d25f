// SPDX-License-Identifier: GPL-2.0-only

//! Damage to the purgatory itself: its header, its parameters, its code.

use std::mem::offset_of;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::stopped::StoppedGuest;
use crate::abi::{Header, MAGIC, Params, REGIONS_MAX, Region, RegionKind};
use crate::expected::reason;
use crate::machine::loaded::{PAGE, Segment};

/// The purgatory of an image that is about to be checked.
pub struct Purgatory {
    /// Physical address of its first byte.
    pub base: u64,
    /// The bytes before the parameters.
    pub code: Vec<u8>,
    pub params: Vec<u8>,
}

impl Purgatory {
    /// Finds the purgatory that a stopped guest is about to enter.
    pub fn read(guest: &StoppedGuest) -> Result<Self> {
        let base = guest.start & !(PAGE - 1);
        let header = guest.read(base, size_of::<Header>())?;
        ensure!(
            number(&header, offset_of!(Header, magic), 8)? == MAGIC
                && base + number(&header, offset_of!(Header, entry), 4)? == guest.start,
            "no purgatory at {base:#x}"
        );
        let code = number(&header, offset_of!(Header, params), 4)? as usize;
        Ok(Self {
            base,
            code: guest.read(base, code)?,
            params: guest.read(base + code as u64, size_of::<Params>())?,
        })
    }

    /// The bytes of the header, code and parameters.
    pub fn bytes(&self) -> Vec<u8> {
        [self.code.as_slice(), &self.params].concat()
    }

    /// The ranges to verify, as the purgatory's parameters list them.
    pub fn regions(&self) -> Result<Vec<(Option<RegionKind>, u64, u64)>> {
        let count = self.get(offset_of!(Params, nr_regions), 4)? as usize;
        (0..count)
            .map(|index| {
                let field = |offset, size| self.get(region(index) + offset, size);
                Ok((
                    RegionKind::from_raw(field(offset_of!(Region, kind), 4)? as u32),
                    field(offset_of!(Region, start), 8)?,
                    field(offset_of!(Region, len), 8)?,
                ))
            })
            .collect()
    }

    /// Makes the parameters' digest correct again.
    fn seal(&mut self) {
        let field = offset_of!(Params, params_digest)..offset_of!(Params, regions);
        self.params[field.clone()].fill(0);
        let digest = Sha256::digest(&self.params);
        self.params[field].copy_from_slice(&digest);
    }

    fn get(&self, offset: usize, size: usize) -> Result<u64> {
        number(&self.params, offset, size)
    }

    fn set(&mut self, offset: usize, bytes: &[u8]) {
        self.params[offset..][..bytes.len()].copy_from_slice(bytes);
    }

    fn set32(&mut self, offset: usize, value: u32) {
        self.set(offset, &value.to_le_bytes());
    }

    fn set64(&mut self, offset: usize, value: u64) {
        self.set(offset, &value.to_le_bytes());
    }
}

/// Offset of a region in the parameters.
const fn region(index: usize) -> usize {
    offset_of!(Params, regions) + index * size_of::<Region>()
}

fn number(bytes: &[u8], offset: usize, size: usize) -> Result<u64> {
    let mut value = [0; 8];
    let field = bytes.get(offset..offset + size);
    value[..size].copy_from_slice(field.context("the purgatory is cut off")?);
    Ok(u64::from_le_bytes(value))
}

/// What the purgatory must do.
#[derive(Clone, Copy, Debug)]
pub enum Expected {
    /// Say that it does not enter the next kernel for this reason, and stop.
    Refused(&'static str),
    /// Say that it does not enter the next kernel, and stop. Which of its checks fails first
    /// depends on the contents there.
    RefusedSomehow,
}

/// One kind of damage.
#[derive(Clone, Copy, Debug)]
pub struct Damage {
    pub name: &'static str,
    pub expected: Expected,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// A bit of the header or the code, at this offset.
    Code(usize),
    /// The last byte before the parameters.
    CodeEnd,
    /// A bit of the parameters, at this offset; their digest shows it.
    Params(usize),
    /// Parameters with a correct digest that make no sense, as a bug in a loader would leave them.
    Nonsense(fn(&mut Purgatory, &[Segment])),
}

impl Damage {
    /// Damages a purgatory that verifies these regions.
    pub fn apply(&self, purgatory: &mut Purgatory, regions: &[Segment]) {
        match self.what {
            What::Code(offset) => purgatory.code[offset] ^= 1,
            What::CodeEnd => {
                if let Some(last) = purgatory.code.last_mut() {
                    *last ^= 1;
                }
            }
            What::Params(offset) => purgatory.params[offset] ^= 1,
            What::Nonsense(change) => {
                change(purgatory, regions);
                purgatory.seal();
            }
        }
    }
}

const fn header(name: &'static str, offset: usize, expected: Expected) -> Damage {
    Damage {
        name,
        expected,
        what: What::Code(offset),
    }
}

const fn params(name: &'static str, offset: usize, reason: &'static str) -> Damage {
    Damage {
        name,
        expected: Expected::Refused(reason),
        what: What::Params(offset),
    }
}

const fn nonsense(
    name: &'static str,
    reason: &'static str,
    change: fn(&mut Purgatory, &[Segment]),
) -> Damage {
    Damage {
        name,
        expected: Expected::Refused(reason),
        what: What::Nonsense(change),
    }
}

const SELF: Expected = Expected::Refused(reason::BLOB_DIGEST);

/// Every damage to try.
pub const DAMAGES: &[Damage] = &[
    header("header, magic", offset_of!(Header, magic), SELF),
    header("header, version", offset_of!(Header, version), SELF),
    header("header, entry", offset_of!(Header, entry), SELF),
    header("header, file_size", offset_of!(Header, file_size), SELF),
    header("header, mem_size", offset_of!(Header, mem_size), SELF),
    header("header, reserved", offset_of!(Header, reserved), SELF),
    header("header, params", offset_of!(Header, params) + 1, SELF),
    Damage {
        name: "last byte of the code",
        expected: Expected::RefusedSomehow,
        what: What::CodeEnd,
    },
    params("magic", offset_of!(Params, magic), reason::MAGIC),
    params("version", offset_of!(Params, version), reason::VERSION),
    params("size", offset_of!(Params, size), reason::SIZE),
    params("entry", offset_of!(Params, entry), reason::PARAMS_DIGEST),
    params(
        "boot_params",
        offset_of!(Params, boot_params),
        reason::PARAMS_DIGEST,
    ),
    params("blob", offset_of!(Params, blob), reason::PARAMS_DIGEST),
    params(
        "console_mmio32",
        offset_of!(Params, console_mmio32),
        reason::PARAMS_DIGEST,
    ),
    params("xcr0", offset_of!(Params, xcr0), reason::PARAMS_DIGEST),
    params("flags", offset_of!(Params, flags), reason::PARAMS_DIGEST),
    params("engine", offset_of!(Params, engine), reason::PARAMS_DIGEST),
    params(
        "nr_regions",
        offset_of!(Params, nr_regions),
        reason::PARAMS_DIGEST,
    ),
    params("reset", offset_of!(Params, reset), reason::PARAMS_DIGEST),
    params(
        "tsc_khz",
        offset_of!(Params, tsc_khz),
        reason::PARAMS_DIGEST,
    ),
    params(
        "blob_digest",
        offset_of!(Params, blob_digest),
        reason::PARAMS_DIGEST,
    ),
    params(
        "params_digest",
        offset_of!(Params, params_digest),
        reason::PARAMS_DIGEST,
    ),
    params(
        "start of a region",
        region(0) + offset_of!(Region, start),
        reason::PARAMS_DIGEST,
    ),
    params(
        "length of a region",
        region(1) + offset_of!(Region, len),
        reason::PARAMS_DIGEST,
    ),
    params(
        "kind of a region",
        region(2) + offset_of!(Region, kind),
        reason::PARAMS_DIGEST,
    ),
    params(
        "digest of a region",
        region(0) + offset_of!(Region, digest),
        reason::PARAMS_DIGEST,
    ),
    params(
        "last byte, of no region",
        size_of::<Params>() - 1,
        reason::PARAMS_DIGEST,
    ),
    nonsense("sealed: magic", reason::MAGIC, |p, _| {
        p.set64(offset_of!(Params, magic), !MAGIC);
    }),
    nonsense("sealed: version", reason::VERSION, |p, _| {
        p.set32(offset_of!(Params, version), u32::MAX);
    }),
    nonsense("sealed: size", reason::SIZE, |p, _| {
        p.set32(offset_of!(Params, size), 0);
    }),
    nonsense("sealed: digest of the code", reason::BLOB_DIGEST, |p, _| {
        p.params[offset_of!(Params, blob_digest)] ^= 1;
    }),
    nonsense("sealed: another address", reason::ADDRESS, |p, _| {
        p.set64(offset_of!(Params, blob), p.base + PAGE);
    }),
    nonsense("sealed: no such engine", reason::ENGINE, |p, _| {
        p.set32(offset_of!(Params, engine), 99);
    }),
    nonsense("sealed: XCR0 of no engine", reason::ENGINE, |p, _| {
        p.set64(offset_of!(Params, xcr0), 1);
    }),
    nonsense("sealed: no region", reason::REGION_COUNT, |p, _| {
        p.set32(offset_of!(Params, nr_regions), 0);
    }),
    nonsense("sealed: too many regions", reason::REGION_COUNT, |p, _| {
        p.set32(offset_of!(Params, nr_regions), REGIONS_MAX as u32 + 1);
    }),
    nonsense("sealed: a region wraps", reason::REGION, |p, _| {
        p.set64(region(0) + offset_of!(Region, len), u64::MAX);
    }),
    nonsense("sealed: a region at address 0", reason::REGION, |p, _| {
        p.set64(region(0) + offset_of!(Region, start), 0);
    }),
    nonsense("sealed: a region of no kind", reason::REGION, |p, _| {
        p.set32(region(0) + offset_of!(Region, kind), 99);
    }),
    nonsense(
        "sealed: a region of the purgatory",
        reason::REGION,
        |p, _| {
            p.set64(region(0) + offset_of!(Region, start), p.base);
        },
    ),
    nonsense("sealed: regions overlap", reason::REGION, |p, _| {
        let start = p.params[region(0)..][..size_of::<u64>()].to_vec();
        p.set(region(1) + offset_of!(Region, start), &start);
    }),
    nonsense("sealed: entry in no region", reason::ENTRY, |p, _| {
        p.set64(offset_of!(Params, entry), p.base);
    }),
    nonsense("sealed: entry in boot_params", reason::ENTRY, |p, _| {
        let boot_params = p.params[offset_of!(Params, boot_params)..][..8].to_vec();
        p.set(offset_of!(Params, entry), &boot_params);
    }),
    nonsense(
        "sealed: boot_params past their region",
        reason::ENTRY,
        |p, regions| {
            let kind = RegionKind::BootParams;
            if let Some(region) = regions.iter().find(|region| region.kind == kind) {
                p.set64(offset_of!(Params, boot_params), region.end());
            }
        },
    ),
];
