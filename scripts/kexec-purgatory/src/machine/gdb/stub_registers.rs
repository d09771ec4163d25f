// SPDX-License-Identifier: GPL-2.0-only

//! The registers of the stub, as it describes them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use roxmltree::{Document, ParsingOptions};

/// The description's first file; it includes the others.
pub const TARGET: &str = "target.xml";

/// Where registers are in the reply to `g`, which has one after the other.
#[derive(Default)]
pub struct RegisterLayout {
    registers: Vec<Register>,
    size: usize,
}

struct Register {
    name: String,
    offset: usize,
    /// In bytes.
    size: usize,
}

/// The values of all registers of at most 64 bits.
pub struct Registers(BTreeMap<String, u64>);

impl Registers {
    pub fn get(&self, name: &str) -> Result<u64> {
        self.0
            .get(name)
            .copied()
            .with_context(|| format!("no register {name}"))
    }
}

/// Parses a file of the description.
fn parse(text: &str) -> Result<Document<'_>> {
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    Ok(Document::parse_with_options(text, options)?)
}

/// The files that the first one includes.
pub fn included(target: &str) -> Result<Vec<String>> {
    // The stub does not declare the prefix of this element.
    let target = target.replace("xi:include", "include");
    Ok(parse(&target)?
        .descendants()
        .filter(|node| node.has_tag_name("include"))
        .filter_map(|node| node.attribute("href"))
        .map(str::to_owned)
        .collect())
}

impl RegisterLayout {
    /// Adds the registers of one file.
    pub fn add(&mut self, feature: &str) -> Result<()> {
        let document = parse(feature)?;
        for node in document.descendants().filter(|n| n.has_tag_name("reg")) {
            let attribute = |name| {
                node.attribute(name)
                    .with_context(|| format!("a register without {name}"))
            };
            let size = attribute("bitsize")?.parse::<usize>()? / 8;
            self.registers.push(Register {
                name: attribute("name")?.to_owned(),
                offset: self.size,
                size,
            });
            self.size += size;
        }
        Ok(())
    }

    /// The number and the size of a register.
    pub fn find(&self, name: &str) -> Result<(usize, usize)> {
        self.registers
            .iter()
            .enumerate()
            .find(|(_, register)| register.name == name)
            .map(|(number, register)| (number, register.size))
            .with_context(|| format!("the gdb stub has no register {name}"))
    }

    /// Parses the reply to `g`. Leaves out registers of more than 64 bits.
    pub fn read(&self, bytes: &[u8]) -> Result<Registers> {
        ensure!(
            bytes.len() == self.size,
            "{} bytes of registers in place of {}",
            bytes.len(),
            self.size
        );
        let small = self.registers.iter().filter(|r| r.size <= size_of::<u64>());
        Ok(Registers(
            small
                .map(|register| {
                    let mut value = [0; size_of::<u64>()];
                    value[..register.size]
                        .copy_from_slice(&bytes[register.offset..][..register.size]);
                    (register.name.clone(), u64::from_le_bytes(value))
                })
                .collect(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{RegisterLayout, included};

    const TARGET: &str = r#"<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd">
        <target><architecture>i386:x86-64</architecture><xi:include href="core.xml"/></target>"#;
    const CORE: &str = r#"<?xml version="1.0"?><!DOCTYPE feature SYSTEM "gdb-target.dtd">
        <feature name="core">
        <flags id="flags" size="4"><field name="CF" start="0" end="0"/></flags>
        <reg name="rax" bitsize="64" type="int64" regnum="0"/>
        <reg name="st0" bitsize="80" type="i387_ext"/>
        <reg name="cs" bitsize="32" type="int32"/></feature>"#;

    fn layout() -> RegisterLayout {
        let mut layout = RegisterLayout::default();
        layout.add(CORE).unwrap();
        layout
    }

    #[test]
    fn included_files_are_found() {
        assert_eq!(included(TARGET).unwrap(), ["core.xml"]);
    }

    #[test]
    fn registers_follow_each_other() {
        let bytes: Vec<u8> = (0..22).collect();
        let registers = layout().read(&bytes).unwrap();
        assert_eq!(registers.get("rax").unwrap(), 0x0706_0504_0302_0100);
        assert_eq!(registers.get("cs").unwrap(), 0x1514_1312);
        assert!(registers.get("st0").is_err());
        assert_eq!(layout().find("cs").unwrap(), (2, 4));
    }

    #[test]
    fn a_reply_of_another_size_is_refused() {
        assert!(layout().read(&[0; 21]).is_err());
    }
}
