// SPDX-License-Identifier: GPL-2.0-only

//! Addresses in a kernel that runs at its link address (`nokaslr`).

use std::path::Path;

use anyhow::{Context, Result};
use object::{File, Object, ObjectSymbol};

use crate::files;

/// `__START_KERNEL_map`: physical address 0 in the kernel's own mapping.
const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

/// The symbols of a `vmlinux`.
pub struct Symbols(Vec<u8>);

impl Symbols {
    pub fn read(vmlinux: &Path) -> Result<Self> {
        files::read(vmlinux).map(Self)
    }

    /// Virtual address of a symbol.
    pub fn address(&self, name: &str) -> Result<u64> {
        File::parse(self.0.as_slice())?
            .symbol_by_name(name)
            .map(|symbol| symbol.address())
            .with_context(|| format!("the kernel has no symbol {name}"))
    }

    /// Physical address of a symbol.
    pub fn physical(&self, name: &str) -> Result<u64> {
        self.address(name)?
            .checked_sub(START_KERNEL_MAP)
            .with_context(|| format!("{name} does not lie in the kernel's image"))
    }
}
