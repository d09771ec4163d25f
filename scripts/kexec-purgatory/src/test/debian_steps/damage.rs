// SPDX-License-Identifier: GPL-2.0-only

//! Damages a host's normal image while it waits, from outside the guest, and checks what happens to
//! the host.

use anyhow::{Result, ensure};

use super::debian_guest::DebianGuest;
use super::{VERIFIED, in_dump};
use crate::guest::Purpose;

/// What a crash kernel logs if it was entered because of the damage.
const AFTER_MISMATCH: &str = "after a mismatch in kernel of the normal image";

/// What the purgatory prints on a console.
const PRINTED: &str = "purgatory: MISMATCH in kernel";

/// Loads an image, and damages it.
fn load_damaged(machine: &DebianGuest) -> Result<()> {
    machine.follow("load", machine.ours)?;
    machine.expect_state("verify_loaded", VERIFIED)?;
    machine.damage(Purpose::Enter)
}

/// Enters what is loaded. Whatever happens, the host must come back by itself, through the
/// firmware.
fn enter(machine: &mut DebianGuest) -> Result<()> {
    machine.leave("enter", machine.ours)?;
    machine.expect_release(machine.ours)?;
    machine.run("test ! -e /sys/kernel/kexec/entered_by")?;
    machine.run("systemctl is-system-running --wait")
}

/// Enters a damaged image. The console must have `text`.
fn enter_damaged(machine: &mut DebianGuest, text: &str) -> Result<()> {
    load_damaged(machine)?;
    let printed = machine.vm.printed()?;
    enter(machine)?;
    machine.expect_printed(printed, text)
}

/// A check finds the damage. The reboot that checks is refused, and systemd then reboots through
/// the firmware.
pub fn check(machine: &mut DebianGuest) -> Result<()> {
    load_damaged(machine)?;
    let script = machine.script("check", machine.ours)?;
    machine.expect_failure(&script, "I/O error")?;
    machine.expect_state("check_loaded", "damaged: kernel")?;
    let dumps = dumps(machine)?;
    let printed = machine.vm.printed()?;
    enter(machine)?;
    // Neither the purgatory nor the crash kernel ran.
    ensure!(dumps == self::dumps(machine)?, "a dump was written");
    ensure!(
        !machine.vm.printed_since(printed)?.contains("purgatory: "),
        "the purgatory ran"
    );
    Ok(())
}

/// The dumps on the machine, one per line.
fn dumps(machine: &DebianGuest) -> Result<String> {
    machine.sh("ls -d /var/crash/2*")
}

/// The crash kernel is entered, writes a dump, and reboots the host.
pub fn dump(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("no-check-reboot", machine.ours)?;
    let before = dumps(machine)?;
    enter_damaged(machine, AFTER_MISMATCH)?;
    let after = dumps(machine)?;
    ensure!(
        after.lines().count() == before.lines().count() + 1,
        "no new dump:\n{after}"
    );
    let log = machine.sh("cat $(ls -d /var/crash/2* | tail -n 1)/dmesg.*")?;
    ensure!(
        log.contains("kexec_core: Starting new kernel"),
        "the dump is not of that host:\n{log}"
    );
    let journal = machine.follow("mismatches", machine.ours)?;
    ensure!(
        journal.contains(AFTER_MISMATCH),
        "the journal has no mismatch:\n{journal}"
    );
    // The memory that the image was copied over is lost, possibly with tasks.
    let release = machine.sh(&in_dump(
        "prog[\"init_uts_ns\"].name.release.string_().decode()",
    ))?;
    ensure!(release == machine.ours, "the dump is of {release}");
    Ok(())
}

/// Without a crash image, `panic=` resets the host.
pub fn reset(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("panic", machine.ours)?;
    machine.run("systemctl stop kdump-tools")?;
    machine.expect_state("verify_crash", "none")?;
    enter_damaged(machine, PRINTED)
}

/// Without a crash image and `panic=`, a watchdog resets the host. It does not cut a dump short:
/// the crash kernel's systemd keeps it from expiring.
pub fn watchdog(machine: &mut DebianGuest) -> Result<()> {
    machine.leave("watchdog", machine.ours)?;
    machine.run("systemctl is-system-running --wait")?;
    machine.run("grep -x 0 /sys/module/watchdog/parameters/stop_on_reboot")?;
    machine.vm.qmp.set_watchdog_action("reset")?;
    let ended = watched(machine);
    machine.vm.qmp.set_watchdog_action("none")?;
    ended?;
    machine.follow("no-watchdog", machine.ours).map(drop)
}

fn watched(machine: &mut DebianGuest) -> Result<()> {
    let before = dumps(machine)?;
    super::kdump_crash(machine)?;
    let after = dumps(machine)?;
    ensure!(before != after, "no new dump:\n{after}");

    machine.run(
        "set -e; systemctl stop kdump-tools; rm /etc/sysctl.d/panic.conf; sysctl kernel.panic=0",
    )?;
    machine.expect_state("verify_crash", "none")?;
    enter_damaged(machine, "purgatory: stopped")
}

/// The timer's unit checks the crash image, and loads it again if it is damaged.
pub fn units(machine: &mut DebianGuest) -> Result<()> {
    const UNIT: &str = "kexec-check-crash";

    machine.follow("units", machine.ours)?;
    machine.run(&format!(
        "systemctl is-active {UNIT}.timer && systemctl start {UNIT}.service"
    ))?;
    machine.expect_state("check_crash", "intact")?;
    let damaged = "kexec_image_damaged{image=\"crash\"}";
    expect_metric(machine, &format!("{damaged} 0"))?;

    machine.damage(Purpose::Crash)?;
    machine.expect_failure("echo 1 >/sys/kernel/kexec/check_crash", "I/O error")?;
    machine.expect_state("check_crash", "damaged: kernel")?;
    expect_metric(machine, &format!("{damaged} 1"))?;
    machine.expect_failure(
        &format!("systemctl start {UNIT}.service"),
        &format!("Job for {UNIT}.service failed"),
    )?;
    machine.run(&format!("systemctl reset-failed {UNIT}.service"))?;
    machine.expect_state("check_crash", "not checked")?;
    machine.run("echo 1 >/sys/kernel/kexec/check_crash")?;
    machine.expect_state("check_crash", "intact")
}

fn expect_metric(machine: &DebianGuest, line: &str) -> Result<()> {
    let metrics = machine.follow("metrics", machine.ours)?;
    ensure!(
        metrics.lines().any(|metric| metric == line),
        "no {line:?} in\n{metrics}"
    );
    Ok(())
}
