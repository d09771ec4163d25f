// SPDX-License-Identifier: GPL-2.0-only

//! Parameters as a loader fills them, and an independent judgment of any parameters.

use purgatory_digest::{
    abi::{
        Digest,
        Params,
        Region,
        RegionKind,
        Reset,
        MAGIC,
        REGIONS_MAX,
        VERSION, //
    },
    check::Fault,
    engines::EngineKind, //
};
use std::ops::Range;

/// Address of the purgatory, its size, and its digests.
pub const PURGATORY: u64 = 0x10_0000;
pub const PURGATORY_SIZE: u64 = 0x8000;
pub const OWN_DIGEST: Digest = [1; 32];
pub const PARAMS_DIGEST: Digest = [2; 32];

/// Every fault, in the order in which `check()` looks for it.
pub const FAULTS: [Fault; 11] = [
    Fault::Magic,
    Fault::Version,
    Fault::Size,
    Fault::ParamsDigest,
    Fault::OwnDigest,
    Fault::Address,
    Fault::Engine,
    Fault::RegionCount,
    Fault::Region,
    Fault::Entry,
    Fault::Record,
];

/// A region whose digest does not matter.
pub fn region(kind: RegionKind, start: u64, len: u64) -> Region {
    Region {
        start,
        len,
        kind: kind as u32,
        ..Region::UNUSED
    }
}

/// Parameters with nothing wrong.
pub fn sound() -> Params {
    let mut regions = [Region::UNUSED; REGIONS_MAX];

    regions[0] = region(RegionKind::BootParams, 0x9000, 0x1100);
    regions[1] = region(RegionKind::Kernel, 0x100_0000, 0xd0_0001);
    regions[2] = region(RegionKind::Initramfs, 0x1_2000_0000, 5);
    Params {
        magic: MAGIC,
        version: VERSION,
        size: size_of::<Params>() as u32,
        entry: 0x100_0200,
        boot_params: 0x9000,
        flags: 0,
        tsc_khz: 0,
        reset: Reset::default(),
        console_mmio32: 0,
        purgatory: PURGATORY,
        xcr0: EngineKind::Avx2X8.xcr0(),
        engine: EngineKind::Avx2X8 as u32,
        nr_regions: 3,
        own_digest: OWN_DIGEST,
        params_digest: PARAMS_DIGEST,
        regions,
        record: 0xa100,
    }
}

/// End of the physical address space (Intel SDM volume 3, section 4.1.4: at most 52 bits).
const PHYSICAL_END: u128 = 1 << 52;

/// A range of memory, with arithmetic that cannot wrap.
#[derive(Clone, Copy)]
struct Bytes {
    start: u128,
    end: u128,
}

impl Bytes {
    fn new(start: u64, len: u64) -> Bytes {
        Bytes {
            start: start.into(),
            end: u128::from(start) + u128::from(len),
        }
    }

    fn is_empty(self) -> bool {
        self.start == self.end
    }

    fn has(self, address: u64) -> bool {
        self.start <= address.into() && u128::from(address) < self.end
    }

    /// Whether a byte belongs to both.
    fn shares(self, other: Bytes) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }

    /// Whether one is empty and lies between two bytes of the other.
    fn splits(self, other: Bytes) -> bool {
        self.is_empty() && other.start < self.start && self.start < other.end
    }
}

/// How the checks may judge regions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Opinion {
    Sound,
    Unsound,
    /// An empty region lies inside of another one: that is harmless, and no loader does it.
    Either,
}

/// Judges regions by their definition, independently of the code of the checks.
pub fn opinion(regions: &[Region], extent: &Range<u64>) -> Opinion {
    let mut all = vec![Bytes {
        start: extent.start.into(),
        end: extent.end.into(),
    }];

    for region in regions {
        let bytes = Bytes::new(region.start, region.len);

        if bytes.start == 0 || bytes.end > PHYSICAL_END || region.kind > 5 {
            return Opinion::Unsound;
        }
        all.push(bytes);
    }

    let pairs = || {
        let all = &all;
        (0..all.len()).flat_map(move |i| (0..i).map(move |j| (all[i], all[j])))
    };
    if pairs().any(|(a, b)| a.shares(b)) {
        Opinion::Unsound
    } else if pairs().any(|(a, b)| a.splits(b) || b.splits(a)) {
        Opinion::Either
    } else {
        Opinion::Sound
    }
}

/// Whether parameters have a fault.
///
/// The result means nothing for [`Fault::Region`] if [`opinion`] is [`Opinion::Either`]. It also
/// means nothing for a fault that depends on an earlier one: the regions if their number is wrong,
/// and the entry point if the regions are wrong.
pub fn has(fault: Fault, params: &Params, extent: &Range<u64>, digests: [&Digest; 2]) -> bool {
    let [own, of_params] = digests;
    let count = params.nr_regions as usize;
    let regions = &params.regions[..count.min(REGIONS_MAX)];
    let in_kind = |address, kind: RegionKind| {
        regions
            .iter()
            .filter(|region| region.kind == kind as u32)
            .any(|region| Bytes::new(region.start, region.len).has(address))
    };

    match fault {
        Fault::Magic => params.magic.to_le_bytes() != *b"kxpurgRS",
        Fault::Version => params.version != VERSION,
        Fault::Size => params.size != 1056,
        Fault::ParamsDigest => params.params_digest != *of_params,
        Fault::OwnDigest => params.own_digest != *own,
        Fault::Address => params.purgatory != extent.start,
        Fault::Engine => match params.engine {
            0 | 1 => params.xcr0 != 0,
            2 => params.xcr0 != 0x7,
            3 => params.xcr0 != 0xe7,
            _ => true,
        },
        Fault::RegionCount => count == 0 || count > REGIONS_MAX,
        Fault::Region => opinion(regions, extent) != Opinion::Sound,
        Fault::Entry => {
            !in_kind(params.entry, RegionKind::Kernel)
                || !in_kind(params.boot_params, RegionKind::BootParams)
        }
        Fault::Record => {
            let record = Bytes::new(params.record, 336);
            let all = || {
                regions
                    .iter()
                    .map(|region| Bytes::new(region.start, region.len))
            };
            let of_extent = Bytes {
                start: extent.start.into(),
                end: extent.end.into(),
            };
            let follows = regions
                .iter()
                .filter(|region| region.kind == RegionKind::BootParams as u32)
                .any(|region| Bytes::new(region.start, region.len).end == record.start);
            let collides = |other: Bytes| other.shares(record) || other.splits(record);

            params.record != 0
                && (!params.record.is_multiple_of(8)
                    || record.end > PHYSICAL_END
                    || !follows
                    || all().chain([of_extent]).any(collides))
        }
    }
}
