// SPDX-License-Identifier: GPL-2.0-only

//! Computes from its machine code how much stack a program can need at most.
//!
//! The bound holds for what a compiler generates from functions without stack allocation at run
//! time. In these, the stack pointer has one value, relative to the function's start, at each
//! instruction, so the function uses no more than the sum of all that is subtracted from it.
//! Recursion, calls through pointers and any other change of the stack pointer are errors.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
use object::{File, Object, ObjectSection, ObjectSymbol};

/// Bytes that a call puts on the stack.
const RETURN_ADDRESS: u64 = 8;

/// A program's functions.
pub struct Program<'a> {
    code: &'a [u8],
    /// Address of the first byte of `code`.
    start: u64,
    /// By start address. A function ends where the next one starts.
    functions: BTreeMap<u64, Function<'a>>,
}

struct Function<'a> {
    name: &'a str,
    range: Range<u64>,
}

/// The stack use of one function.
#[derive(Default)]
struct Frame {
    /// Bytes that it takes itself.
    own: u64,
    calls: Vec<u64>,
    /// Jumps to other functions, whose frames replace its own.
    jumps: Vec<u64>,
}

impl<'a> Program<'a> {
    /// The functions in the section `.text` of a linked program.
    pub fn of_elf(file: &'a File<'a>) -> Result<Self> {
        let text = file.section_by_name(".text").context("no .text")?;
        let symbols = file
            .symbols()
            .filter(|symbol| symbol.section_index() == Some(text.index()))
            .filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?)));
        Ok(Self::new(text.data()?, text.address(), symbols))
    }

    fn new(code: &'a [u8], start: u64, symbols: impl IntoIterator<Item = (u64, &'a str)>) -> Self {
        let symbols: BTreeMap<u64, &str> = symbols.into_iter().collect();
        let ends = symbols.keys().skip(1).copied();
        let ends: Vec<u64> = ends.chain([start + code.len() as u64]).collect();
        let functions = symbols
            .into_iter()
            .zip(ends)
            .map(|((start, name), end)| {
                let range = start..end;
                (start, Function { name, range })
            })
            .collect();
        Self {
            code,
            start,
            functions,
        }
    }

    /// The maximum number of bytes of stack in use from the start of the function called `name`.
    /// This function may set the stack pointer and leave the program.
    pub fn bound(&self, name: &str) -> Result<u64> {
        let (&root, _) = self
            .functions
            .iter()
            .find(|(_, function)| function.name == name)
            .with_context(|| format!("no function {name}"))?;
        self.bound_of(root, root, &mut Vec::new(), &mut BTreeMap::new())
    }

    fn bound_of(
        &self,
        address: u64,
        root: u64,
        callers: &mut Vec<u64>,
        known: &mut BTreeMap<u64, u64>,
    ) -> Result<u64> {
        if let Some(bound) = known.get(&address) {
            return Ok(*bound);
        }
        let function = self
            .functions
            .get(&address)
            .with_context(|| format!("{address:#x} is called, but is no function"))?;
        ensure!(
            !callers.contains(&address),
            "{} is recursive",
            function.name
        );
        let frame = self
            .frame(function, address == root)
            .with_context(|| function.name.to_owned())?;

        callers.push(address);
        let mut callees = 0;
        for callee in frame.calls {
            let bound = self.bound_of(callee, root, callers, known)?;
            callees = callees.max(bound + RETURN_ADDRESS);
        }
        for callee in frame.jumps {
            callees = callees.max(self.bound_of(callee, root, callers, known)?);
        }
        callers.pop();

        let bound = frame.own + callees;
        known.insert(address, bound);
        Ok(bound)
    }

    fn frame(&self, function: &Function<'_>, is_root: bool) -> Result<Frame> {
        let Range { start, end } = function.range;
        let code = &self.code[(start - self.start) as usize..(end - self.start) as usize];
        let mut frame = Frame::default();
        for instruction in Decoder::with_ip(64, code, start, DecoderOptions::NONE) {
            ensure!(!instruction.is_invalid(), "an invalid instruction");
            match instruction.flow_control() {
                FlowControl::Call => frame.calls.push(instruction.near_branch_target()),
                FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                    let target = instruction.near_branch_target();
                    if !function.range.contains(&target) {
                        frame.jumps.push(target);
                    }
                }
                FlowControl::IndirectBranch if is_root => {}
                FlowControl::IndirectCall | FlowControl::IndirectBranch => {
                    bail!("{:#x}: a jump through a pointer", instruction.ip())
                }
                _ => frame.own += taken(&instruction, is_root)?,
            }
        }
        Ok(frame)
    }
}

/// Bytes that an instruction takes from the stack; 0 if it gives some back.
fn taken(instruction: &Instruction, is_root: bool) -> Result<u64> {
    let moved = instruction.stack_pointer_increment();
    if moved < 0 {
        return Ok(moved.unsigned_abs().into());
    }
    let changes_it = instruction.op_count() > 0
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().full_register() == Register::RSP;
    if !changes_it {
        return Ok(0);
    }
    let number = match instruction.op1_kind() {
        OpKind::Immediate8to64 | OpKind::Immediate32to64 => Some(instruction.immediate(1) as i64),
        _ => None,
    };
    match (instruction.mnemonic(), number) {
        (Mnemonic::Cmp | Mnemonic::Test | Mnemonic::Push, _) => Ok(0),
        (Mnemonic::Sub, Some(bytes)) => Ok(bytes.max(0).unsigned_abs()),
        (Mnemonic::Add, Some(bytes)) => Ok(bytes.min(0).unsigned_abs()),
        // An alignment takes at most one byte less than the alignment.
        (Mnemonic::And, Some(mask)) => Ok(mask.unsigned_abs() - 1),
        // Restores the stack pointer from a frame pointer, or near it.
        (Mnemonic::Mov, None) if instruction.op1_register() == Register::RBP => Ok(0),
        (Mnemonic::Lea, None) if instruction.memory_base() == Register::RBP => Ok(0),
        (Mnemonic::Lea, None) if is_root && instruction.is_ip_rel_memory_operand() => Ok(0),
        _ => bail!("{:#x}: the stack pointer is computed", instruction.ip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH_RBX: &[u8] = &[0x53];
    const SUB_RSP_32: &[u8] = &[0x48, 0x83, 0xec, 0x20];
    const AND_RSP_64: &[u8] = &[0x48, 0x83, 0xe4, 0xc0];
    const SUB_RSP_RAX: &[u8] = &[0x48, 0x29, 0xc4];
    const CALL_RAX: &[u8] = &[0xff, 0xd0];
    const RET: &[u8] = &[0xc3];

    /// `call` or `jmp`, from that address to that one.
    fn branch(opcode: u8, from: u64, to: u64) -> Vec<u8> {
        let distance = (to as i64 - from as i64 - 5) as i32;
        [&[opcode], &distance.to_le_bytes()[..]].concat()
    }

    fn bound(functions: &[(u64, &str, Vec<u8>)]) -> Result<u64> {
        let mut code = Vec::new();
        for (start, _, bytes) in functions {
            code.resize(*start as usize, 0x90);
            code.extend(bytes);
        }
        let symbols = functions.iter().map(|(start, name, _)| (*start, *name));
        Program::new(&code, 0, symbols).bound("main")
    }

    #[test]
    fn frames_add_up_along_the_deepest_path() {
        let main = [
            PUSH_RBX,
            SUB_RSP_32,
            &branch(0xe8, 5, 0x40),
            &branch(0xe8, 10, 0x80),
            RET,
        ];
        let functions = [
            (0, "main", main.concat()),
            (0x40, "shallow", RET.to_vec()),
            (0x80, "deep", [AND_RSP_64, RET].concat()),
        ];
        assert_eq!(bound(&functions).unwrap(), 8 + 32 + 8 + 63);
    }

    #[test]
    fn a_jump_leaves_no_return_address() {
        let functions = [
            (0, "main", branch(0xe9, 0, 0x40)),
            (0x40, "other", [SUB_RSP_32, RET].concat()),
        ];
        assert_eq!(bound(&functions).unwrap(), 32);
    }

    #[test]
    fn what_has_no_bound_is_an_error() {
        for code in [
            branch(0xe8, 0, 0),
            branch(0xe8, 0, 7),
            CALL_RAX.to_vec(),
            SUB_RSP_RAX.to_vec(),
        ] {
            assert!(bound(&[(0, "main", code)]).is_err());
        }
    }
}
