// SPDX-License-Identifier: GPL-2.0-only

//! What page tables map (Intel SDM volume 3, section 4.5).

use std::ops::Range;

use anyhow::Result;

const PRESENT: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
/// The entry maps memory instead of naming a table of the next level.
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Bits of an address that are the offset in a page, and bits that each level decides.
const PAGE_BITS: u32 = 12;
const LEVEL_BITS: u32 = 9;

/// The ranges that are mapped one to one, writable and executable, in ascending order and merged.
///
/// `read` reads a page of physical memory as words.
pub fn identity(
    cr3: u64,
    levels: u32,
    read: &mut dyn FnMut(u64) -> Result<Vec<u64>>,
) -> Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    walk(cr3 & ADDRESS, levels, 0, read, &mut ranges)?;
    Ok(ranges)
}

fn walk(
    table: u64,
    level: u32,
    base: u64,
    read: &mut dyn FnMut(u64) -> Result<Vec<u64>>,
    ranges: &mut Vec<Range<u64>>,
) -> Result<()> {
    let shift = PAGE_BITS + LEVEL_BITS * (level - 1);
    for (index, entry) in (0u64..).zip(read(table)?) {
        // The upper half of the address space is never mapped one to one; its addresses would be
        // sign-extended.
        let address = base | index << shift;
        if entry & PRESENT == 0 {
            continue;
        }
        if level > 1 && entry & LARGE == 0 {
            walk(entry & ADDRESS, level - 1, address, read, ranges)?;
            continue;
        }
        let size = 1 << shift;
        // Bit 12 of a large page's entry selects a memory type.
        let to = entry & ADDRESS & !(size - 1);
        if to == address && entry & WRITE != 0 && entry & NO_EXECUTE == 0 {
            match ranges.last_mut() {
                Some(last) if last.end == address => last.end = address + size,
                _ => ranges.push(address..address + size),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{LARGE, NO_EXECUTE, PRESENT, WRITE, identity};

    const RW: u64 = PRESENT | WRITE;

    /// Tables with those entries, by the address of the table.
    fn ranges(entries: &[(u64, usize, u64)]) -> Vec<std::ops::Range<u64>> {
        let mut tables: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for &(table, index, entry) in entries {
            tables.entry(table).or_insert_with(|| vec![0; 512])[index] = entry;
        }
        identity(0x1000, 4, &mut |table| Ok(tables[&table].clone())).unwrap()
    }

    #[test]
    fn neighbours_are_merged() {
        let found = ranges(&[
            (0x1000, 0, 0x2000 | RW),
            (0x2000, 0, 0x3000 | RW),
            (0x2000, 1, 1 << 30 | RW | LARGE),
            (0x3000, 511, 511 << 21 | RW | LARGE),
            (0x3000, 0, 0x4000 | RW),
            (0x4000, 5, 0x5000 | RW),
        ]);
        assert_eq!(found, [0x5000..0x6000, (511 << 21)..(2 << 30)]);
    }

    #[test]
    fn what_is_elsewhere_or_protected_is_left_out() {
        let found = ranges(&[
            (0x1000, 0, 0x2000 | RW),
            (0x2000, 0, 0x3000 | RW),
            (0x3000, 0, 0x20_0000 | RW | LARGE),
            (0x3000, 1, 0x20_0000 | PRESENT | LARGE),
            (0x3000, 2, 0x40_0000 | RW | LARGE | NO_EXECUTE),
            (0x3000, 3, 0x60_0000 | WRITE | LARGE),
        ]);
        assert_eq!(found, []);
    }
}
