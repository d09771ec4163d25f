// SPDX-License-Identifier: GPL-2.0-only

//! Damage to the purgatory itself: its header, its parameters, its code.

use std::mem::offset_of;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use super::image::{PAGE, Segment};
use super::stage::Scene;
use crate::abi::{Header, MAGIC, Params, REGIONS_MAX, Region, RegionKind};
use crate::check::Fault;

/// The purgatory of an image that is about to be checked.
pub struct Purgatory {
    /// Physical address of its first byte.
    pub base: u64,
    /// What lies before the parameters.
    pub code: Vec<u8>,
    pub params: Vec<u8>,
}

impl Purgatory {
    /// Finds the purgatory that a scene is about to enter.
    pub fn read(scene: &Scene) -> Result<Self> {
        let base = scene.start & !(PAGE - 1);
        let header = scene.read(base, size_of::<Header>())?;
        ensure!(
            number(&header, offset_of!(Header, magic), 8)? == MAGIC
                && base + number(&header, offset_of!(Header, entry), 4)? == scene.start,
            "no purgatory at {base:#x}"
        );
        let code = number(&header, offset_of!(Header, params), 4)? as usize;
        Ok(Self {
            base,
            code: scene.read(base, code)?,
            params: scene.read(base + code as u64, size_of::<Params>())?,
        })
    }

    /// The bytes of the header, code and parameters.
    pub fn bytes(&self) -> Vec<u8> {
        [self.code.as_slice(), &self.params].concat()
    }

    /// The ranges that are verified, by what the purgatory is told.
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

    /// Has the parameters' digest be right again.
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

/// Where a region lies in the parameters.
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
    Refused(Fault),
    /// Say that it does not enter the next kernel, and stop: which of its checks fails first
    /// depends on what lies there.
    RefusedSomehow,
    /// Stop, without a word: it cannot know where to say it.
    Stopped,
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
    /// A bit of the parameters, at this offset; their digest tells.
    Params(usize),
    /// Parameters with a right digest that make no sense: how a bug of a loader would look.
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

const fn params(name: &'static str, offset: usize, fault: Fault) -> Damage {
    Damage {
        name,
        expected: Expected::Refused(fault),
        what: What::Params(offset),
    }
}

const fn nonsense(
    name: &'static str,
    fault: Fault,
    change: fn(&mut Purgatory, &[Segment]),
) -> Damage {
    Damage {
        name,
        expected: Expected::Refused(fault),
        what: What::Nonsense(change),
    }
}

const SELF: Expected = Expected::Refused(Fault::BlobDigest);

/// What is tried.
pub const DAMAGES: &[Damage] = &[
    header("header, magic", offset_of!(Header, magic), SELF),
    header("header, version", offset_of!(Header, version), SELF),
    header("header, entry", offset_of!(Header, entry), SELF),
    header("header, file_size", offset_of!(Header, file_size), SELF),
    header("header, mem_size", offset_of!(Header, mem_size), SELF),
    header("header, digest", offset_of!(Header, digest), SELF),
    header("header, params", offset_of!(Header, params) + 1, SELF),
    Damage {
        name: "last byte of the code",
        expected: Expected::RefusedSomehow,
        what: What::CodeEnd,
    },
    params("magic", offset_of!(Params, magic), Fault::Magic),
    params("version", offset_of!(Params, version), Fault::Version),
    params("size", offset_of!(Params, size), Fault::Size),
    params("entry", offset_of!(Params, entry), Fault::ParamsDigest),
    params(
        "boot_params",
        offset_of!(Params, boot_params),
        Fault::ParamsDigest,
    ),
    params("blob", offset_of!(Params, blob), Fault::ParamsDigest),
    params(
        "console_mmio32",
        offset_of!(Params, console_mmio32),
        Fault::ParamsDigest,
    ),
    params("xcr0", offset_of!(Params, xcr0), Fault::ParamsDigest),
    Damage {
        name: "console_port",
        expected: Expected::Stopped,
        what: What::Params(offset_of!(Params, console_port) + 1),
    },
    params(
        "reserved",
        offset_of!(Params, reserved),
        Fault::ParamsDigest,
    ),
    params("flags", offset_of!(Params, flags), Fault::ParamsDigest),
    params("engine", offset_of!(Params, engine), Fault::ParamsDigest),
    params(
        "nr_regions",
        offset_of!(Params, nr_regions),
        Fault::ParamsDigest,
    ),
    params("reset", offset_of!(Params, reset), Fault::ParamsDigest),
    params("tsc_khz", offset_of!(Params, tsc_khz), Fault::ParamsDigest),
    params(
        "reserved2",
        offset_of!(Params, reserved2),
        Fault::ParamsDigest,
    ),
    params(
        "blob_digest",
        offset_of!(Params, blob_digest),
        Fault::ParamsDigest,
    ),
    params(
        "params_digest",
        offset_of!(Params, params_digest),
        Fault::ParamsDigest,
    ),
    params(
        "start of a region",
        region(0) + offset_of!(Region, start),
        Fault::ParamsDigest,
    ),
    params(
        "length of a region",
        region(1) + offset_of!(Region, len),
        Fault::ParamsDigest,
    ),
    params(
        "kind of a region",
        region(2) + offset_of!(Region, kind),
        Fault::ParamsDigest,
    ),
    params(
        "digest of a region",
        region(0) + offset_of!(Region, digest),
        Fault::ParamsDigest,
    ),
    params(
        "last byte, of no region",
        size_of::<Params>() - 1,
        Fault::ParamsDigest,
    ),
    nonsense("sealed: magic", Fault::Magic, |p, _| {
        p.set64(offset_of!(Params, magic), !MAGIC);
    }),
    nonsense("sealed: version", Fault::Version, |p, _| {
        p.set32(offset_of!(Params, version), u32::MAX);
    }),
    nonsense("sealed: size", Fault::Size, |p, _| {
        p.set32(offset_of!(Params, size), 0);
    }),
    nonsense("sealed: digest of the code", Fault::BlobDigest, |p, _| {
        p.params[offset_of!(Params, blob_digest)] ^= 1;
    }),
    nonsense("sealed: another address", Fault::Address, |p, _| {
        p.set64(offset_of!(Params, blob), p.base + PAGE);
    }),
    nonsense("sealed: no such engine", Fault::Engine, |p, _| {
        p.set32(offset_of!(Params, engine), 99);
    }),
    nonsense("sealed: XCR0 of no engine", Fault::Engine, |p, _| {
        p.set64(offset_of!(Params, xcr0), 1);
    }),
    nonsense("sealed: no region", Fault::RegionCount, |p, _| {
        p.set32(offset_of!(Params, nr_regions), 0);
    }),
    nonsense("sealed: too many regions", Fault::RegionCount, |p, _| {
        p.set32(offset_of!(Params, nr_regions), REGIONS_MAX as u32 + 1);
    }),
    nonsense("sealed: a region wraps", Fault::Region, |p, _| {
        p.set64(region(0) + offset_of!(Region, len), u64::MAX);
    }),
    nonsense("sealed: a region at address 0", Fault::Region, |p, _| {
        p.set64(region(0) + offset_of!(Region, start), 0);
    }),
    nonsense("sealed: a region of no kind", Fault::Region, |p, _| {
        p.set32(region(0) + offset_of!(Region, kind), 99);
    }),
    nonsense(
        "sealed: a region of the purgatory",
        Fault::Region,
        |p, _| {
            p.set64(region(0) + offset_of!(Region, start), p.base);
        },
    ),
    nonsense("sealed: regions overlap", Fault::Region, |p, _| {
        let start = p.params[region(0)..][..size_of::<u64>()].to_vec();
        p.set(region(1) + offset_of!(Region, start), &start);
    }),
    nonsense("sealed: entry in no region", Fault::Entry, |p, _| {
        p.set64(offset_of!(Params, entry), p.base);
    }),
    nonsense("sealed: entry in boot_params", Fault::Entry, |p, _| {
        let boot_params = p.params[offset_of!(Params, boot_params)..][..8].to_vec();
        p.set(offset_of!(Params, entry), &boot_params);
    }),
    nonsense(
        "sealed: boot_params past their region",
        Fault::Entry,
        |p, regions| {
            let kind = RegionKind::BootParams;
            if let Some(region) = regions.iter().find(|region| region.kind == kind) {
                p.set64(offset_of!(Params, boot_params), region.end());
            }
        },
    ),
];
