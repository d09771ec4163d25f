// SPDX-License-Identifier: GPL-2.0-only

//! Tests of what a kernel reads from the record of another kernel.

use openssl::sha::sha256;
use proptest::prelude::*;
use purgatory_digest::record::{
    read, text, Entered, Fault, LoadFacts, Record, FLAG_VERIFIED, MISMATCH_PURGATORY,
};

const FAULTS: [Fault; 6] = [
    Fault::Size,
    Fault::Magic,
    Fault::Version,
    Fault::Digest,
    Fault::Text,
    Fault::Stamp,
];

/// Offsets of fields, from the documentation of the format.
const VERSION: usize = 8;
const SIZE: usize = 12;
const FACTS: usize = 48;
const LEFT: usize = 256;

fn facts() -> LoadFacts {
    LoadFacts {
        release: text("7.3.4"),
        decision: text("verified: KEXEC_PURGATORY_VERIFY=y"),
        engine: text("shani-x4"),
        bytes: 46_002_176,
        regions: 3,
        flags: FLAG_VERIFIED,
        tsc_khz: 2_000_000,
        reserved: [0; 3],
    }
}

fn record() -> Record {
    let facts = facts();
    let mut record = Record::new(facts, sha256(bytes_of(&facts)));

    record.left = Some(1_000_000_000).into();
    record.entered = Some(1_012_000_000).into();
    record.verified = Some(1_042_000_000).into();
    record.handed_off = Some(1_042_001_000).into();
    record
}

fn bytes_of<T>(value: &T) -> &[u8] {
    // SAFETY: The structures have no padding, by the assertions about their sizes.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

fn entered(bytes: &[u8]) -> Result<Entered<'_>, Fault> {
    read(bytes, sha256, 1_062_000_000)
}

#[test]
fn what_was_written_is_read() {
    assert_eq!(
        entered(bytes_of(&record())),
        Ok(Entered {
            release: "7.3.4",
            decision: "verified: KEXEC_PURGATORY_VERIFY=y",
            engine: "shani-x4",
            bytes: 46_002_176,
            regions: 3,
            crash: false,
            verified: true,
            copy_ns: Some(6_000_000),
            verify_ns: Some(15_000_000),
            handoff_ns: Some(21_000_500),
            total_ns: Some(31_000_000),
            mismatch: None,
        })
    );
}

#[test]
fn what_was_not_written_is_not_known() {
    let facts = LoadFacts {
        flags: 1,
        ..facts()
    };
    let record = Record::new(facts, sha256(bytes_of(&facts)));
    let bytes = bytes_of(&record).to_vec();
    let entered = entered(&bytes).unwrap();

    assert!(entered.crash && !entered.verified);
    assert_eq!(entered.copy_ns, None);
    assert_eq!(entered.verify_ns, None);
    assert_eq!(entered.handoff_ns, None);
    assert_eq!(entered.total_ns, None);
    assert_eq!(entered.mismatch, None);
}

#[test]
fn times_that_make_no_sense_are_not_known() {
    let mut backwards = record();
    backwards.entered = Some(999_999_999).into();
    assert_eq!(entered(bytes_of(&backwards)).unwrap().copy_ns, None);

    let mut for_ever = record();
    for_ever.left = Some(0).into();
    for_ever.verified = Some(u64::MAX).into();
    assert_eq!(entered(bytes_of(&for_ever)).unwrap().verify_ns, None);

    let facts = LoadFacts {
        tsc_khz: 0,
        ..facts()
    };
    let mut unknown = Record::new(facts, sha256(bytes_of(&facts)));
    unknown.left = Some(1).into();
    unknown.entered = Some(2).into();
    assert_eq!(entered(bytes_of(&unknown)).unwrap().copy_ns, None);

    assert_eq!(read(bytes_of(&record()), sha256, 0).unwrap().total_ns, None);
    assert_eq!(read(bytes_of(&record()), sha256, 5).unwrap().total_ns, None);
}

/// For example, `left` is missing in a crash kernel that is entered after a mismatch.
#[test]
fn the_whole_time_needs_its_beginning() {
    let mut record = record();
    record.left = None.into();
    let bytes = bytes_of(&record).to_vec();
    let entered = entered(&bytes).unwrap();

    assert_eq!(entered.total_ns, None);
    assert_eq!(entered.copy_ns, None);
    assert_eq!(entered.verify_ns, Some(15_000_000));
}

#[test]
fn what_was_damaged_has_a_name() {
    for (number, name) in [
        (1, "segment"),
        (2, "kernel"),
        (3, "initramfs"),
        (4, "boot_params"),
        (7, "segment"),
        (u64::MAX, "segment"),
        (MISMATCH_PURGATORY, "purgatory"),
    ] {
        let mut record = record();
        record.mismatch = Some(number).into();
        assert_eq!(entered(bytes_of(&record)).unwrap().mismatch, Some(name));
    }
}

#[test]
fn a_record_of_another_version_is_not_read() {
    let mut bytes = bytes_of(&record()).to_vec();
    bytes[VERSION] += 1;
    assert_eq!(entered(&bytes), Err(Fault::Version));
    // The version decides, whatever the size is.
    bytes.truncate(FACTS);
    assert_eq!(entered(&bytes), Err(Fault::Version));
}

#[test]
fn every_length_is_judged() {
    let bytes = bytes_of(&record()).to_vec();
    for len in 0..bytes.len() {
        assert_eq!(entered(&bytes[..len]), Err(Fault::Size), "{len} bytes");
    }
    let longer = [bytes.as_slice(), &[0xff; 40]].concat();
    assert!(entered(&longer).is_ok());

    let mut says_less = bytes.clone();
    says_less[SIZE] -= 8;
    assert_eq!(entered(&says_less), Err(Fault::Size));
}

/// A flipped bit is noticed anywhere in the record.
#[test]
fn every_bit_counts() {
    let sound = bytes_of(&record()).to_vec();
    for bit in 0..8 * sound.len() {
        let mut bytes = sound.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(entered(&bytes).is_err(), "bit {bit}");
    }
}

/// Texts with characters that could garble the log are refused.
#[test]
fn texts_are_plain() {
    for text in ["7.3\n4", "7.3\x1b[2J", "7.3\u{e4}", "7.3\x7f"] {
        let mut facts = facts();
        facts.release[..text.len()].copy_from_slice(text.as_bytes());
        let record = Record::new(facts, sha256(bytes_of(&facts)));
        assert_eq!(entered(bytes_of(&record)), Err(Fault::Text), "{text:?}");
    }
    assert_eq!(text::<4>("a\nbcdef"), *b"abcd");
    assert_eq!(text::<4>("a"), *b"a\0\0\0");

    let facts = LoadFacts {
        engine: [b'x'; 16],
        ..facts()
    };
    let record = Record::new(facts, sha256(bytes_of(&facts)));
    assert_eq!(
        entered(bytes_of(&record)).unwrap().engine,
        "xxxxxxxxxxxxxxxx"
    );
}

#[test]
fn every_fault_has_a_message_of_its_own() {
    for (i, a) in FAULTS.iter().enumerate() {
        assert!(a.describe().len() > 10 && a.describe().is_ascii());
        for b in &FAULTS[i + 1..] {
            assert_ne!(a.describe(), b.describe());
        }
    }
}

proptest! {
    /// Any bytes are refused, without a panic.
    #[test]
    fn any_bytes_are_read_soundly(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        now in any::<u64>(),
    ) {
        prop_assert!(read(&bytes, sha256, now).is_err());
    }

    /// With a digest that matches, no texts are accepted that cannot be printed.
    #[test]
    fn any_record_is_read_soundly(
        head in prop::collection::vec(any::<u8>(), 208),
        stamps in prop::array::uniform5(any::<u64>()),
        now in any::<u64>(),
    ) {
        let mut record = record();
        let mut bytes = {
            record.left = Some(stamps[0]).into();
            record.entered = Some(stamps[1]).into();
            record.verified = Some(stamps[2]).into();
            record.handed_off = Some(stamps[3]).into();
            record.mismatch = Some(stamps[4]).into();
            bytes_of(&record).to_vec()
        };
        bytes[FACTS..LEFT].copy_from_slice(&head);
        let digest = sha256(&head);
        bytes[16..FACTS].copy_from_slice(&digest);
        if let Ok(entered) = read(&bytes, sha256, now) {
            let plain = |text: &str| text.chars().all(|c| (' '..='~').contains(&c));
            for text in [entered.release, entered.decision, entered.engine] {
                prop_assert!(plain(text));
            }
        }
    }
}
