// SPDX-License-Identifier: GPL-2.0-only

//! Checks what the next kernel says about the record that the previous one left, intact or damaged.

use anyhow::{Context, Result, bail, ensure};

use super::stopped::NO_ENGINE;
use crate::bzimage::SETUP_DATA;
use crate::expected::ENTERED;
use crate::machine::Machine;
use crate::machine::gdb::Space;
use crate::qemu::SerialLog;

/// What it says about a record that it does not use.
const NOT_USED: &str = "kexec: the record of the previous kernel is not used: ";

/// Type of the node with the record.
const SETUP_KEXEC_RECORD: u64 = 0x6b78_0001;

/// Size of a node without its data.
const NODE: u64 = 16;

/// Maximum number of nodes in a list.
const NODES: usize = 16;

/// Damage to the node with a record.
#[derive(Debug)]
pub struct RecordDamage {
    pub name: &'static str,
    /// Offset in the node, in bytes.
    offset: u64,
    /// Flips these bits of the byte there.
    flips: u8,
    reason: &'static str,
}

const fn damage(name: &'static str, offset: u64, flips: u8, reason: &'static str) -> RecordDamage {
    RecordDamage {
        name,
        offset,
        flips,
        reason,
    }
}

pub const DAMAGES: &[RecordDamage] = &[
    // 336 bytes become 80.
    damage("truncated", 13, 1, "it has a bad size"),
    damage("of another size", NODE + 12, 8, "it has a bad size"),
    damage("magic number", NODE, 1, "it has a bad magic number"),
    damage("another version", NODE + 8, 2, "it is of another version"),
    damage("digest", NODE + 47, 0x80, "it is damaged"),
    damage("release", NODE + 48, 1, "it is damaged"),
    damage("number of regions", NODE + 48 + 184, 1, "it is damaged"),
    damage("time", NODE + 256, 1, "a time in it is damaged"),
    damage(
        "complement of a time",
        NODE + 256 + 47,
        1,
        "a time in it is damaged",
    ),
];

impl RecordDamage {
    /// Damages the record for the kernel at whose first instruction a machine is stopped.
    pub fn apply(&self, machine: &mut Machine) -> Result<()> {
        let address = find(machine)? + self.offset;
        let byte = machine.gdb.read(Space::Physical, address, 1)?;
        machine
            .gdb
            .write(Space::Physical, address, &[byte[0] ^ self.flips])
    }

    /// Checks what that kernel said about it.
    pub fn check(&self, log: &SerialLog) -> Result<()> {
        let said = log.after(NOT_USED);
        ensure!(
            said == Some(self.reason) && log.after(ENTERED).is_none(),
            "the next kernel said {said:?}, {:?}",
            log.after(ENTERED)
        );
        Ok(())
    }
}

/// Physical address of the node with the record.
fn find(machine: &mut Machine) -> Result<u64> {
    let boot_params = machine.gdb.registers()?.get("rsi")?;
    let mut read = |address, size: usize| -> Result<u64> {
        let mut value = [0; 8];
        let bytes = machine.gdb.read(Space::Physical, address, size)?;
        value[..size].copy_from_slice(&bytes);
        Ok(u64::from_le_bytes(value))
    };
    let mut node = read(boot_params + SETUP_DATA as u64, 8)?;
    for _ in 0..NODES {
        ensure!(node != 0, "there is no record");
        if read(node + 8, 4)? == SETUP_KEXEC_RECORD {
            return Ok(node);
        }
        node = read(node, 8)?;
    }
    bail!("the list of setup data does not end")
}

/// Checks what the next kernel, which was entered with an engine or directly, says about the
/// previous one.
pub fn check(log: &SerialLog, engine: &str) -> Result<()> {
    let told = log
        .after(ENTERED)
        .context("the next kernel does not tell how it was entered")?;
    let wanted = match engine {
        NO_ENGINE => ": direct: KEXEC_PURGATORY_VERIFY=n: ".to_owned(),
        _ => format!(" MB, {engine}: copy "),
    };
    let verifies = engine == NO_ENGINE || told.contains(" ms, verify ");
    ensure!(
        told.contains(&wanted) && verifies && told.ends_with(" ms since machine_kexec()"),
        "the next kernel tells {told:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{DAMAGES, check};
    use crate::qemu::SerialLog;

    #[test]
    fn the_next_kernel_must_tell_how_it_was_entered() {
        let check =
            |line: &str, engine: &str| check(&SerialLog::new(line.as_bytes()), engine).is_ok();
        let verified = "kexec: entered by 7.3.4: verified 3 regions, 45.9 MB, avx2-x8: \
            copy 6.1 ms, verify 15.0 ms, 23.4 ms since machine_kexec()";
        let direct = "kexec: entered by 7.3.4: direct: KEXEC_PURGATORY_VERIFY=n: \
            9.4 ms since machine_kexec()";
        assert!(check(verified, "avx2-x8"));
        assert!(check(direct, "none"));
        assert!(!check(verified, "scalar"));
        assert!(!check(verified, "none"));
        assert!(!check(direct, "avx2-x8"));
        assert!(!check(&verified.replace("verify", "prove"), "avx2-x8"));
        assert!(!check("", "none"));
    }

    #[test]
    fn a_damaged_record_must_not_be_used() {
        let check = |text: &str| DAMAGES[0].check(&SerialLog::new(text.as_bytes())).is_ok();
        let said = "kexec: the record of the previous kernel is not used: it has a bad size\n";
        assert!(check(said));
        assert!(!check(""));
        assert!(!check(&said.replace("a bad size", "damage")));
        assert!(!check(&format!("{said}kexec: entered by 7\n")));
    }
}
