// SPDX-License-Identifier: GPL-2.0-only

//! Damage to the purgatory itself: its header, its parameters, its code.

use std::mem::offset_of;

use anyhow::{Context, Result, ensure};

use super::stopped::StoppedGuest;
use crate::abi::{Header, MAGIC, Params, REGIONS_MAX, Region, RegionKind};
use crate::expected::reason;
use crate::machine::loaded::PAGE;
use crate::params::{self, from_bytes, sealed, to_bytes};

/// The purgatory of an image that is about to be checked.
pub struct GuestPurgatory {
    /// Physical address of its first byte.
    pub base: u64,
    /// The bytes before the parameters.
    pub code: Vec<u8>,
    pub params: Params,
}

impl GuestPurgatory {
    /// Finds the purgatory that a stopped guest is about to enter.
    pub fn read(guest: &StoppedGuest) -> Result<Self> {
        let base = guest.start & !(PAGE - 1);
        let header = params::header(&guest.read(base, size_of::<Header>())?)?;
        ensure!(
            header.magic == MAGIC && base + u64::from(header.entry) == guest.start,
            "no purgatory at {base:#x}"
        );
        let code = header.params;
        let params = guest.read(base + u64::from(code), size_of::<Params>())?;
        Ok(Self {
            base,
            code: guest.read(base, code as usize)?,
            params: from_bytes(params[..].try_into()?),
        })
    }

    /// The bytes of the header, code and parameters.
    pub fn bytes(&self) -> Vec<u8> {
        [self.code.as_slice(), &to_bytes(self.params)].concat()
    }

    /// The ranges to verify, as the purgatory's parameters list them.
    pub fn regions(&self) -> Result<Vec<(Option<RegionKind>, u64, u64)>> {
        let regions = self.params.regions.get(..self.params.nr_regions as usize);
        let regions = regions.context("the purgatory has too many regions")?;
        let range = |region: &Region| (RegionKind::from_raw(region.kind), region.start, region.len);
        Ok(regions.iter().map(range).collect())
    }
}

/// One kind of damage.
#[derive(Clone, Copy, Debug)]
pub struct PurgatoryDamage {
    pub name: &'static str,
    /// How the reason begins that the purgatory must give for not entering the next kernel.
    pub reason: &'static str,
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
    Nonsense(fn(&mut Params)),
}

impl PurgatoryDamage {
    pub fn apply(&self, purgatory: &mut GuestPurgatory) {
        match self.what {
            What::Code(offset) => purgatory.code[offset] ^= 1,
            What::CodeEnd => {
                if let Some(last) = purgatory.code.last_mut() {
                    *last ^= 1;
                }
            }
            What::Params(offset) => {
                let mut bytes = to_bytes(purgatory.params);
                bytes[offset] ^= 1;
                purgatory.params = from_bytes(bytes);
            }
            What::Nonsense(change) => {
                change(&mut purgatory.params);
                purgatory.params = sealed(purgatory.params);
            }
        }
    }
}

const fn header(name: &'static str, offset: usize) -> PurgatoryDamage {
    PurgatoryDamage {
        name,
        reason: reason::OWN_DIGEST,
        what: What::Code(offset),
    }
}

const fn params(name: &'static str, offset: usize, reason: &'static str) -> PurgatoryDamage {
    PurgatoryDamage {
        name,
        reason,
        what: What::Params(offset),
    }
}

const fn nonsense(
    name: &'static str,
    reason: &'static str,
    change: fn(&mut Params),
) -> PurgatoryDamage {
    PurgatoryDamage {
        name,
        reason,
        what: What::Nonsense(change),
    }
}

/// A bit of a field, which the digest of the parameters shows.
macro_rules! field {
    ($field:ident) => {
        params(
            stringify!($field),
            offset_of!(Params, $field),
            reason::PARAMS_DIGEST,
        )
    };
}

/// The same for a field of a region.
macro_rules! region {
    ($name:literal, $index:literal, $field:ident) => {
        params(
            $name,
            offset_of!(Params, regions) + $index * size_of::<Region>() + offset_of!(Region, $field),
            reason::PARAMS_DIGEST,
        )
    };
}

/// Every damage to try.
#[rustfmt::skip] // a table
pub const DAMAGES: &[PurgatoryDamage] = &[
    header("header, magic", offset_of!(Header, magic)),
    header("header, version", offset_of!(Header, version)),
    header("header, entry", offset_of!(Header, entry)),
    header("header, file_size", offset_of!(Header, file_size)),
    header("header, mem_size", offset_of!(Header, mem_size)),
    header("header, reserved", offset_of!(Header, reserved)),
    header("header, params", offset_of!(Header, params) + 1),
    PurgatoryDamage {
        name: "last byte of the code",
        // Which of the purgatory's checks fails first depends on the contents there.
        reason: "",
        what: What::CodeEnd,
    },
    params("magic", offset_of!(Params, magic), reason::MAGIC),
    params("version", offset_of!(Params, version), reason::VERSION),
    params("size", offset_of!(Params, size), reason::SIZE),
    field!(entry),
    field!(boot_params),
    field!(purgatory),
    field!(console_mmio32),
    field!(xcr0),
    field!(flags),
    field!(engine),
    field!(nr_regions),
    field!(reset),
    field!(tsc_khz),
    field!(own_digest),
    field!(params_digest),
    region!("start of a region", 0, start),
    region!("length of a region", 1, len),
    region!("kind of a region", 2, kind),
    region!("digest of a region", 0, digest),
    field!(record),
    params("last byte", size_of::<Params>() - 1, reason::PARAMS_DIGEST),
    nonsense("sealed: magic", reason::MAGIC, |p| p.magic = !MAGIC),
    nonsense("sealed: version", reason::VERSION, |p| p.version = u32::MAX),
    nonsense("sealed: size", reason::SIZE, |p| p.size = 0),
    nonsense("sealed: digest of the code", reason::OWN_DIGEST, |p| p.own_digest[0] ^= 1),
    nonsense("sealed: another address", reason::ADDRESS, |p| p.purgatory += PAGE),
    nonsense("sealed: no such engine", reason::ENGINE, |p| p.engine = 99),
    nonsense("sealed: XCR0 of no engine", reason::ENGINE, |p| p.xcr0 = 1),
    nonsense("sealed: no region", reason::REGION_COUNT, |p| p.nr_regions = 0),
    nonsense("sealed: too many regions", reason::REGION_COUNT, |p| {
        p.nr_regions = REGIONS_MAX as u32 + 1;
    }),
    nonsense("sealed: a region wraps", reason::REGION, |p| p.regions[0].len = u64::MAX),
    nonsense("sealed: a region at address 0", reason::REGION, |p| p.regions[0].start = 0),
    nonsense("sealed: a region of no kind", reason::REGION, |p| p.regions[0].kind = 99),
    nonsense("sealed: a region of the purgatory", reason::REGION, |p| {
        p.regions[0].start = p.purgatory;
    }),
    nonsense("sealed: regions overlap", reason::REGION, |p| {
        p.regions[1].start = p.regions[0].start;
    }),
    nonsense("sealed: entry in no region", reason::ENTRY, |p| p.entry = p.purgatory),
    nonsense("sealed: entry in boot_params", reason::ENTRY, |p| p.entry = p.boot_params),
    nonsense("sealed: boot_params past their region", reason::ENTRY, |p| {
        let kind = RegionKind::BootParams as u32;
        if let Some(region) = p.regions.iter().find(|region| region.kind == kind) {
            p.boot_params = region.start + region.len;
        }
    }),
];
