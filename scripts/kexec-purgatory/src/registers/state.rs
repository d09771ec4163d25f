// SPDX-License-Identifier: GPL-2.0-only

//! The state of a processor at the first instruction of the next kernel.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, ensure};

use super::paging;
use crate::machine::Machine;
use crate::machine::gdb::Space;
use crate::machine::guest_setup::GuestSetup;
use crate::machine::loaded::{Loaded, PAGE};
use crate::machine::monitor::{field, line, table};
use crate::machine::symbols::Symbols;

pub const CR4_LA57: u64 = 1 << 12;
const CR4_OSXSAVE: u64 = 1 << 18;

const XGETBV: &[u8] = &[0x0f, 0x01, 0xd0];

/// Registers and their values, as printed. An address is described by what is there, because images
/// are at different places in different kernels.
pub type State = BTreeMap<&'static str, String>;

pub const GENERAL: &[&str] = &[
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15", "rip",
];

/// The names in QEMU's monitor, which prints selector, base, limit and flags.
const SEGMENTS: &[&str] = &["CS", "DS", "ES", "SS", "FS", "GS", "LDT", "TR"];

/// Without `CR2`, the address of the last page fault, which differs each time.
const OTHERS: &[&str] = &[
    "RFL", "CR0", "CR4", "EFER", "DR0", "DR1", "DR2", "DR3", "DR6", "DR7",
];

/// Reads the state of a machine that is stopped at the next kernel's entry. The machine cannot be
/// used afterwards.
pub fn read(setup: &GuestSetup<'_>, machine: &mut Machine, image: &Loaded) -> Result<State> {
    let printed = machine.qmp.monitor("info registers")?;
    let registers = machine.gdb.registers()?;
    let mut state = State::new();

    let (idt, idt_limit) = table(&printed, "IDT")?;
    let places = Places::new(&setup.symbols, idt, image)?;

    for &name in GENERAL {
        state.insert(name, places.of(registers.get(name)?));
    }
    for &name in SEGMENTS {
        state.insert(name, line(&printed, name)?.join(" "));
    }
    for &name in OTHERS {
        state.insert(name, field(&printed, name)?.to_owned());
    }
    let (gdt, gdt_limit) = table(&printed, "GDT")?;
    state.insert("GDT", format!("limit {gdt_limit:#x}, {}", places.of(gdt)));
    state.insert("IDT", format!("limit {idt_limit:#x}, {}", places.of(idt)));
    for (name, selector) in [("GDT[0x10]", 0x10), ("GDT[0x18]", 0x18)] {
        let descriptor = machine.gdb.read_u64(Space::Physical, gdt + selector)?;
        state.insert(name, format!("{descriptor:016x}"));
    }

    let levels = if registers.get("cr4")? & CR4_LA57 == 0 {
        4
    } else {
        5
    };
    let mapped = paging::identity(registers.get("cr3")?, levels, &mut |table| {
        let page = machine.gdb.read(Space::Physical, table, PAGE as usize)?;
        let words = page.as_chunks().0.iter();
        Ok(words.map(|word| u64::from_le_bytes(*word)).collect())
    })?;
    for segment in &image.segments {
        let memory = segment.start..segment.start + segment.memory;
        ensure!(
            mapped
                .iter()
                .any(|range| range.start <= memory.start && memory.end <= range.end),
            "{} is not mapped one to one, writable and executable",
            segment.kind.name()
        );
    }
    state.insert("CR3", page_tables(levels, &mapped));
    state.insert("XCR0", xcr0(machine)?);
    Ok(state)
}

/// What is where in the machine's memory.
pub struct Places<'a> {
    /// Physical address of the control page.
    control: u64,
    image: &'a Loaded,
}

impl<'a> Places<'a> {
    /// `symbols` are those of the kernel that was left, `idt` is the address of the IDT. Every
    /// kernel leaves with its IDT in the control page, so the IDT shows where that page is.
    pub fn new(symbols: &Symbols, idt: u64, image: &'a Loaded) -> Result<Self> {
        let start = symbols.address("__relocate_kernel_start")?;
        let offset = symbols.address("kexec_debug_idt")? - start;
        let control = idt
            .checked_sub(offset)
            .filter(|control| control.is_multiple_of(PAGE))
            .context("the IDT is not that of relocate_kernel")?;
        Ok(Self { control, image })
    }

    /// Describes an address.
    pub fn of(&self, address: u64) -> String {
        // The stack of relocate_kernel ends at the end of the page.
        match (self.control..=self.control + PAGE).contains(&address) {
            true => "in the control page".to_owned(),
            false => self.image.place(address),
        }
    }
}

/// Describes page tables by their levels and by what they map one to one.
pub fn page_tables(levels: u32, mapped: &[Range<u64>]) -> String {
    let mapped: Vec<String> = mapped
        .iter()
        .map(|range| format!("{:#x}-{:#x}", range.start, range.end - 1))
        .collect();
    format!("{levels} levels, one to one {}", mapped.join(" "))
}

/// Reads the register with an instruction; there is no other way to read it.
fn xcr0(machine: &mut Machine) -> Result<String> {
    let cr4 = machine.gdb.registers()?.get("cr4")?;
    machine.gdb.set_register("cr4", cr4 | CR4_OSXSAVE)?;
    machine.gdb.set_register("rcx", 0)?;
    let value = machine.gdb.execute(XGETBV)?;
    Ok(format!("{value:x}"))
}
