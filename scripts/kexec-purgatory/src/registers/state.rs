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
    let printed = machine.monitor("info registers")?;
    let registers = machine.gdb.registers()?;
    let mut state = State::new();

    let (idt, idt_limit) = table(&printed, "IDT")?;
    let places = Places::new(&setup.symbols, idt, image)?;
    let place = |address| places.of(address);

    for &name in GENERAL {
        let value = registers.get(name)?;
        state.insert(name, place(value));
    }
    for &name in SEGMENTS {
        state.insert(name, line(&printed, name)?.join(" "));
    }
    for &name in OTHERS {
        state.insert(name, field(&printed, name)?.to_owned());
    }
    let (gdt, gdt_limit) = table(&printed, "GDT")?;
    state.insert("GDT", format!("limit {gdt_limit:#x}, {}", place(gdt)));
    state.insert("IDT", format!("limit {idt_limit:#x}, {}", place(idt)));
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

/// Makes the processor execute an instruction that reads the register; there is no other way to
/// read it.
fn xcr0(machine: &mut Machine) -> Result<String> {
    let before = machine.gdb.registers()?;
    let rip = before.get("rip")?;
    machine
        .gdb
        .set_register("cr4", before.get("cr4")? | CR4_OSXSAVE)?;
    machine.gdb.set_register("rcx", 0)?;
    machine.gdb.write(Space::Physical, rip, XGETBV)?;
    machine.gdb.step()?;
    let after = machine.gdb.registers()?;
    ensure!(
        after.get("rip")? == rip + XGETBV.len() as u64,
        "XGETBV was not executed"
    );
    let value = after.get("rdx")? << 32 | after.get("rax")?;
    Ok(format!("{value:x}"))
}

/// The words that follow `<name>=` at the start of a line, at most four. Blanks may follow the
/// name.
fn line<'a>(printed: &'a str, name: &str) -> Result<Vec<&'a str>> {
    printed
        .lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .trim_start()
                .strip_prefix('=')
                .map(|rest| rest.split_whitespace().take(4).collect())
        })
        .with_context(|| format!("QEMU does not print {name}"))
}

/// The value of a register that is printed as `<name>=<value>`.
fn field<'a>(printed: &'a str, name: &str) -> Result<&'a str> {
    printed
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .with_context(|| format!("QEMU does not print {name}"))
}

/// Base and limit of a descriptor table.
fn table(printed: &str, name: &str) -> Result<(u64, u64)> {
    let words = line(printed, name)?;
    let word = |index: usize| {
        let word = words.get(index).context("a table without a limit")?;
        Ok::<_, anyhow::Error>(u64::from_str_radix(word, 16)?)
    };
    Ok((word(0)?, word(1)?))
}

#[cfg(test)]
mod tests {
    use super::{field, line, table};

    const PRINTED: &str = "\
RIP=0000000017400200 RFL=00000046 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
ES =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
TR =0040 fffffe0000003000 00004087 00008b00 DPL=0 TSS64-busy
GDT=     0000000017fd8f10 0000001f
CR0=80000033 CR2=00000000004d1ff0 CR3=0000000000a63000 CR4=00000020
";

    #[test]
    fn registers_are_found() {
        assert_eq!(
            line(PRINTED, "ES").unwrap(),
            ["0018", "0000000000000000", "ffffffff", "00cf9300"]
        );
        assert_eq!(field(PRINTED, "CR4").unwrap(), "00000020");
        assert_eq!(field(PRINTED, "RFL").unwrap(), "00000046");
        assert_eq!(table(PRINTED, "GDT").unwrap(), (0x17fd_8f10, 0x1f));
        assert!(field(PRINTED, "DR7").is_err());
        assert!(line(PRINTED, "CS").is_err());
    }
}
