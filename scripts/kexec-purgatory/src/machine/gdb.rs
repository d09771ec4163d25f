// SPDX-License-Identifier: GPL-2.0-only

//! A client of QEMU's gdb stub.
//!
//! It uses gdb's remote serial protocol, appendix E of gdb's manual, with QEMU's own extension for
//! physical addresses.

mod packet;
mod stub_registers;

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail, ensure};

pub use self::stub_registers::Registers;
use self::stub_registers::{RegisterLayout, TARGET};

/// Bytes of memory in one packet, as twice as many hexadecimal digits; older stubs take packets of
/// 4096.
const CHUNK: usize = 1024;

/// The address space of a command.
#[derive(Clone, Copy, PartialEq)]
pub enum Space {
    /// As the stopped processor translates them.
    Virtual,
    Physical,
}

/// What a breakpoint waits for.
#[derive(Clone, Copy)]
pub enum Break {
    /// The instruction at a virtual address, before it runs. This is a hardware breakpoint: memory
    /// does not change.
    Execute = 1,
    /// A write of one byte at a virtual address, after it happened.
    Write = 2,
}

/// A connection to the stub. The processor is stopped, except from [`Gdb::resume`] until
/// [`Gdb::has_stopped`] returns true.
pub struct Gdb {
    stream: UnixStream,
    received: Vec<u8>,
    layout: RegisterLayout,
    space: Space,
}

impl Gdb {
    pub fn connect(stream: UnixStream) -> Result<Self> {
        let mut gdb = Self {
            stream,
            received: Vec::new(),
            layout: RegisterLayout::default(),
            space: Space::Virtual,
        };
        let features = gdb.ask("qSupported:multiprocess+")?;
        ensure!(
            features.contains("qXfer:features:read+"),
            "the gdb stub does not describe its registers"
        );
        let target = gdb.feature(TARGET)?;
        for file in stub_registers::included(&target)? {
            let text = gdb.feature(&file)?;
            gdb.layout.add(&text)?;
        }
        Ok(gdb)
    }

    pub fn registers(&mut self) -> Result<Registers> {
        let reply = self.ask("g")?;
        let bytes = hex::decode(&reply);
        let bytes = bytes.with_context(|| format!("the gdb stub said {reply:.40?}"))?;
        self.layout.read(&bytes)
    }

    pub fn set_register(&mut self, name: &str, value: u64) -> Result<()> {
        let (number, size) = self.layout.find(name)?;
        let bytes = value.to_le_bytes();
        let value = bytes.get(..size).context("a register of over 64 bits")?;
        self.order(&format!("P{number:x}={}", hex::encode(value)))
    }

    pub fn read(&mut self, space: Space, address: u64, length: usize) -> Result<Vec<u8>> {
        self.select(space)?;
        let mut memory = Vec::with_capacity(length);
        while memory.len() < length {
            let at = address + memory.len() as u64;
            let size = (length - memory.len()).min(CHUNK);
            let reply = self.ask(&format!("m{at:x},{size:x}"))?;
            let bytes = hex::decode(&reply).with_context(|| {
                format!("cannot read memory at {at:#x}: the gdb stub said {reply:.40?}")
            })?;
            ensure!(bytes.len() == size, "memory ends at {at:#x}");
            memory.extend(bytes);
        }
        Ok(memory)
    }

    /// Reads a number of eight bytes, least significant first.
    pub fn read_u64(&mut self, space: Space, address: u64) -> Result<u64> {
        let bytes = self.read(space, address, size_of::<u64>())?;
        Ok(u64::from_le_bytes(bytes[..].try_into()?))
    }

    /// Writes memory. QEMU discards its translation of the memory, as it does when the guest
    /// writes.
    pub fn write(&mut self, space: Space, address: u64, bytes: &[u8]) -> Result<()> {
        self.select(space)?;
        for (chunk, at) in bytes.chunks(CHUNK).zip((address..).step_by(CHUNK)) {
            self.order(&format!("M{at:x},{:x}:{}", chunk.len(), hex::encode(chunk)))
                .with_context(|| format!("cannot write memory at {at:#x}"))?;
        }
        Ok(())
    }

    pub fn insert(&mut self, kind: Break, address: u64) -> Result<()> {
        self.order(&format!("Z{},{address:x},1", kind as u8))
    }

    pub fn remove(&mut self, kind: Break, address: u64) -> Result<()> {
        self.order(&format!("z{},{address:x},1", kind as u8))
    }

    /// Lets the processor run.
    pub fn resume(&mut self) -> Result<()> {
        self.send("c")
    }

    /// Runs one instruction.
    pub fn step(&mut self) -> Result<()> {
        self.send("s")?;
        while !self.has_stopped()? {}
        Ok(())
    }

    /// Makes the stopped processor execute an instruction that its program does not have, which
    /// changes nothing but `%rax` and `%rdx`. Restores everything, and returns the new `%edx:%eax`.
    pub fn execute(&mut self, instruction: &[u8]) -> Result<u64> {
        let before = self.registers()?;
        let rip = before.get("rip")?;
        let code = self.read(Space::Virtual, rip, instruction.len())?;
        self.write(Space::Virtual, rip, instruction)?;
        self.step()?;
        let after = self.registers()?;
        self.write(Space::Virtual, rip, &code)?;
        for register in ["rip", "rax", "rdx"] {
            self.set_register(register, before.get(register)?)?;
        }
        ensure!(
            after.get("rip")? == rip + instruction.len() as u64,
            "the processor did not execute {instruction:x?} at {rip:#x}"
        );
        Ok(after.get("rdx")? << 32 | after.get("rax")?)
    }

    /// Asks the running processor to stop.
    pub fn interrupt(&mut self) -> Result<()> {
        self.stream.write_all(&[packet::INTERRUPT])?;
        Ok(())
    }

    /// Reads what the stub has sent, and waits if there is nothing. Returns whether the processor
    /// has stopped.
    pub fn has_stopped(&mut self) -> Result<bool> {
        self.fill()?;
        match self.next()? {
            None => Ok(false),
            Some(reply) if reply.starts_with(['T', 'S']) => Ok(true),
            Some(reply) => bail!("the gdb stub said {reply:?}, not that the processor stopped"),
        }
    }

    fn select(&mut self, space: Space) -> Result<()> {
        if self.space != space {
            let physical = u8::from(space == Space::Physical);
            self.order(&format!("Qqemu.PhyMemMode:{physical}"))?;
            self.space = space;
        }
        Ok(())
    }

    /// Reads a file of the target's description, which comes in pieces.
    fn feature(&mut self, file: &str) -> Result<String> {
        let mut text = String::new();
        loop {
            let reply = self.ask(&format!(
                "qXfer:features:read:{file}:{:x},{CHUNK:x}",
                text.len()
            ))?;
            let (more, piece) = reply.split_at_checked(1).context("an empty reply")?;
            text += piece;
            match more {
                "m" => {}
                "l" => return Ok(text),
                _ => bail!("the gdb stub has no {file}"),
            }
        }
    }

    fn order(&mut self, command: &str) -> Result<()> {
        match self.ask(command)?.as_str() {
            "OK" => Ok(()),
            reply => bail!("the gdb stub refused {command:.40}: {reply:?}"),
        }
    }

    fn ask(&mut self, command: &str) -> Result<String> {
        self.send(command)?;
        loop {
            if let Some(packet) = self.next()? {
                return Ok(packet);
            }
            self.fill()?;
        }
    }

    fn send(&mut self, command: &str) -> Result<()> {
        self.stream
            .write_all(&packet::frame(command))
            .context("cannot write to the gdb stub")
    }

    /// The next packet of the received bytes, if it is complete.
    fn next(&mut self) -> Result<Option<String>> {
        // Skips acknowledgements of what was sent: the stream loses nothing.
        let acknowledgements = self
            .received
            .iter()
            .take_while(|&&byte| byte == packet::ACKNOWLEDGED)
            .count();
        self.received.drain(..acknowledgements);
        let Some((packet, length)) = packet::parse(&self.received)? else {
            return Ok(None);
        };
        self.received.drain(..length);
        self.stream.write_all(&[packet::ACKNOWLEDGED])?;
        Ok(Some(packet))
    }

    fn fill(&mut self) -> Result<()> {
        let mut buffer = [0; 8192];
        let length = self
            .stream
            .read(&mut buffer)
            .context("cannot read from the gdb stub")?;
        ensure!(length > 0, "the gdb stub is gone");
        self.received.extend(&buffer[..length]);
        Ok(())
    }
}

impl AsFd for Gdb {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
