// SPDX-License-Identifier: GPL-2.0-only

//! Builds the purgatory without a kernel around it, with the flags that it has in a kernel.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::abi::MAGIC;
use crate::command::{command, output};
use crate::files;
use crate::graft;
use crate::layout::Layout;
use crate::params::header;
use crate::root::{Root, Rust};
use crate::vendor::Vendored;

/// The purgatory's sources, below the top of the overlay.
pub const SOURCES: &str = "arch/x86/purgatory/rust";

/// The purgatory as the kernel includes it.
#[derive(Clone)]
pub struct Purgatory {
    pub bytes: Vec<u8>,
    /// Only its digest code, see `purgatory_test.rs`.
    pub digests: Vec<u8>,
    /// Both as the linker leaves them, with symbols.
    pub elf: Vec<u8>,
    pub digests_elf: Vec<u8>,
    /// Offset of the first instruction.
    pub entry: u64,
    /// Offset of the parameters.
    pub params: usize,
    /// Bytes that the purgatory occupies in memory.
    pub mem_size: u64,
}

impl Purgatory {
    /// Builds the purgatory of these sources: with this machine's compiler, or with one of Debian 13
    /// if `rust` is given.
    pub fn build(layout: &Layout, sources: &Path, rust: Option<Rust>) -> Result<Self> {
        let tree = graft::kernel_tree(layout)?;
        let crates = Vendored::fetch(layout)?.folder();
        let folder = match rust {
            None => "bare".to_owned(),
            Some(rust) => format!("bare-{}", rust.name()),
        };
        let folder = layout.build.join(folder);
        fs::create_dir_all(&folder)?;
        let mut make = match rust {
            None => command("make"),
            Some(rust) => {
                let shared: [&Path; 4] = [&layout.overlay, &layout.cache, &folder, &tree];
                Root::make(layout, rust)?.command(&shared, "make")?
            }
        };
        output(
            make.arg("-C")
                .arg(&folder)
                .arg("-f")
                .arg(layout.tool("purgatory.mk"))
                .arg(format!("KERNEL={}", tree.display()))
                .arg(format!("PURGATORY={}", sources.display()))
                .arg(format!("KEXEC_PURGATORY_CRATES={}", crates.display())),
        )?;
        let read = |name: &str| files::read(&folder.join("purgatory").join(name));
        let bytes = read("purgatory.bin")?;
        let header = header(&bytes)?;
        ensure!(header.magic == MAGIC, "what was built is no purgatory");
        Ok(Self {
            bytes,
            digests: read("purgatory_test.bin")?,
            elf: read("purgatory.elf")?,
            digests_elf: read("purgatory_test.elf")?,
            entry: header.entry.into(),
            params: header.params as usize,
            mem_size: header.mem_size.into(),
        })
    }
}
