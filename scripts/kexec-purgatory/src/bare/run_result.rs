// SPDX-License-Identifier: GPL-2.0-only

//! The result of a run in either emulator.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::{Context, Error, Result};

use super::probe::State;

/// Megabytes of memory.
pub const MEMORY: u64 = 128;

/// How often to check a machine, and when to give up on it. In QEMU a run takes a second. In Bochs
/// some digests take twenty seconds of processor time, and the processor may have other work.
pub const POLL: Duration = Duration::from_millis(20);
pub const HANGS: Duration = Duration::from_secs(600);

/// The address of `bare/boot.S`.
pub const BOOT: u64 = 0x10_0000;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// In the next kernel.
    Entered,
    /// The processor is halted with interrupts off.
    Halted,
    /// It is halted with interrupts on, and continues at the next one.
    Sleeps,
    /// A device of the machine reset it.
    Reset,
    TripleFault,
    /// This was written to a port that ends the machine. Bit 7 is lost, and does not count.
    Written(u8),
}

/// The error of a run that did not end within [`HANGS`]. It depends on how busy this machine is, so
/// it says neither that the purgatory is right nor that it is wrong.
pub fn gave_up(emulator: &str) -> Error {
    let text = format!("{emulator} did not end within {} s", HANGS.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text).into()
}

/// A run that has ended.
pub struct Run {
    pub ending: Ending,
    /// The output on the serial console, with the line ends of a terminal.
    pub printed: String,
    /// The emulator's log; for QEMU: [`LOGGED`].
    pub log: String,
    /// The processor's state when the next kernel was entered; without meaning if it was not.
    pub state: State,
    pub memory: File,
}

impl Run {
    /// The mnemonics of the purgatory's instructions that QEMU executed. Each block appears once.
    pub fn executed(&self) -> impl Iterator<Item = &str> {
        // 0x01000c06:  0f 31                    rdtsc
        let is_byte = |word: &str| word.len() == 2 && u8::from_str_radix(word, 16).is_ok();
        let instructions = self.log.lines().filter_map(|line| line.split_once(": "));
        instructions
            .filter(|(address, _)| address.starts_with("0x"))
            .filter_map(move |(_, rest)| rest.split_whitespace().find(|word| !is_byte(word)))
    }

    /// Reads the machine's memory as it is after the run.
    pub fn memory(&self, address: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.memory
            .read_exact_at(&mut bytes, address)
            .context("cannot read the machine's memory")?;
        Ok(bytes)
    }
}
