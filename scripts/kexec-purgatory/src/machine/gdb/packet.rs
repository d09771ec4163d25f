// SPDX-License-Identifier: GPL-2.0-only

//! Packets: `$<payload>#<sum>`, where the sum is that of the payload's bytes in two hexadecimal
//! digits.

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

#[cfg(test)]
mod tests {
    use super::{frame, parse};

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
}
