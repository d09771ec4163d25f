// SPDX-License-Identifier: GPL-2.0-only

//! What QEMU's monitor prints for `info registers`.

use anyhow::{Context, Result};

/// The words that follow `<name>=` at the start of a line, at most four. Blanks may follow the
/// name.
pub fn line<'a>(printed: &'a str, name: &str) -> Result<Vec<&'a str>> {
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
pub fn field<'a>(printed: &'a str, name: &str) -> Result<&'a str> {
    printed
        .split_whitespace()
        .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        .with_context(|| format!("QEMU does not print {name}"))
}

/// Base and limit of a descriptor table.
pub fn table(printed: &str, name: &str) -> Result<(u64, u64)> {
    let words = line(printed, name)?;
    let word = |index: usize| {
        let word = words.get(index).context("a table without a limit")?;
        Ok::<_, anyhow::Error>(u64::from_str_radix(word, 16)?)
    };
    Ok((word(0)?, word(1)?))
}

/// Whether the processor, which is halted, waits for an interrupt. None if it is not halted.
pub fn halted(printed: &str) -> Result<Option<bool>> {
    const INTERRUPTS: u64 = 1 << 9;
    if field(printed, "HLT")? != "1" {
        return Ok(None);
    }
    let flags = u64::from_str_radix(field(printed, "RFL")?, 16)?;
    Ok(Some(flags & INTERRUPTS != 0))
}

#[cfg(test)]
mod tests {
    use super::{field, halted, line, table};

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

    #[test]
    fn a_halted_processor_waits_for_interrupts_or_not() {
        assert_eq!(halted(PRINTED).unwrap(), None);
        let text = PRINTED.replace("HLT=0", "HLT=1");
        assert_eq!(halted(&text).unwrap(), Some(false));
        assert_eq!(
            halted(&text.replace("RFL=00000046", "RFL=00000246")).unwrap(),
            Some(true)
        );
    }
}
