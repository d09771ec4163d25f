// SPDX-License-Identifier: GPL-2.0-only

//! What `bare/probe.S` records: the state of the processor at the next kernel's first instruction.

use std::array;
use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::image::STATE;

/// Bytes that `bare/probe.S` fills, followed by those that `bare/boot.S` fills.
pub(super) const SIZE: usize = 248;

/// Names of the general registers, in the order of `bare/probe.S`.
const NAMES: [&str; 16] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// What `bare/probe.S` recorded.
pub struct State {
    /// The general registers with their names.
    pub general: [(&'static str, u64); NAMES.len()],
    pub rflags: u64,
    pub cr0: u64,
    pub cr3: u64,
    /// `CR3` when the purgatory was entered.
    pub cr3_before: u64,
    pub cr4: u64,
    pub efer: u64,
    /// `EFER` when the purgatory was entered.
    pub efer_before: u64,
    /// 0 on a processor that has no XCR0.
    pub xcr0: u64,
    /// The time stamp counter, which counts the machine's instructions in QEMU.
    pub time_stamp: u64,
    /// Limit and base of the IDT.
    pub idt: (u16, u64),
    /// `CS`, and then the data segments.
    pub selectors: [u16; 6],
    /// The address of the GDT.
    pub gdt: u64,
}

impl State {
    pub(super) fn read(memory: &File) -> Result<Self> {
        let mut bytes = [0; SIZE];
        memory
            .read_exact_at(&mut bytes, STATE)
            .context("cannot read the machine's memory")?;
        let word = |offset: usize| u64::from_le_bytes(array::from_fn(|i| bytes[offset + i]));
        let half = |offset: usize| u16::from_le_bytes(array::from_fn(|i| bytes[offset + i]));
        Ok(Self {
            general: array::from_fn(|i| (NAMES[i], word(8 * i))),
            rflags: word(128),
            cr0: word(136),
            cr3: word(144),
            cr3_before: word(232),
            cr4: word(152),
            efer: word(160),
            efer_before: word(240),
            xcr0: word(168),
            time_stamp: word(208),
            idt: (half(216), word(218)),
            selectors: array::from_fn(|i| half(176 + 2 * i)),
            gdt: word(194),
        })
    }
}
