// SPDX-License-Identifier: GPL-2.0-only

//! Checks of the purgatory's parameters before it uses them.

use crate::{
    abi::{
        Digest,
        Params,
        Region,
        RegionKind,
        MAGIC,
        REGIONS_MAX,
        VERSION, //
    },
    engines::EngineKind,
    record::Record, //
};
use core::ops::Range;

/// End of the physical address space (Intel SDM volume 3, section 4.1.4: at most 52 bits).
const PHYSICAL_END: u64 = 1 << 52;

/// Parameters that were checked.
///
/// # Invariants
///
/// `regions` are the regions in use. None begins at address 0, ends beyond the physical address
/// space, or overlaps another one, the purgatory or the record. The record begins at a multiple of
/// the word size, at the end of a region with `boot_params`.
#[derive(Debug)]
pub struct Checked<'a> {
    engine: EngineKind,
    regions: &'a [Region],
    record: Option<u64>,
}

impl<'a> Checked<'a> {
    /// The engine to compute the digests with.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// The regions to verify.
    pub fn regions(&self) -> &'a [Region] {
        self.regions
    }

    /// Physical address of the record for the next kernel, if there is one.
    pub fn record(&self) -> Option<u64> {
        self.record
    }
}

/// What is wrong with the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// [`Params::magic`]
    Magic,
    /// [`Params::version`]
    Version,
    /// [`Params::size`]
    Size,
    /// [`Params::params_digest`]
    ParamsDigest,
    /// [`Params::own_digest`]
    OwnDigest,
    /// [`Params::purgatory`]
    Address,
    /// [`Params::engine`] or [`Params::xcr0`]
    Engine,
    /// [`Params::nr_regions`]
    RegionCount,
    /// A region wraps, begins at address 0, ends beyond the physical address space, is of an
    /// unknown kind, or overlaps another one or the purgatory.
    Region,
    /// [`Params::entry`] is in no region with a kernel, or [`Params::boot_params`] in none with
    /// `boot_params`.
    Entry,
    /// [`Params::record`] is misaligned, does not follow `boot_params`, ends beyond the physical
    /// address space, or overlaps a region or the purgatory.
    Record,
}

impl Fault {
    /// A message without a line end.
    pub fn describe(self) -> &'static str {
        match self {
            Fault::Magic => "its parameters have a bad magic number",
            Fault::Version => "its parameters are of another version",
            Fault::Size => "its parameters have a bad size",
            Fault::ParamsDigest => "the parameters of the purgatory are damaged",
            Fault::OwnDigest => "the purgatory itself is damaged",
            Fault::Address => "the purgatory is not where it was placed",
            Fault::Engine => "there is no such engine",
            Fault::RegionCount => "there are no regions, or too many",
            Fault::Region => "a region wraps or overlaps another one",
            Fault::Entry => "its entry point or boot_params lie outside of what is verified",
            Fault::Record => "the record for the next kernel lies in another place",
        }
    }
}

/// Checks `params`.
///
/// `extent` is the memory that the purgatory occupies. `own_digest` and `params_digest` are the
/// digests of its code and of its parameters as they are (see [`Params::own_digest`] and
/// [`Params::params_digest`]). Every field is checked although the digest of the parameters covers
/// it: that digest is stored with the parameters.
///
/// # Errors
///
/// The first [`Fault`] that is found.
pub fn check<'a>(
    params: &'a Params,
    extent: Range<u64>,
    own_digest: &Digest,
    params_digest: &Digest,
) -> Result<Checked<'a>, Fault> {
    ensure(params.magic == MAGIC, Fault::Magic)?;
    ensure(params.version == VERSION, Fault::Version)?;
    ensure(params.size as usize == size_of::<Params>(), Fault::Size)?;
    ensure(*params_digest == params.params_digest, Fault::ParamsDigest)?;
    ensure(*own_digest == params.own_digest, Fault::OwnDigest)?;
    ensure(params.purgatory == extent.start, Fault::Address)?;

    let engine = EngineKind::from_raw(params.engine).ok_or(Fault::Engine)?;
    ensure(params.xcr0 == engine.xcr0(), Fault::Engine)?;

    let count = params.nr_regions as usize;
    ensure((1..=REGIONS_MAX).contains(&count), Fault::RegionCount)?;
    let regions = params.regions.get(..count).ok_or(Fault::RegionCount)?;
    check_regions(regions, &extent)?;

    let within = |address: u64, kind: Option<RegionKind>| {
        regions.iter().any(|region| {
            kind.is_none_or(|kind| region.kind == kind as u32)
                && range(region).is_some_and(|range| range.contains(&address))
        })
    };
    ensure(within(params.entry, Some(RegionKind::Kernel)), Fault::Entry)?;
    ensure(
        within(params.boot_params, Some(RegionKind::BootParams)),
        Fault::Entry,
    )?;
    let record = check_record(params.record, regions, &extent)?;

    // INVARIANT: `check_regions()` and `check_record()` checked it.
    Ok(Checked {
        engine,
        regions,
        record,
    })
}

/// Checks that no region is of an unknown kind, wraps, begins at address 0, ends beyond the
/// physical address space, or overlaps another one or `extent`.
///
/// # Errors
///
/// [`Fault::Region`].
pub fn check_regions(regions: &[Region], extent: &Range<u64>) -> Result<(), Fault> {
    for (i, region) in regions.iter().enumerate() {
        let this = range(region).ok_or(Fault::Region)?;

        ensure(RegionKind::from_raw(region.kind).is_some(), Fault::Region)?;
        ensure(!overlap(&this, extent), Fault::Region)?;
        for earlier in regions.iter().take(i) {
            let earlier = range(earlier).ok_or(Fault::Region)?;

            ensure(!overlap(&this, &earlier), Fault::Region)?;
        }
    }
    Ok(())
}

/// Checks that a record at `record`, unless that is 0, begins at the end of a region with
/// `boot_params`, ends within the physical address space, is aligned, and does not overlap
/// `regions` or `extent`.
fn check_record(
    record: u64,
    regions: &[Region],
    extent: &Range<u64>,
) -> Result<Option<u64>, Fault> {
    if record == 0 {
        return Ok(None);
    }

    let end = record
        .checked_add(size_of::<Record>() as u64)
        .filter(|&end| end <= PHYSICAL_END)
        .ok_or(Fault::Record)?;
    let this = record..end;
    let follows = |region: &Region| {
        region.kind == RegionKind::BootParams as u32
            && range(region).is_some_and(|range| range.end == record)
    };
    let is_free = |region: &Region| range(region).is_some_and(|range| !overlap(&range, &this));

    ensure(
        record % align_of::<Record>() as u64 == 0
            && !overlap(&this, extent)
            && regions.iter().any(follows)
            && regions.iter().all(is_free),
        Fault::Record,
    )?;
    Ok(Some(record))
}

/// The memory of a region; `None` if it wraps, begins at address 0, or ends beyond the physical
/// address space.
fn range(region: &Region) -> Option<Range<u64>> {
    let end = region.start.checked_add(region.len)?;

    (region.start != 0 && end <= PHYSICAL_END).then_some(region.start..end)
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

fn ensure(condition: bool, fault: Fault) -> Result<(), Fault> {
    if condition {
        Ok(())
    } else {
        Err(fault)
    }
}
