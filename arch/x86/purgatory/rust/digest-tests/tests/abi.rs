// SPDX-License-Identifier: GPL-2.0-only

//! The layout of the interface between loader and purgatory. Both are compiled from one definition,
//! so these numbers are for debuggers and test tools that look at the memory from outside.

use purgatory_digest::abi::{
    Handoff,
    Header,
    Params,
    Region,
    RegionKind,
    Reset, //
    DIGEST_SIZE,
    FILE_SIZE_MAX,
    LEAF_SIZE,
    MAGIC,
    REGIONS_MAX,
};
use purgatory_digest::record::{self, LoadFacts, Record};
use std::mem::{
    offset_of,
    size_of, //
};

#[test]
fn header() {
    assert_eq!(&MAGIC.to_le_bytes(), b"kxpurgRS");
    assert_eq!(offset_of!(Header, magic), 0);
    assert_eq!(offset_of!(Header, version), 8);
    assert_eq!(offset_of!(Header, entry), 12);
    assert_eq!(offset_of!(Header, params), 16);
    assert_eq!(offset_of!(Header, file_size), 20);
    assert_eq!(offset_of!(Header, mem_size), 24);
    assert_eq!(offset_of!(Header, reserved), 28);
    assert_eq!(size_of::<Header>(), 32);
}

#[test]
fn region() {
    assert_eq!(offset_of!(Region, start), 0);
    assert_eq!(offset_of!(Region, len), 8);
    assert_eq!(offset_of!(Region, kind), 16);
    assert_eq!(offset_of!(Region, digest), 24);
    assert_eq!(size_of::<Region>(), 24 + DIGEST_SIZE);
}

#[test]
fn reset() {
    assert_eq!(offset_of!(Reset, address), 0);
    assert_eq!(offset_of!(Reset, space), 8);
    assert_eq!(offset_of!(Reset, value), 12);
    assert_eq!(size_of::<Reset>(), 16);
}

#[test]
fn params() {
    assert_eq!(offset_of!(Params, magic), 0);
    assert_eq!(offset_of!(Params, version), 8);
    assert_eq!(offset_of!(Params, size), 12);
    assert_eq!(offset_of!(Params, entry), 16);
    assert_eq!(offset_of!(Params, boot_params), 24);
    assert_eq!(offset_of!(Params, flags), 32);
    assert_eq!(offset_of!(Params, tsc_khz), 36);
    assert_eq!(offset_of!(Params, reset), 40);
    assert_eq!(offset_of!(Params, console_mmio32), 56);
    assert_eq!(offset_of!(Params, purgatory), 64);
    assert_eq!(offset_of!(Params, xcr0), 72);
    assert_eq!(offset_of!(Params, engine), 80);
    assert_eq!(offset_of!(Params, nr_regions), 84);
    assert_eq!(offset_of!(Params, own_digest), 88);
    assert_eq!(offset_of!(Params, params_digest), 120);
    assert_eq!(offset_of!(Params, regions), 152);

    let end = 152 + REGIONS_MAX * size_of::<Region>();
    assert_eq!(offset_of!(Params, record), end);

    // Every byte belongs to a field. Padding would have no defined value, and so no digest.
    assert_eq!(size_of::<Params>(), end + size_of::<u64>());
}

/// C code, `kexec_handoff()`, fills in the low half.
#[test]
fn handoff() {
    assert_eq!(Handoff::new(0x3f8, false).into_raw(), 0x3f8 << 32);
    assert_eq!(Handoff::new(0, true).into_raw(), 1 << 48);
    for panic_timeout in [0, 3, -1, i32::MAX, i32::MIN] {
        for (port, no_io) in [(0, false), (u16::MAX, false), (0x2f8, true)] {
            let loader = Handoff::new(port, no_io).into_raw();
            assert_eq!(loader & 0xffff_ffff, 0);

            let handoff = Handoff::from_raw(loader | u64::from(panic_timeout as u32));
            assert_eq!(handoff.panic_timeout(), panic_timeout);
            assert_eq!(handoff.console_port(), port);
            assert_eq!(handoff.no_io(), no_io);
            assert_eq!(handoff.ends_machine(), panic_timeout != 0 || no_io);
            assert_eq!(handoff.mismatch(), None);

            for mismatch in [1, 6, 15] {
                let after = handoff.after_mismatch(mismatch);
                assert_eq!(after.mismatch(), Some(mismatch));
                assert_eq!(after.into_raw() >> 49, mismatch);
                assert_eq!(after.into_raw() & ((1 << 49) - 1), handoff.into_raw());
                assert_eq!(after.after_mismatch(mismatch).mismatch(), Some(mismatch));
            }
        }
    }
}

/// Other kernels read the record, so its layout is fixed.
#[test]
fn record() {
    assert_eq!(&record::MAGIC.to_le_bytes(), b"kxrecord");
    assert_eq!(record::VERSION, 1);
    assert_eq!(offset_of!(Record, magic), 0);
    assert_eq!(offset_of!(Record, version), 8);
    assert_eq!(offset_of!(Record, size), 12);
    assert_eq!(offset_of!(Record, digest), 16);
    assert_eq!(offset_of!(Record, facts), 48);
    assert_eq!(offset_of!(LoadFacts, release), 0);
    assert_eq!(offset_of!(LoadFacts, decision), 64);
    assert_eq!(offset_of!(LoadFacts, engine), 160);
    assert_eq!(offset_of!(LoadFacts, bytes), 176);
    assert_eq!(offset_of!(LoadFacts, regions), 184);
    assert_eq!(offset_of!(LoadFacts, flags), 188);
    assert_eq!(offset_of!(LoadFacts, tsc_khz), 192);
    assert_eq!(offset_of!(LoadFacts, reserved), 196);
    assert_eq!(offset_of!(Record, left), 256);
    assert_eq!(offset_of!(Record, entered), 272);
    assert_eq!(offset_of!(Record, verified), 288);
    assert_eq!(offset_of!(Record, handed_off), 304);
    assert_eq!(offset_of!(Record, mismatch), 320);
    assert_eq!(size_of::<Record>(), 336);
}

/// A digest depends on the leaf size.
#[test]
fn limits() {
    assert_eq!(LEAF_SIZE, 32832);
    assert_eq!(FILE_SIZE_MAX, 65536);
    assert_eq!(REGIONS_MAX, 16);
}

#[test]
fn region_kinds() {
    let names = [
        "segment",
        "kernel",
        "initramfs",
        "boot_params",
        "elfcorehdr",
        "dm_crypt_keys",
    ];
    assert_eq!(RegionKind::ALL.map(RegionKind::name), names);
    for (value, kind) in RegionKind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, value);
        assert_eq!(RegionKind::from_raw(value as u32), Some(kind));
    }
    assert_eq!(RegionKind::from_raw(u32::MAX), None);
}
