// SPDX-License-Identifier: GPL-2.0-only

//! The state of the processor at the next kernel's first instruction.

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
    bytes: [u8; SIZE],
    memory: File,
}

impl State {
    pub(super) fn read(memory: &File) -> Result<Self> {
        let mut bytes = [0; SIZE];
        memory
            .read_exact_at(&mut bytes, STATE)
            .context("cannot read the machine's memory")?;
        let memory = memory.try_clone()?;
        Ok(Self { bytes, memory })
    }

    /// The general registers with their names.
    pub fn general(&self) -> impl Iterator<Item = (&'static str, u64)> {
        NAMES
            .into_iter()
            .enumerate()
            .map(|(i, name)| (name, self.word(8 * i)))
    }

    pub fn rflags(&self) -> u64 {
        self.word(128)
    }

    pub fn cr0(&self) -> u64 {
        self.word(136)
    }

    pub fn cr3(&self) -> u64 {
        self.word(144)
    }

    /// `CR3` when the purgatory was entered.
    pub fn cr3_before(&self) -> u64 {
        self.word(232)
    }

    pub fn cr4(&self) -> u64 {
        self.word(152)
    }

    pub fn efer(&self) -> u64 {
        self.word(160)
    }

    /// `EFER` when the purgatory was entered.
    pub fn efer_before(&self) -> u64 {
        self.word(240)
    }

    /// 0 on a processor that has no XCR0.
    pub fn xcr0(&self) -> u64 {
        self.word(168)
    }

    /// The time stamp counter, which counts the machine's instructions in QEMU.
    pub fn time_stamp(&self) -> u64 {
        self.word(208)
    }

    /// Limit and base of the IDT.
    pub fn idt(&self) -> (u16, u64) {
        (self.half(216), self.word(218))
    }

    /// `CS`, and then the data segments.
    pub fn selectors(&self) -> [u16; 6] {
        std::array::from_fn(|i| self.half(176 + 2 * i))
    }

    /// The descriptor of a selector in the active GDT.
    pub fn descriptor(&self, selector: u16) -> Result<u64> {
        let mut bytes = [0; 8];
        let base = self.word(194);
        self.memory
            .read_exact_at(&mut bytes, base + u64::from(selector & !7))
            .with_context(|| format!("no GDT at {base:#x}"))?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn word(&self, offset: usize) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|i| self.bytes[offset + i]))
    }

    fn half(&self, offset: usize) -> u16 {
        u16::from_le_bytes(std::array::from_fn(|i| self.bytes[offset + i]))
    }
}
