// SPDX-License-Identifier: GPL-2.0-only

//! Does in a Debian guest what the administrator of a machine with the packages does.
//!
//! The commands come from the administrator's guide, which names each of its blocks in a comment,
//! `.. run: <name>`.

mod alerts;
mod damage;
mod debian_guest;
mod mok;
mod secure_boot;
mod soak;

use std::iter;

use anyhow::{Context, Result, ensure};

use self::debian_guest::DebianGuest;
use super::Report;
use super::arm::Arm;
use crate::expected::UNKNOWN;
use crate::kernel::VERIFY_MODULE;
use crate::layout::Layout;

/// A step of the machine's life.
type Step = fn(&mut DebianGuest) -> Result<()>;

/// The steps with their names. Each step needs those before it.
const STEPS: &[(&str, Step)] = &[
    ("debian/boot", boot),
    ("debian/install", install),
    ("debian/try", try_once),
    ("debian/module", module),
    ("debian/system-calls", system_calls),
    ("debian/systemctl-kexec/no-image", systemctl_without_image),
    ("debian/check", check),
    ("debian/check-reboot", check_reboot),
    ("debian/systemctl-kexec/verified", kexec_verified),
    ("debian/systemctl-kexec/distribution", kexec_distribution),
    ("debian/systemctl-kexec/back", kexec_back),
    ("debian/systemctl-kexec/direct", kexec_direct),
    ("debian/systemctl-reboot", systemctl_reboot),
    ("debian/kdump/load", kdump_load),
    ("debian/kdump/crash", kdump_crash),
    ("debian/kdump/dump", kdump_dump),
    ("debian/damage/crash-image", damage::units),
    ("debian/damage/check", damage::check),
    ("debian/damage/dump", damage::dump),
    ("debian/damage/reset", damage::reset),
    ("debian/damage/watchdog", damage::watchdog),
    ("debian/soak", soak::run),
    ("debian/mok/enroll", mok::enroll),
    ("debian/mok/boot", mok::boot),
    ("debian/mok/unsigned", secure_boot::unsigned),
    ("debian/mok/delete", mok::delete),
    ("debian/secure-boot/enroll", secure_boot::enroll),
    ("debian/secure-boot/boot", secure_boot::boot),
    ("debian/secure-boot/signed", secure_boot::signed),
    ("debian/secure-boot/unsigned", secure_boot::unsigned),
    ("debian/secure-boot/module", secure_boot::module),
    ("debian/secure-boot/distribution", secure_boot::distribution),
    (UPDATE, update),
    ("debian/remove", remove),
    ("debian/guide", whole_guide),
];

/// Needs the packages of a second build.
const UPDATE: &str = "debian/update";

/// Needs no machine.
const ALERTS: &str = "debian/alerts";

pub fn names() -> Vec<String> {
    let steps = STEPS.iter().map(|(name, _)| *name);
    iter::once(ALERTS).chain(steps).map(str::to_owned).collect()
}

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
    report.test(ALERTS, || alerts::run(layout));
    let Some(last) = STEPS.iter().rposition(|(name, _)| report.wants(name)) else {
        return Ok(());
    };
    let guest = report.guest().context("no options for the guest")?;
    let steps = &STEPS[..=last];
    let update = steps.iter().any(|(name, _)| *name == UPDATE);
    let mut machine = DebianGuest::make(layout, guest, update)?;
    for (name, step) in steps {
        if let Err(error) = step(&mut machine) {
            // A step that is not selected but fails is the reason that later ones cannot run.
            report.fail(name, &error);
            return machine.keep_journal("step");
        }
        report.record(name, Ok(()));
    }
    Ok(())
}

fn boot(machine: &mut DebianGuest) -> Result<()> {
    machine.expect_release(machine.distribution)?;
    // Fails if the system reaches any state other than running.
    machine.run("systemctl is-system-running --wait")
}

fn install(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("default", machine.distribution)?;
    machine.follow("install", machine.ours)?;
    machine.run(&format!(
        "ls /boot/vmlinuz-{0} /boot/initrd.img-{0}",
        machine.ours
    ))
}

/// Boots the new kernel once, is back on the distribution's after another boot, and then makes the
/// new kernel the default.
fn try_once(machine: &mut DebianGuest) -> Result<()> {
    machine.leave("try", machine.ours)?;
    machine.expect_release(machine.ours)?;
    machine.expect_state("verify_policy", DIRECT)?;
    machine.leave_by("systemctl reboot", "boot the distribution's kernel again")?;
    machine.expect_release(machine.distribution)?;
    machine.leave("try", machine.ours)?;
    machine.follow("default", machine.ours)?;
    machine.run("grub-reboot 1 && grub-editenv - list | grep next_entry")?;
    machine.follow("no-try", machine.ours)?;
    let environment = machine.sh("grub-editenv - list")?;
    ensure!(
        !environment.contains("next_entry"),
        "GRUB still has a kernel for the next boot:\n{environment}"
    );
    machine.leave_by("systemctl reboot", "boot the new kernel by default")?;
    machine.expect_release(machine.ours)
}

fn module(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("module", machine.ours)?;
    machine.expect_state("verify_policy", &format!("policy: {VERIFY_MODULE}"))?;
    machine.follow("spared", machine.ours)?;
    machine.run(&format!(
        "grep -x CONFIG_KEXEC_PURGATORY_VERIFY=m /boot/config-{}",
        machine.ours
    ))
}

/// Checks which system call each way to load an image uses: only kexec_file_load() decides.
fn system_calls(machine: &mut DebianGuest) -> Result<()> {
    for (options, file, expected) in [
        ("-l", "verify_loaded", VERIFIED),
        ("-s -l", "verify_loaded", VERIFIED),
        ("-c -l", "verify_loaded", UNKNOWN),
        ("-p", "verify_crash", CRASH),
        ("-s -p", "verify_crash", CRASH),
        ("-c -p", "verify_crash", UNKNOWN),
    ] {
        machine.run(&format!(
            "kexec {options} /boot/vmlinuz-{0} --initrd=/boot/initrd.img-{0} --reuse-cmdline",
            machine.ours
        ))?;
        machine
            .expect_state(file, expected)
            .with_context(|| format!("kexec {options}"))?;
        let crash = if file == "verify_crash" { "-p" } else { "" };
        machine.run(&format!("kexec {crash} --unload"))?;
    }
    // What kexec-tools provides for scripts and units.
    machine.run(&format!(
        "printf 'USE_GRUB_CONFIG=false\nKERNEL_IMAGE=/boot/vmlinuz-{0}\nINITRD=/boot/initrd.img-{0}\n' \
             >/etc/default/kexec && kexec-load-kernel",
        machine.ours
    ))?;
    machine
        .expect_state("verify_loaded", VERIFIED)
        .context("kexec-load-kernel")?;
    machine.run("kexec --unload")
}

/// Checks an image on request.
fn check(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("load", machine.ours)?;
    machine.follow("check", machine.ours)?;
    machine.expect_state("check_loaded", "intact")
}

/// Makes the kernel check images before it enters them. Later steps check that this setting
/// survives a boot.
fn check_reboot(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("check-reboot", machine.ours)?;
    machine.expect_state("check_reboot", "1")
}

/// Where GRUB is the boot loader, systemd finds no kernel by itself, and says so.
fn systemctl_without_image(machine: &mut DebianGuest) -> Result<()> {
    machine.expect_failure("systemctl kexec", "No boot loader entry")
}

/// Loads a kernel and enters it, as the guide says. The distribution's kernel takes no decision.
fn kexec(machine: &mut DebianGuest, release: &str, decision: Option<&str>) -> Result<()> {
    machine.follow("load", release)?;
    if let Some(decision) = decision {
        let found = machine.follow("decision", release)?;
        ensure!(found == decision, "decided: {found:?}, not {decision:?}");
    }
    machine.leave("enter", release)?;
    machine.expect_release(release)?;
    let loader = machine.sh("cat /proc/sys/kernel/bootloader_type")?;
    ensure!(loader == KEXEC, "boot loader {loader} started {release}");
    Ok(())
}

/// Fails unless `kexec` fails to load `image`, and prints `error`.
fn expect_refused(machine: &DebianGuest, image: &str, error: &str) -> Result<()> {
    machine.expect_failure(&format!("kexec -s -l {image} --reuse-cmdline"), error)
}

/// The type of boot loader of an image that kexec_file_load() loaded, 0xd0; that of GRUB differs.
/// Source: `bzImage64_load()`.
const KEXEC: &str = "208";

const VERIFIED: &str = Arm::VerifiedPolicy.text();
const CRASH: &str = Arm::VerifiedCrash.text();
const DIRECT: &str = Arm::DirectNoPolicy.text();

fn kexec_verified(machine: &mut DebianGuest) -> Result<()> {
    kexec(machine, machine.ours, Some(VERIFIED))?;
    let entered = machine.follow("entered", machine.ours)?;
    for line in [
        format!("entered_by:{}", machine.ours),
        format!("entered_decision:{VERIFIED}"),
    ] {
        ensure!(entered.contains(&line), "no {line} in\n{entered}");
    }
    // The firmware's services are still there.
    machine.run("head -c 5 /sys/firmware/efi/efivars/SecureBoot-*")
}

fn kexec_distribution(machine: &mut DebianGuest) -> Result<()> {
    kexec(machine, machine.distribution, Some(VERIFIED))?;
    // That kernel lacks the module that is configured to load at boot.
    machine
        .run("systemctl is-system-running --wait && systemctl is-active systemd-modules-load")?;
    machine.expect_failure(
        &format!("modprobe {VERIFY_MODULE}"),
        &format!("Module {VERIFY_MODULE} not found"),
    )
}

/// The modules of the list in `modules-load.d` are loaded at boot, and the settings made.
fn kexec_back(machine: &mut DebianGuest) -> Result<()> {
    kexec(machine, machine.ours, None)?;
    machine.run("test ! -e /sys/kernel/kexec/entered_by")?;
    machine.run("systemctl is-system-running --wait")?;
    machine.expect_state("verify_policy", &format!("policy: {VERIFY_MODULE}"))?;
    machine.expect_state("check_reboot", "1")?;
    machine.run(&format!(
        "grep -x Y /sys/module/{VERIFY_MODULE}/parameters/verify_spared"
    ))
}

fn kexec_direct(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("unload-module", machine.ours)?;
    kexec(machine, machine.ours, Some(DIRECT))?;
    machine.expect_state("entered_by", machine.ours)?;
    machine.expect_state("entered_decision", DIRECT)
}

/// `systemctl reboot` enters an image that is loaded, and goes through the firmware if none is.
fn systemctl_reboot(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("load", machine.ours)?;
    machine.leave_by("systemctl reboot", "reboot with an image loaded")?;
    machine.expect_release(machine.ours)?;
    machine.expect_state("entered_by", machine.ours)?;
    machine.follow("load", machine.ours)?;
    machine.follow("unload", machine.ours)?;
    machine.expect_state("verify_loaded", "none")?;
    // For `damage`: takes effect at the next boot.
    machine.follow("console", machine.ours)?;
    machine.leave_by("systemctl reboot", "reboot without one")?;
    machine.expect_release(machine.ours)?;
    machine.run("test ! -e /sys/kernel/kexec/entered_by")
}

/// The settings of kdump-tools, and a copy from before the guide's changes, in the guest.
const KDUMP_SETTINGS: &str = "/etc/default/kdump-tools";
const KDUMP_SETTINGS_BEFORE: &str = "/root/kdump-tools";

fn kdump_load(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("kdump-tools", machine.ours)?;
    machine.run(&format!("cp {KDUMP_SETTINGS} {KDUMP_SETTINGS_BEFORE}"))?;
    // With the package's settings, and with those of the guide.
    for block in [None, Some("kdump")] {
        if let Some(block) = block {
            machine.follow(block, machine.ours)?;
        }
        machine.expect_state("verify_crash", CRASH)?;
        let command = machine.sh("cat /var/crash/kexec_cmd")?;
        ensure!(
            command.contains(" -p ") && command.contains(" -s ") == block.is_some(),
            "kdump-tools ran {command:?}"
        );
    }
    Ok(())
}

/// Crashes, and waits until the machine is back.
fn kdump_crash(machine: &mut DebianGuest) -> Result<()> {
    // The agent must still report that the command has begun.
    machine.leave_by(
        "sync; sleep 2; echo c >/proc/sysrq-trigger",
        "crash, dump and reboot",
    )?;
    machine.expect_release(machine.ours)
}

fn kdump_dump(machine: &mut DebianGuest) -> Result<()> {
    let log = machine.sh("cat /var/crash/*/dmesg.*")?;
    for line in [
        "kexec: crash image: verified: crash image",
        "sysrq: Trigger a crash",
    ] {
        ensure!(log.contains(line), "the dump's log has no {line:?}");
    }
    machine.follow("symbols", machine.ours)?;
    let read = machine.follow("dump", machine.ours)?;
    ensure!(
        read.contains("sysrq_handle_crash"),
        "no backtrace of the crash:\n{read}"
    );
    let tasks = machine.sh(&in_dump(
        "*[task.comm.string_().decode() for task in for_each_task(prog)]",
    ))?;
    for task in ["systemd", "kthreadd"] {
        ensure!(
            tasks.contains(task),
            "the dump has no task {task}:\n{tasks}"
        );
    }
    Ok(())
}

/// A command that prints an expression of drgn's on the last dump, once the guide's block has run.
fn in_dump(expression: &str) -> String {
    format!(
        "drgn --quiet --core $(ls -t /var/crash/*/dump.* | head -n 1) --symbols /var/tmp/vmlinux \
         -e 'print({expression})'"
    )
}

/// The packages of a second build replace those of the first.
fn update(machine: &mut DebianGuest) -> Result<()> {
    let version = "uname -v; dpkg-query --show linux-image-$(uname -r)";
    let before = machine.sh(version)?;
    machine.take_second_build();
    // Does what an update of shim does: the file that it installs must be signed again, too.
    machine.run("cp /usr/lib/shim/shimx64.efi.signed /boot/efi/EFI/BOOT/BOOTX64.EFI")?;
    machine.leave("update", machine.ours)?;
    machine.expect_release(machine.ours)?;
    machine.run("systemctl is-system-running --wait")?;
    let after = machine.sh(version)?;
    for (before, after) in before.lines().zip(after.lines()) {
        ensure!(before != after, "{after:?} is as before");
    }
    secure_boot::expect_on(machine)?;
    kexec(machine, machine.ours, Some(VERIFIED))
}

/// The beginnings of paths that the guide's block on removing settings keeps: the file of a package,
/// and what Secure Boot needs as long as the firmware has the key.
const KEPT_SETTINGS: &[&str] = &[
    KDUMP_SETTINGS,
    "/etc/secure-boot",
    "/etc/apt/apt.conf.d/99sign-boot",
    "/usr/local/sbin/sign-boot",
];

fn remove(machine: &mut DebianGuest) -> Result<()> {
    machine.follow("remove-symbols", machine.ours)?;
    machine.leave("remove", machine.ours)?;
    machine.expect_release(machine.distribution)?;
    machine.run("systemctl is-system-running --wait")?;
    machine.follow("remove-settings", machine.distribution)?;
    let settings = machine.settings()?;
    let settings: Vec<&str> = settings
        .lines()
        .filter(|path| !KEPT_SETTINGS.iter().any(|kept| path.starts_with(kept)))
        .collect();
    ensure!(settings.is_empty(), "not removed: {settings:?}");
    machine.run(&format!("cmp {KDUMP_SETTINGS} {KDUMP_SETTINGS_BEFORE}"))?;
    let left = machine
        .sh("ls /boot; dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n'")?;
    let left: Vec<&str> = left
        .lines()
        .filter(|line| line.contains("kexec-purgatory") && !line.ends_with("config-files"))
        .collect();
    ensure!(left.is_empty(), "not removed: {left:?}");
    Ok(())
}

/// Checks that every block of the guide was run.
fn whole_guide(machine: &mut DebianGuest) -> Result<()> {
    let missing = machine.left_out();
    ensure!(missing.is_empty(), "not run: {missing:?}");
    Ok(())
}
