// SPDX-License-Identifier: GPL-2.0-only

//! Packets: `$<payload>#<sum>`, where the sum is that of the payload's bytes in two hexadecimal
//! digits.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};

pub const ACKNOWLEDGED: u8 = b'+';
pub const INTERRUPT: u8 = 0x03;

/// The next byte is sent with its bit 5 flipped.
const ESCAPE: u8 = b'}';
const ESCAPED: u8 = 0x20;

/// A packet with that payload, which has no character that must be escaped.
pub fn frame(payload: &str) -> Vec<u8> {
    format!("${payload}#{:02x}", sum(payload.as_bytes())).into_bytes()
}

/// The payload of the packet at the start of `bytes`, and the packet's length; None if the packet
/// is incomplete.
pub fn parse(bytes: &[u8]) -> Result<Option<(String, usize)>> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    ensure!(first == b'$', "not a packet of the gdb stub: {first:#x}");
    let Some(length) = bytes.iter().position(|&byte| byte == b'#') else {
        return Ok(None);
    };
    let Some(digits) = bytes.get(length + 1..length + 3) else {
        return Ok(None);
    };
    let raw = &bytes[1..length];
    ensure!(
        format!("{:02x}", sum(raw)).as_bytes() == digits,
        "a packet of the gdb stub has a bad sum"
    );
    let mut payload = Vec::with_capacity(raw.len());
    let mut raw = raw.iter();
    while let Some(&byte) = raw.next() {
        payload.push(match byte {
            ESCAPE => raw.next().context("an escape at the end")? ^ ESCAPED,
            _ => byte,
        });
    }
    Ok(Some((String::from_utf8(payload)?, length + 3)))
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads hexadecimal digits, two for each byte.
pub fn bytes(hex: &str) -> Result<Vec<u8>> {
    ensure!(hex.len().is_multiple_of(2), "the gdb stub said {hex:?}");
    hex.as_bytes()
        .chunks_exact(2)
        .map(|pair| {
            str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .with_context(|| format!("not hexadecimal: {hex:.40}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{bytes, frame, hex, parse};

    #[test]
    fn a_packet_is_read_as_it_was_written() {
        let mut sent = frame("m1000,8");
        sent.extend(b"+");
        assert_eq!(sent, b"$m1000,8#92+");
        assert_eq!(parse(&sent).unwrap(), Some(("m1000,8".to_owned(), 11)));
    }

    #[test]
    fn part_of_a_packet_is_waited_for() {
        let sent = frame("OK");
        for length in 0..sent.len() {
            assert_eq!(parse(&sent[..length]).unwrap(), None);
        }
    }

    #[test]
    fn a_damaged_packet_is_refused() {
        assert!(parse(b"$OK#9b").is_err());
        assert!(parse(b"OK#9a").is_err());
    }

    #[test]
    fn an_escaped_byte_is_that_byte() {
        assert_eq!(parse(b"$a}\x03#e1").unwrap().unwrap().0, "a#");
    }

    #[test]
    fn hexadecimal_is_read_as_it_was_written() {
        assert_eq!(hex(&[0, 0x7f, 0xff]), "007fff");
        assert_eq!(bytes("007fff").unwrap(), [0, 0x7f, 0xff]);
        assert!(bytes("E01").is_err());
        assert!(bytes("xx").is_err());
    }
}
