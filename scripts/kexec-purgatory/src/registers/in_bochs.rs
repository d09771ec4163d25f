// SPDX-License-Identifier: GPL-2.0-only

//! The same comparison in Bochs, for an engine that QEMU cannot emulate.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::state::{CR4_LA57, GENERAL, Places, State, page_tables};
use super::{ComparedKernels, Entered};
use crate::bochs::{self, BREAKPOINT};
use crate::bzimage::{BzImage, ENTRY_OFFSET};
use crate::engines::EngineKind;
use crate::fetch::DistributionKernel;
use crate::guest::{self, Loader, Plan, Purpose};
use crate::kernel::Built;
use crate::kexec;
use crate::layout::Layout;
use crate::machine::loaded::Loaded;
use crate::machine::symbols::Symbols;

const SEGMENTS: &[&str] = &["cs", "ds", "es", "ss", "fs", "gs", "ldtr", "tr"];

/// Without `CR2`, the address of the last page fault, which differs each time.
const CONTROL: &[&str] = &["CR0", "CR4", "EFER", "XCR0"];

const DEBUG: &[&str] = &["DR0", "DR1", "DR2", "DR3", "DR6", "DR7"];

/// Enters the same image from mainline's kernel and, verified with `engine`, from the overlay's.
/// Mainline's result comes first.
pub fn enter(
    layout: &Layout,
    kernels: &ComparedKernels,
    engine: EngineKind,
) -> Result<(Entered, Entered)> {
    let folder = tempfile::tempdir_in(&layout.build)?;
    let image = folder.path().join("kernel");
    let mut content = fs::read(kernels.verified.image())?;
    break_at_entry(&mut content)?;
    fs::write(&image, content)?;
    let next = DistributionKernel {
        image,
        release: kernels.verified.release()?,
    };
    let enter = |name: &str, kernel: &Built| -> Result<Entered> {
        let plan = Plan {
            loader: Loader::Debug,
            payload: 0,
            // TR holds the address of a structure of the kernel that was left.
            arguments: "nokaslr",
            ..Plan::new(Purpose::Enter)
        };
        let (guest, _) = guest::loading(layout, kernel, &next, &plan)?;
        let log_name = format!("registers-bochs-{name}");
        let (log, printed) = bochs::boot_to_breakpoint(layout, &log_name, kernel.image(), &guest)?;
        let found = kexec::work(&log, Purpose::Enter).map(|work| work.engine);
        let wanted = (name == engine.name()).then(|| name.to_owned());
        ensure!(found == wanted, "verified with {found:?}, not {wanted:?}");
        let sysfs = log.after("guest: verify_loaded ").context("no image")?;
        let loaded = Loaded::parse(&log, &format!("guest: verify_loaded {sysfs}"))?;
        let symbols = Symbols::read(&kernel.vmlinux())?;
        Ok(Entered {
            name: format!("{name} in Bochs"),
            allowed: &[],
            state: read(&printed, &symbols, &loaded).with_context(|| printed.clone())?,
        })
    };
    Ok((
        enter("mainline", &kernels.mainline)?,
        enter(engine.name(), &kernels.verified)?,
    ))
}

/// Replaces the first instruction at the 64-bit entry point of a bzImage by a breakpoint.
fn break_at_entry(kernel: &mut [u8]) -> Result<()> {
    let entry = BzImage::parse(kernel)?.setup_size() + ENTRY_OFFSET as usize;
    kernel
        .get_mut(entry..entry + BREAKPOINT.len())
        .context("the bzImage ends before its entry point")?
        .copy_from_slice(BREAKPOINT);
    Ok(())
}

/// Reads the state from what Bochs's debugger printed.
fn read(printed: &str, symbols: &Symbols, image: &Loaded) -> Result<State> {
    let (idt, idt_limit) = table(printed, "idtr")?;
    let (gdt, gdt_limit) = table(printed, "gdtr")?;
    let places = Places::new(symbols, idt, image)?;
    let mut state = State::new();
    for &name in GENERAL {
        // r8 : 00000000_00000000
        let digits = word_after(printed, &format!("{name:<3}: "))?.replace('_', "");
        state.insert(name, places.of(u64::from_str_radix(&digits, 16)?));
    }
    let flags = word_after(printed, "eflags: ")?;
    state.insert("eflags", flags.trim_end_matches(':').to_owned());
    for &name in SEGMENTS {
        // cs:0x0010, dh=0x00af9b00, dl=0x0000ffff, valid=1
        let line = rest_after(printed, &format!("{name}:"))?;
        state.insert(name, line.to_owned());
    }
    for &name in CONTROL.iter().chain(DEBUG) {
        // CR0=0x80000033: PG cd nw ac WP NE ET ts em MP PE
        state.insert(name, number(printed, name)?.to_owned());
    }
    state.insert("GDT", format!("limit {gdt_limit}, {}", places.of(gdt)));
    state.insert("IDT", format!("limit {idt_limit}, {}", places.of(idt)));
    let levels = match hexadecimal(number(printed, "CR4")?)? & CR4_LA57 {
        0 => 4,
        _ => 5,
    };
    // 0x0000000000000000-0x000000003fffffff -> 0x0000000000000000-0x000000003fffffff
    let one_to_one = printed.lines().filter_map(|line| {
        let (from, to) = line.split_once(" -> ")?;
        let (start, end) = from.trim().split_once('-')?;
        let (to, _) = to.split_once('-')?;
        let range = hexadecimal(start).ok()?..hexadecimal(end).ok()?.checked_add(1)?;
        (hexadecimal(to).ok()? == range.start).then_some(range)
    });
    let one_to_one: Vec<_> = one_to_one.collect();
    ensure!(!one_to_one.is_empty(), "nothing is mapped one to one");
    state.insert("CR3", page_tables(levels, &one_to_one));
    Ok(state)
}

/// The rest of the first line that begins with `prefix`.
fn rest_after<'a>(printed: &'a str, prefix: &str) -> Result<&'a str> {
    printed
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(prefix))
        .with_context(|| format!("Bochs does not print {prefix}"))
}

/// The next word after that.
fn word_after<'a>(printed: &'a str, prefix: &str) -> Result<&'a str> {
    let word = rest_after(printed, prefix)?.split_whitespace().next();
    word.with_context(|| format!("Bochs prints nothing after {prefix}"))
}

/// The value of a register that is printed as `<name>=<value>`.
fn number<'a>(printed: &'a str, name: &str) -> Result<&'a str> {
    let value = word_after(printed, &format!("{name}="))?;
    Ok(value.trim_end_matches([':', ',']))
}

/// Base and limit of a descriptor table: `gdtr:base=0x000000000000b000, limit=0x1f`.
fn table<'a>(printed: &'a str, name: &str) -> Result<(u64, &'a str)> {
    let line = rest_after(printed, &format!("{name}:base="))?;
    let (base, limit) = line.split_once(", limit=").context("no limit")?;
    Ok((hexadecimal(base)?, limit.trim_end()))
}

fn hexadecimal(number: &str) -> Result<u64> {
    let digits = number.strip_prefix("0x").context("no number")?;
    Ok(u64::from_str_radix(digits, 16)?)
}

#[cfg(test)]
mod tests {
    use super::{number, rest_after, table, word_after};

    const PRINTED: &str = "\
rax: 00000000_80050033
eflags: 0x00000046: id vip vif ac vm rf nt IOPL=0 of df if tf sf ZF af PF cf
cs:0x0010, dh=0x00af9b00, dl=0x0000ffff, valid=1
gdtr:base=0x0000000001279010, limit=0x2f
CR0=0x80050033: PG cd nw AC WP NE ET ts em MP PE
DR0=0x0000000000000000
";

    #[test]
    fn registers_are_found() {
        assert_eq!(word_after(PRINTED, "rax: ").unwrap(), "00000000_80050033");
        let code = "0x0010, dh=0x00af9b00, dl=0x0000ffff, valid=1";
        assert_eq!(rest_after(PRINTED, "cs:").unwrap(), code);
        assert_eq!(table(PRINTED, "gdtr").unwrap(), (0x127_9010, "0x2f"));
        assert_eq!(number(PRINTED, "CR0").unwrap(), "0x80050033");
        assert_eq!(number(PRINTED, "DR0").unwrap(), "0x0000000000000000");
        assert!(number(PRINTED, "CR4").is_err());
    }
}
