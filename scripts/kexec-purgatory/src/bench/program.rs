// SPDX-License-Identifier: GPL-2.0-only

//! Objects of a kernel, linked into this process as `kexec_load_purgatory()` does it.

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};
use memmap2::MmapMut;
use object::read::{Object, ObjectSection, ObjectSymbol, Relocation, SectionIndex, SymbolIndex};
use object::{File, RelocationFlags, RelocationTarget, SectionFlags, SectionKind, elf};

/// Sections in memory, with relocations applied.
pub struct Program<'a> {
    file: File<'a>,
    pub memory: MmapMut,
    /// Where each section was placed, in the order of the file.
    places: Vec<(SectionIndex, usize)>,
}

impl<'a> Program<'a> {
    /// Links an object file that does not depend on others.
    pub fn link(bytes: &'a [u8]) -> Result<Self> {
        let file = File::parse(bytes)?;
        let mut places = Vec::new();
        let mut end = 0_usize;
        for section in file.sections().filter(is_allocated) {
            end = end.next_multiple_of(usize::try_from(section.align().max(1))?);
            places.push((section.index(), end));
            end += usize::try_from(section.size())?;
        }
        ensure!(end > 0, "nothing to load");

        let mut program = Self {
            file,
            memory: MmapMut::map_anon(end)?,
            places,
        };
        for (index, place) in program.places.clone() {
            let section = program.file.section_by_index(index)?;
            if section.kind() != SectionKind::UninitializedData {
                let data = section.data()?;
                program.memory[place..place + data.len()].copy_from_slice(data);
            }
            let relocations: Vec<_> = section.relocations().collect();
            for (offset, relocation) in relocations {
                program.relocate(place + usize::try_from(offset)?, &relocation)?;
            }
        }
        Ok(program)
    }

    /// Like `arch_kexec_apply_relocations_add()`.
    fn relocate(&mut self, at: usize, relocation: &Relocation) -> Result<()> {
        let RelocationTarget::Symbol(index) = relocation.target() else {
            bail!("a relocation without a symbol");
        };
        let base = self.memory.as_ptr().addr();
        let value = (base + self.place_of(index)?) as i64 + relocation.addend();
        let RelocationFlags::Elf { r_type } = relocation.flags() else {
            bail!("not an ELF file");
        };
        let mut write = |bytes: &[u8]| self.memory[at..at + bytes.len()].copy_from_slice(bytes);
        match r_type {
            elf::R_X86_64_64 => write(&value.to_le_bytes()),
            elf::R_X86_64_PC32 | elf::R_X86_64_PLT32 => {
                write(&i32::try_from(value - (base + at) as i64)?.to_le_bytes());
            }
            other => bail!("a relocation of type {other}"),
        }
        Ok(())
    }

    /// Offset of a symbol in `memory`.
    fn place_of(&self, index: SymbolIndex) -> Result<usize> {
        let symbol = self.file.symbol_by_index(index)?;
        let section = symbol.section_index().context("an undefined symbol")?;
        let (_, place) = self
            .places
            .iter()
            .find(|(index, _)| *index == section)
            .context("a symbol that is not loaded")?;
        Ok(place + usize::try_from(symbol.address())?)
    }

    /// The range of a symbol's bytes in `memory`.
    pub fn symbol(&self, name: &str) -> Result<Range<usize>> {
        let symbol = self
            .file
            .symbol_by_name(name)
            .with_context(|| format!("it has no {name}"))?;
        let start = self.place_of(symbol.index())?;
        Ok(start..start + usize::try_from(symbol.size())?)
    }

    /// Like `kexec_purgatory_get_set_symbol()`.
    pub fn set(&mut self, name: &str, value: &[u8]) -> Result<()> {
        let range = self.symbol(name)?;
        ensure!(
            range.len() == value.len(),
            "{name} has {} bytes in place of {}",
            range.len(),
            value.len()
        );
        self.memory[range].copy_from_slice(value);
        Ok(())
    }
}

fn is_allocated<'a>(section: &impl ObjectSection<'a>) -> bool {
    matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(elf::SHF_ALLOC))
}
