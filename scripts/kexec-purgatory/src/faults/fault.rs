// SPDX-License-Identifier: GPL-2.0-only

//! A fault: what it changes in an image, and in which regions.

use std::fmt;

use anyhow::Result;
use fastrand::Rng;

use crate::abi::LEAF_SIZE;
use crate::machine::loaded::{PAGE, Segment};

/// What happens to memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A bit is flipped.
    Bit,
    /// A byte gets another value.
    Byte,
    /// A page gets random content.
    Page,
    /// A page and another one of the image are exchanged.
    Swap,
    /// A page becomes zero.
    Zero,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Bit, Self::Byte, Self::Page, Self::Swap, Self::Zero];

    pub fn name(self) -> &'static str {
        match self {
            Self::Bit => "bit",
            Self::Byte => "byte",
            Self::Page => "page",
            Self::Swap => "swapped pages",
            Self::Zero => "zeroed page",
        }
    }
}

/// A place in a region. A fault of a page hits the page with this byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    First,
    Last,
    /// The last byte of a leaf or the first of the next one; random in a region of one leaf.
    LeafEdge,
    Random,
}

impl Place {
    pub const ALL: [Self; 4] = [Self::First, Self::Last, Self::LeafEdge, Self::Random];

    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::LeafEdge => "leaf edge",
            Self::Random => "random",
        }
    }

    /// An offset in a region of `length` bytes.
    fn offset(self, length: u64, random: &mut Rng) -> u64 {
        let leaf = LEAF_SIZE as u64;
        match self {
            Self::First => 0,
            Self::Last => length - 1,
            Self::LeafEdge if length > leaf => {
                leaf * random.u64(1..=(length - 1) / leaf) - random.u64(0..=1)
            }
            Self::LeafEdge | Self::Random => random.u64(0..length),
        }
    }
}

/// A fault that was chosen, except for what depends on the image.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub place: Place,
    /// Chooses the region among those of the image.
    pub region: usize,
    /// Chooses everything else.
    pub seed: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.kind.name(), self.place.name())
    }
}

/// Bytes that a fault replaces, by their address after the copy.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub address: u64,
    pub before: Vec<u8>,
    pub after: Vec<u8>,
}

impl Fault {
    /// The changes that the fault makes to an image with these regions, none of them empty. `read`
    /// reads memory by its address after the copy.
    pub fn changes(
        &self,
        regions: &[Segment],
        read: impl Fn(u64, usize) -> Result<Vec<u8>>,
    ) -> Result<Vec<Change>> {
        let mut random = Rng::with_seed(self.seed);
        let region = &regions[self.region % regions.len()];
        let address = region.start + self.place.offset(region.length, &mut random);
        let page = |address: u64| address & !(PAGE - 1);
        let replace = |address: u64, length: usize, with: &mut dyn FnMut(&mut [u8])| -> Result<_> {
            let before = read(address, length)?;
            let mut after = before.clone();
            with(&mut after);
            Ok(Change {
                address,
                before,
                after,
            })
        };
        let whole = PAGE as usize;
        Ok(match self.kind {
            Kind::Bit => {
                let bit = 1 << random.u8(0..8);
                vec![replace(address, 1, &mut |bytes| bytes[0] ^= bit)?]
            }
            Kind::Byte => {
                let value = random.u8(1..);
                vec![replace(address, 1, &mut |bytes| bytes[0] ^= value)?]
            }
            Kind::Page => vec![replace(page(address), whole, &mut |bytes| {
                random.fill(bytes)
            })?],
            Kind::Zero => vec![replace(page(address), whole, &mut |bytes| bytes.fill(0))?],
            Kind::Swap => {
                let other = random.choice(regions).unwrap_or(region);
                let one = page(address);
                let two = page(other.start + random.u64(0..other.length));
                let contents = [read(one, whole)?, read(two, whole)?];
                let [first, second] = &contents;
                vec![
                    replace(one, whole, &mut |bytes| bytes.copy_from_slice(second))?,
                    replace(two, whole, &mut |bytes| bytes.copy_from_slice(first))?,
                ]
            }
        })
    }
}

/// The regions in which these changes change a byte.
pub fn damaged(regions: &[Segment], changes: &[Change]) -> Vec<Segment> {
    let differs = |region: &Segment| {
        changes.iter().any(|change| {
            (change.address..)
                .zip(change.before.iter().zip(&change.after))
                .any(|(address, (before, after))| {
                    before != after && (region.start..region.end()).contains(&address)
                })
        })
    };
    regions
        .iter()
        .filter(|region| differs(region))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Fault, Kind, Place, Segment, damaged};
    use crate::abi::{LEAF_SIZE, RegionKind};

    const LEAF: u64 = LEAF_SIZE as u64;
    const REGIONS: [Segment; 2] = [
        region(RegionKind::BootParams, 0x9_a000, 0x1320),
        region(RegionKind::Kernel, 0x100_0000, 3 * LEAF + 5),
    ];

    const fn region(kind: RegionKind, start: u64, length: u64) -> Segment {
        Segment {
            kind,
            start,
            length,
            memory: length,
        }
    }

    /// Memory in which no two pages are equal and none is zero.
    fn read(address: u64, length: usize) -> anyhow::Result<Vec<u8>> {
        Ok((address..)
            .take(length)
            .map(|address| (address % 255) as u8)
            .collect())
    }

    fn fault(kind: Kind, place: Place, region: usize, seed: u64) -> Fault {
        Fault {
            kind,
            place,
            region,
            seed,
        }
    }

    #[test]
    fn one_byte_changes_in_the_region_and_where_it_should() {
        for seed in 0..50 {
            for (index, region) in REGIONS.iter().enumerate() {
                for place in Place::ALL {
                    let fault = fault(Kind::Bit, place, index, seed);
                    let changes = fault.changes(&REGIONS, read).unwrap();
                    let [change] = &changes[..] else {
                        panic!("{changes:?}")
                    };
                    assert_eq!((change.before[0] ^ change.after[0]).count_ones(), 1);
                    assert_eq!(damaged(&REGIONS, &changes), [*region]);
                    let offset = change.address - region.start;
                    match place {
                        Place::First => assert_eq!(offset, 0),
                        Place::Last => assert_eq!(offset, region.length - 1),
                        Place::LeafEdge if region.length > LEAF => {
                            assert!([0, LEAF - 1].contains(&(offset % LEAF)) && offset > 0);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn a_page_is_whole_and_aligned() {
        for kind in [Kind::Page, Kind::Zero, Kind::Swap] {
            for change in fault(kind, Place::Last, 1, 1)
                .changes(&REGIONS, read)
                .unwrap()
            {
                assert_eq!(change.address % 4096, 0);
                assert_eq!(change.after.len(), 4096);
            }
        }
    }

    #[test]
    fn swapped_pages_have_each_other_s_content() {
        let changes = fault(Kind::Swap, Place::Random, 1, 7)
            .changes(&REGIONS, read)
            .unwrap();
        assert_eq!(changes[0].after, changes[1].before);
        assert_eq!(changes[1].after, changes[0].before);
    }

    #[test]
    fn what_follows_a_region_is_not_in_it() {
        let mut change = fault(Kind::Zero, Place::Last, 0, 1)
            .changes(&REGIONS, read)
            .unwrap();
        let inside = (REGIONS[0].end() - change[0].address) as usize;
        let before = change[0].before.clone();
        change[0].after[..inside].copy_from_slice(&before[..inside]);
        assert_eq!(damaged(&REGIONS, &change), []);
        change[0].after[inside - 1] ^= 1;
        assert_eq!(damaged(&REGIONS, &change), [REGIONS[0]]);
    }
}
