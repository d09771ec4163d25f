// SPDX-License-Identifier: GPL-2.0-only

//! Secure Boot with the firmware's own keys and a machine owner's key, which shim trusts.

use anyhow::{Result, ensure};

use super::debian_guest::DebianGuest;
use super::secure_boot;
use super::{VERIFIED, expect_refused, kexec};
use crate::debian::vm::Answer;
use crate::kernel::VERIFY_MODULE;
use crate::qemu::{FIRMWARE_VARIABLES, SECURE_VARIABLES};

/// The subject of the guide's key.
const SUBJECT: &str = "CN=Example fleet";

/// What `kexec` says about an image that only an unknown key has signed.
const ENOKEY: &str = "Required key not available";

/// What somebody types in shim's MokManager, in names of keys.
const PASSWORD: &str = "kexec";

/// What to press in shim's MokManager, as the guide says. MokManager takes keys once it has printed
/// the last entry of a menu, or a text that only that screen has. The entry to choose is the second
/// one, and in the last menu, "Reboot", the first.
fn mok_manager() -> Vec<Answer<'static>> {
    let second = || vec!["down", "ret"];
    let letters = PASSWORD.split("").filter(|letter| !letter.is_empty());
    vec![
        ("Enroll hash from disk", second()),
        ("View key 0", second()),
        ("Yes", second()),
        ("Password:", letters.chain(["ret"]).collect()),
        ("Reboot", vec!["ret"]),
    ]
}

/// Makes the key and a signed package. Then turns Secure Boot on, and installs that package and
/// enrolls the key on the distribution's kernel, which refuses the package's kernel before.
pub fn enroll(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("secure-boot-tools", machine.ours)?;
    machine.follow("secure-boot-key", machine.ours)?;
    machine.follow("secure-boot-package", machine.ours)?;
    kexec(machine, machine.distribution, None)?;
    machine.follow("default", machine.distribution)?;
    machine.replace_variables(SECURE_VARIABLES, "debian-console-mok")?;
    machine.expect_release(machine.distribution)?;
    secure_boot::expect_on(machine)?;
    machine.run("apt-get install --yes --reinstall /var/tmp/signed/*.deb")?;
    expect_unknown_key(machine)?;
    confirm(machine, "mok-enroll")?;
    ensure!(
        subjects(machine)?.contains(SUBJECT),
        "shim does not trust the key"
    );
    Ok(())
}

/// Runs a block of the guide whose effect is confirmed at the console, during a reboot of the
/// distribution's kernel.
fn confirm(machine: &mut DebianGuest, block: &str) -> Result<()> {
    let script = machine.script(block, machine.distribution)?;
    let script = format!("password={PASSWORD}\n{script}");
    machine.leave_by_dialog(&script, block, &mok_manager())?;
    machine.expect_release(machine.distribution)?;
    secure_boot::expect_on(machine)
}

fn subjects(machine: &DebianGuest) -> Result<String> {
    machine.follow("mok-state", machine.distribution)
}

/// The kernel of the packages is refused, because its only signature is by a key that nobody trusts.
fn expect_unknown_key(machine: &DebianGuest) -> Result<()> {
    expect_refused(machine, &format!("/boot/vmlinuz-{}", machine.ours), ENOKEY)
}

/// Boots the kernel of the packages, and enters it twice by kexec: it still trusts the key then.
pub fn boot(machine: &mut DebianGuest) -> Result<()> {
    machine.leave("try", machine.ours)?;
    machine.expect_release(machine.ours)?;
    secure_boot::expect_on(machine)?;
    machine.expect_state("verify_policy", &format!("policy: {VERIFY_MODULE}"))?;
    for _ in 0..2 {
        secure_boot::signed(machine)?;
    }
    Ok(())
}

/// Deletes the key on the distribution's kernel, turns Secure Boot off, and goes back to the kernel
/// of the packages.
pub fn delete(machine: &mut DebianGuest) -> Result<()> {
    kexec(machine, machine.distribution, Some(VERIFIED))?;
    confirm(machine, "mok-delete")?;
    ensure!(
        !subjects(machine)?.contains(SUBJECT),
        "shim still trusts the key"
    );
    expect_unknown_key(machine)?;
    machine.replace_variables(FIRMWARE_VARIABLES, "debian-console-own-keys")?;
    kexec(machine, machine.ours, None)?;
    machine.follow("default", machine.ours).map(drop)
}
