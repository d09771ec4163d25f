// SPDX-License-Identifier: GPL-2.0-only

//! Checks whether two programs have the same machine code for a function and for all that it calls.
//!
//! Linked programs place functions and constants differently. A call must go to the function of the
//! same name, and a constant must have the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use object::{File, Object, ObjectSection, ObjectSymbol};

/// Bytes to compare of a constant to which the compiler gave no name and thus no size. Some have
/// one byte.
const UNNAMED: usize = 1;

/// A linked program.
struct Program<'a> {
    file: &'a File<'a>,
    /// Start of the function or constant by its name, and the reverse.
    symbols: BTreeMap<&'a str, u64>,
    names: BTreeMap<u64, &'a str>,
}

impl<'a> Program<'a> {
    fn new(file: &'a File<'a>) -> Self {
        let symbols: BTreeMap<&str, u64> = file
            .symbols()
            .filter(|symbol| symbol.section_index().is_some())
            .filter_map(|symbol| Some((symbol.name().ok()?, symbol.address())))
            .filter(|(name, _)| !name.is_empty())
            .collect();
        let names = symbols.iter().map(|(&name, &at)| (at, name)).collect();
        Self {
            file,
            symbols,
            names,
        }
    }

    /// The instructions of a function.
    fn function(&self, name: &str) -> Result<Vec<Instruction>> {
        let &start = self.symbols.get(name).context("not in both programs")?;
        let code = self.bytes(start, size(self, name)?)?;
        let decoder = Decoder::with_ip(64, code, start, DecoderOptions::NONE);
        Ok(decoder.into_iter().collect())
    }

    fn bytes(&self, address: u64, length: usize) -> Result<&'a [u8]> {
        for section in self.file.sections() {
            if (section.address()..section.address() + section.size()).contains(&address) {
                let data = section.data_range(address, length as u64)?;
                return data.with_context(|| format!("{address:#x} is cut off"));
            }
        }
        bail!("nothing lies at {address:#x}")
    }
}

/// Compares the code of `root` and of what it calls. Returns the names of the functions. Fails if
/// they differ.
pub fn compare<'a>(
    one: &'a File<'a>,
    other: &'a File<'a>,
    root: &'a str,
) -> Result<BTreeSet<&'a str>> {
    let (one, other) = (Program::new(one), Program::new(other));
    let mut compared = BTreeSet::new();
    let mut waiting = vec![root];
    while let Some(name) = waiting.pop() {
        if compared.insert(name) {
            let called = same(&one, &other, name).with_context(|| name.to_owned())?;
            waiting.extend(called);
        }
    }
    Ok(compared)
}

/// Compares a function. Returns the functions that it calls.
fn same<'a>(one: &Program<'a>, other: &Program<'a>, name: &str) -> Result<Vec<&'a str>> {
    let (ours, theirs) = (one.function(name)?, other.function(name)?);
    let mut called = Vec::new();
    ensure!(ours.len() == theirs.len(), "of another length");
    for (a, b) in ours.iter().zip(&theirs) {
        let at = format!("{:#x} and {:#x}", a.ip(), b.ip());
        ensure!(
            a.code() == b.code() && a.len() == b.len(),
            "{at}: another instruction"
        );
        match a.flow_control() {
            FlowControl::Call
            | FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch => {
                let (to, there) = (a.near_branch_target(), b.near_branch_target());
                let within = ours.iter().any(|instruction| instruction.ip() == to);
                if within {
                    let same = to.wrapping_sub(a.ip()) == there.wrapping_sub(b.ip());
                    ensure!(same, "{at}: another jump");
                } else {
                    let callee = one
                        .names
                        .get(&to)
                        .with_context(|| format!("{at}: no function"))?;
                    ensure!(
                        other.names.get(&there) == Some(callee),
                        "{at}: another function"
                    );
                    called.push(*callee);
                }
            }
            _ if a.is_ip_rel_memory_operand() => {
                ensure!(registers(a) == registers(b), "{at}: other registers");
                let (from, there) = (a.memory_displacement64(), b.memory_displacement64());
                let length = match a.mnemonic() {
                    Mnemonic::Lea => {
                        let constant = one.names.get(&from);
                        let same = other.names.get(&there) == constant;
                        ensure!(same, "{at}: another constant");
                        constant.map_or(Ok(UNNAMED), |name| size(one, name))?
                    }
                    _ => a.memory_size().size(),
                };
                let same = one.bytes(from, length)? == other.bytes(there, length)?;
                ensure!(same, "{at}: other data");
            }
            _ => {
                let same = one.bytes(a.ip(), a.len())? == other.bytes(b.ip(), b.len())?;
                ensure!(same, "{at}: other operands");
            }
        }
    }
    Ok(called)
}

/// The registers and immediates of an instruction with an operand in memory.
fn registers(instruction: &Instruction) -> Vec<(Register, Option<u64>)> {
    (0..instruction.op_count())
        .map(|operand| match instruction.op_kind(operand) {
            OpKind::Register => (instruction.op_register(operand), None),
            OpKind::Memory => (instruction.op_mask(), None),
            _ => (Register::None, Some(instruction.immediate(operand))),
        })
        .collect()
}

/// The size of a function or a constant in bytes, from its symbol.
fn size(program: &Program<'_>, name: &str) -> Result<usize> {
    let symbol = program.file.symbol_by_name(name);
    let size = symbol.context("no such symbol")?.size();
    ensure!(size > 0, "{name} has no size");
    Ok(size as usize)
}
