// SPDX-License-Identifier: GPL-2.0-only

//! Secure Boot: what it changes, and a key in place of the firmware's own keys.

use anyhow::{Result, ensure};

use super::debian_guest::DebianGuest;
use super::{CRASH, VERIFIED, expect_refused, kexec};
use crate::kernel::VERIFY_MODULE;

/// An image without a signature, in the guest.
const UNSIGNED: &str = "/root/unsigned";

/// What `kexec` says about it, because it has no signature.
const ENODATA: &str = "No data available";

/// Signs shim and the kernels, makes the firmware trust the key and no other, and boots.
pub fn enroll(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("secure-boot-sign", machine.ours)?;
    machine.leave("secure-boot-keys", machine.ours)
}

/// The images are loaded as without Secure Boot.
pub fn boot(machine: &mut DebianGuest) -> Result<()> {
    machine.expect_release(machine.ours)?;
    machine.run("systemctl is-system-running --wait")?;
    expect_on(machine)?;
    machine.expect_state("verify_policy", &format!("policy: {VERIFY_MODULE}"))?;
    machine.expect_state("verify_crash", CRASH)?;
    // kdump-tools uses kexec_file_load() here even if it is not configured to.
    machine.run(
        "cd /etc/default && cp kdump-tools kdump-tools.saved && \
         sed -i '/^KDUMP_KEXEC_ARGS=\"-s\"$/d' kdump-tools && systemctl restart kdump-tools && \
         mv kdump-tools.saved kdump-tools && grep -e ' -s ' /var/crash/kexec_cmd",
    )?;
    machine.expect_state("verify_crash", CRASH)
}

/// Fails unless the firmware has Secure Boot on and the kernel is locked down.
pub fn expect_on(machine: &DebianGuest) -> Result<()> {
    let state = machine.follow("secure-boot-state", machine.ours)?;
    ensure!(
        state.contains("SecureBoot enabled") && state.contains("[integrity]"),
        "Secure Boot is not on:\n{state}"
    );
    Ok(())
}

/// A signed image is loaded and verified, and its kernel is locked down too.
pub fn signed(machine: &mut DebianGuest) -> Result<()> {
    kexec(machine, machine.ours, Some(VERIFIED))?;
    machine.expect_state("entered_decision", VERIFIED)?;
    expect_on(machine)
}

/// An unsigned image is refused, and the loaded one stays.
pub fn unsigned(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("load", machine.ours)?;
    let ours = machine.ours;
    machine.run(&format!(
        "cp /boot/vmlinuz-{ours} {UNSIGNED} && sbattach --remove {UNSIGNED}"
    ))?;
    expect_refused(machine, UNSIGNED, ENODATA)?;
    machine.expect_state("verify_loaded", VERIFIED)?;
    machine.run("kexec -s --unload")?;
    // An image for which user space brings a purgatory is refused, too.
    machine.expect_failure(
        &format!("kexec --kexec-syscall -l /boot/vmlinuz-{ours} --reuse-cmdline"),
        "kexec_load failed: Permission denied",
    )
}

/// The module without its signature is refused.
pub fn module(machine: &mut DebianGuest) -> Result<()> {
    // A signature is followed by its length, 4 bytes, most significant first, and by a text of 28
    // bytes.
    machine.run(&format!(
        "modprobe -r {VERIFY_MODULE} && cd /root && xz -dc $(modinfo -n {VERIFY_MODULE}) >policy.ko &&
         length=$(tail -c 32 policy.ko | od -A n -t u4 --endian=big -N 4) &&
         truncate --size=-$((length + 12 + 28)) policy.ko && modinfo ./policy.ko >policy.txt &&
         ! grep ^signature: policy.txt"
    ))?;
    machine.expect_failure("insmod /root/policy.ko", "Key was rejected by service")?;
    machine.run(&format!("modprobe {VERIFY_MODULE}"))
}

/// The distribution's kernel, signed with the distribution's key, is entered and refuses the same
/// image.
pub fn distribution(machine: &mut DebianGuest) -> Result<()> {
    kexec(machine, machine.distribution, Some(VERIFIED))?;
    expect_refused(machine, UNSIGNED, ENODATA)?;
    kexec(machine, machine.ours, None)
}
