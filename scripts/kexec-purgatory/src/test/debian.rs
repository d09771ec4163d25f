// SPDX-License-Identifier: GPL-2.0-only

//! The life of a Debian machine with the packages, in a guest: what its administrator does.
//!
//! The commands are those of the administrator's guide, which names each of its blocks in a comment,
//! `.. run: <name>`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

use super::Report;
use crate::debian::disk::{self, FILES_LABEL};
use crate::debian::guide::Guide;
use crate::debian::packages::{self, Profile};
use crate::debian::vm::{FIRMWARE_VARIABLES, Hardware, Vm};
use crate::fetch;
use crate::kernel::VERIFY_MODULE;
use crate::layout::Layout;
use crate::progress;
use crate::setup;

/// A step of the machine's life. Each needs those before it.
struct Step {
    name: &'static str,
    run: fn(&mut Machine) -> Result<()>,
}

const STEPS: &[Step] = &[
    step("debian/boot", boot),
    step("debian/install", install),
    step("debian/try", try_once),
    step("debian/module", module),
    step("debian/system-calls", system_calls),
    step("debian/systemctl-kexec/no-image", systemctl_without_image),
    step("debian/check", check),
    step("debian/check-reboot", check_reboot),
    step("debian/systemctl-kexec/verified", kexec_verified),
    step("debian/systemctl-kexec/distribution", kexec_distribution),
    step("debian/systemctl-kexec/back", kexec_back),
    step("debian/systemctl-kexec/direct", kexec_direct),
    step("debian/kdump/load", kdump_load),
    step("debian/kdump/crash", kdump_crash),
    step("debian/kdump/dump", kdump_dump),
    step("debian/soak", soak),
    step("debian/remove", remove),
    step("debian/guide", whole_guide),
];

const fn step(name: &'static str, run: fn(&mut Machine) -> Result<()>) -> Step {
    Step { name, run }
}

/// How many kexecs the soak has.
const SOAK: usize = 10;

pub fn names() -> Vec<String> {
    STEPS.iter().map(|step| step.name.to_owned()).collect()
}

pub fn run(layout: &Layout, report: &mut Report) -> Result<()> {
    let Some(last) = STEPS.iter().rposition(|step| report.wants(step.name)) else {
        return Ok(());
    };
    let mut machine = Machine::make(layout)?;
    for step in &STEPS[..=last] {
        let result = (step.run)(&mut machine);
        let failed = result.is_err();
        // A step that is not asked for, but fails, is why the others cannot run.
        match result {
            Ok(()) => report.record(step.name, Ok(())),
            Err(error) => {
                report.fail(step.name, &error);
                let log = layout.log("debian-journal")?;
                fs::write(&log, machine.journal())?;
                progress::print(&format!("# the guest's journal: {}", log.display()));
            }
        }
        if failed {
            break;
        }
    }
    Ok(())
}

/// A guest with Debian, and what is known of it.
struct Machine {
    vm: Vm,
    guide: Guide,
    /// The blocks of the guide that were run.
    followed: RefCell<BTreeSet<String>>,
    /// The number of this boot.
    boot: String,
    /// What `uname -r` says on the kernel of the packages, and on the distribution's.
    ours: String,
    distribution: String,
}

impl Machine {
    /// Builds the packages and the disk, and starts the guest, which boots the distribution's kernel.
    fn make(layout: &Layout) -> Result<Self> {
        setup::install_for_guests(layout)?;
        let mut files = packages::make(layout, Profile::Guest)?;
        let ours = files
            .iter()
            .find_map(|file| packages::release(file))
            .context("no package of a kernel")?;
        files.push(packages::vmlinux(layout, Profile::Guest));

        let folder = layout.build.join("debian-guest");
        fetch::remove(&folder)?;
        fs::create_dir_all(&folder)?;
        let file = |name: &str| folder.join(name);
        disk::copy(&disk::make(layout)?, &file("disk.img"))?;
        disk::of_files(&files, &file("packages.img"))?;
        fs::copy(FIRMWARE_VARIABLES, file("variables.fd"))?;
        let mut vm = Vm::start(&Hardware {
            disk: &file("disk.img"),
            variables: &file("variables.fd"),
            packages: Some(&file("packages.img")),
            console: &layout.log("debian-console")?,
        })?;
        let boot = vm.booted("boot the distribution's kernel", None)?;
        Ok(Self {
            vm,
            guide: Guide::read(layout)?,
            followed: RefCell::default(),
            boot,
            ours,
            distribution: fetch::distribution_kernel(layout)?.release,
        })
    }

    /// What a shell command prints.
    fn sh(&self, script: &str) -> Result<String> {
        self.vm.agent.output(script)
    }

    /// Runs a block of the guide, where `release` is that of a kernel.
    fn follow(&self, block: &str, release: &str) -> Result<String> {
        self.sh(&self.script(block, release)?)
    }

    /// Runs a block of the guide that ends in another boot.
    fn leave(&mut self, block: &str, release: &str) -> Result<()> {
        let script = self.script(block, release)?;
        self.leave_by(&script, block)
    }

    /// A block of the guide as a script, in the folder with the packages.
    fn script(&self, block: &str, release: &str) -> Result<String> {
        self.followed.borrow_mut().insert(block.to_owned());
        let commands = self.guide.block(block)?;
        Ok(format!(
            "set -e; mountpoint -q /mnt || mount --read-only LABEL={FILES_LABEL} /mnt; cd /mnt; \
             release={release}\n{commands}"
        ))
    }

    /// Runs a shell command that ends in another boot.
    fn leave_by(&mut self, script: &str, what: &str) -> Result<()> {
        let script = format!("({script}) >/root/left 2>&1");
        self.vm.agent.start(&script)?;
        self.boot = self.vm.booted(what, Some(&self.boot))?;
        Ok(())
    }

    /// A file in sysfs about images.
    fn state(&self, file: &str) -> Result<String> {
        self.sh(&format!("cat /sys/kernel/kexec/{file}"))
    }

    fn expect_state(&self, file: &str, expected: &str) -> Result<()> {
        let found = self.state(file)?;
        ensure!(found == expected, "{file} is {found:?}, not {expected:?}");
        Ok(())
    }

    fn expect_release(&self, expected: &str) -> Result<()> {
        let found = self.sh("uname -r")?;
        ensure!(found == expected, "{found} runs, not {expected}");
        Ok(())
    }

    /// What helps to find out why a step failed: the end of the journal, or of the console where no
    /// agent answers.
    fn journal(&self) -> String {
        self.sh("cat /root/left; journalctl --boot --no-pager --lines=80")
            .or_else(|_| self.vm.log().map(|log| log.tail()))
            .unwrap_or_default()
    }
}

fn boot(machine: &mut Machine) -> Result<()> {
    machine.expect_release(&machine.distribution)?;
    // Fails if it comes to any other state than running.
    machine.sh("systemctl is-system-running --wait").map(drop)
}

fn install(machine: &mut Machine) -> Result<()> {
    machine.follow("install", &machine.ours)?;
    machine
        .sh(&format!(
            "ls /boot/vmlinuz-{0} /boot/initrd.img-{0}",
            machine.ours
        ))
        .map(drop)
}

/// Boots the new kernel once, and has it the default.
fn try_once(machine: &mut Machine) -> Result<()> {
    let ours = machine.ours.clone();
    machine.leave("try", &ours)?;
    machine.expect_release(&ours)?;
    machine.expect_state("verify_policy", DIRECT)?;
    machine.follow("default", &ours).map(drop)
}

fn module(machine: &mut Machine) -> Result<()> {
    machine.follow("module", &machine.ours)?;
    machine.expect_state("verify_policy", &format!("policy: {VERIFY_MODULE}"))?;
    machine
        .sh(&format!(
            "grep -x CONFIG_KEXEC_PURGATORY_VERIFY=m /boot/config-{}",
            machine.ours
        ))
        .map(drop)
}

/// Which system call the ways to load an image use: only one of them has the decision taken.
fn system_calls(machine: &mut Machine) -> Result<()> {
    for (option, expected) in [
        ("", VERIFIED),
        ("--kexec-file-syscall", VERIFIED),
        ("--kexec-syscall", "unknown: loaded with kexec_load()"),
    ] {
        machine.sh(&format!(
            "kexec {option} --load /boot/vmlinuz-{0} --initrd=/boot/initrd.img-{0} --reuse-cmdline",
            machine.ours
        ))?;
        machine
            .expect_state("verify_loaded", expected)
            .with_context(|| format!("kexec {option} --load"))?;
        machine.sh("kexec --unload")?;
    }
    Ok(())
}

/// An image is checked on request.
fn check(machine: &mut Machine) -> Result<()> {
    machine.follow("load", &machine.ours)?;
    machine.follow("check", &machine.ours)?;
    machine.expect_state("check_loaded", "intact")
}

/// Images are checked before they are entered; later steps see that a boot does not end that.
fn check_reboot(machine: &mut Machine) -> Result<()> {
    machine.follow("check-reboot", &machine.ours)?;
    machine.expect_state("check_reboot", "1")
}

/// systemd finds no kernel by itself where GRUB is the boot loader, and says so.
fn systemctl_without_image(machine: &mut Machine) -> Result<()> {
    let ended = machine.vm.agent.run("systemctl kexec")?;
    ensure!(
        ended.status != 0 && ended.stderr.contains("No boot loader entry"),
        "systemctl kexec: exit status {}\n{}",
        ended.status,
        ended.stderr
    );
    Ok(())
}

/// Loads a kernel and enters it, as the guide says. There is no decision on the distribution's kernel.
fn kexec(machine: &mut Machine, release: &str, decision: Option<&str>) -> Result<()> {
    machine.follow("load", release)?;
    if let Some(decision) = decision {
        let found = machine.follow("decision", release)?;
        ensure!(found == decision, "decided: {found:?}, not {decision:?}");
    }
    machine.leave("enter", release)?;
    machine.expect_release(release)
}

const VERIFIED: &str = "verified: policy of kexec_purgatory_verify";
const DIRECT: &str = "direct: KEXEC_PURGATORY_VERIFY=m and no policy module is loaded";

fn kexec_verified(machine: &mut Machine) -> Result<()> {
    let ours = machine.ours.clone();
    kexec(machine, &ours, Some(VERIFIED))?;
    let entered = machine.follow("entered", &ours)?;
    for line in [
        format!("entered_by:{ours}"),
        format!("entered_decision:{VERIFIED}"),
    ] {
        ensure!(entered.contains(&line), "no {line} in\n{entered}");
    }
    Ok(())
}

fn kexec_distribution(machine: &mut Machine) -> Result<()> {
    let distribution = machine.distribution.clone();
    kexec(machine, &distribution, Some(VERIFIED))?;
    let failed = machine.sh("systemctl is-system-running --wait; systemctl --failed --plain")?;
    ensure!(
        failed.starts_with("degraded") && failed.contains("systemd-modules-load.service"),
        "the distribution's kernel lacks the module, but:\n{failed}"
    );
    Ok(())
}

/// The modules of the list in `modules-load.d` are loaded at boot, and the settings made.
fn kexec_back(machine: &mut Machine) -> Result<()> {
    let ours = machine.ours.clone();
    kexec(machine, &ours, None)?;
    machine.sh("test ! -e /sys/kernel/kexec/entered_by")?;
    machine.sh("systemctl is-system-running --wait")?;
    machine.expect_state("verify_policy", &format!("policy: {VERIFY_MODULE}"))?;
    machine.expect_state("check_reboot", "1")
}

fn kexec_direct(machine: &mut Machine) -> Result<()> {
    let ours = machine.ours.clone();
    machine.follow("unload-module", &ours)?;
    kexec(machine, &ours, Some(DIRECT))?;
    machine.expect_state("entered_by", &ours)?;
    machine.expect_state("entered_decision", DIRECT)
}

fn kdump_load(machine: &mut Machine) -> Result<()> {
    machine.follow("kdump", &machine.ours)?;
    machine.expect_state("verify_crash", "verified: crash image")?;
    machine.sh("grep -e ' -s ' /var/crash/kexec_cmd").map(drop)
}

fn kdump_crash(machine: &mut Machine) -> Result<()> {
    let ours = machine.ours.clone();
    // The agent has to answer that the command has begun.
    machine.leave_by(
        "sync; sleep 2; echo c >/proc/sysrq-trigger",
        "crash, dump and reboot",
    )?;
    machine.expect_release(&ours)
}

fn kdump_dump(machine: &mut Machine) -> Result<()> {
    let log = machine.sh("cat /var/crash/*/dmesg.*")?;
    ensure!(
        log.contains("sysrq: Trigger a crash"),
        "the dump's log does not tell of the crash"
    );
    // Where the package of debug symbols, which takes long to build, has it.
    machine.sh(&format!(
        "mkdir -p /usr/lib/debug; ln -s /mnt/vmlinux /usr/lib/debug/vmlinux-{}",
        machine.ours
    ))?;
    let read = machine.follow("dump", &machine.ours)?;
    ensure!(
        read.contains("sysrq_handle_crash"),
        "no backtrace of the crash:\n{read}"
    );
    Ok(())
}

/// Many kexecs in a row, of two kernels and both decisions.
fn soak(machine: &mut Machine) -> Result<()> {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(["kexec", "from", "to", "decision", "memory, kB"]);
    for number in 1..=SOAK {
        let ours = machine.sh("uname -r")? == machine.ours;
        let (from, to) = match ours {
            true => (machine.ours.clone(), machine.distribution.clone()),
            false => (machine.distribution.clone(), machine.ours.clone()),
        };
        let decision = match (ours, number % 4 < 2) {
            (false, _) => None,
            (true, true) => Some(VERIFIED),
            (true, false) => {
                machine.follow("unload-module", &from)?;
                Some(DIRECT)
            }
        };
        kexec(machine, &to, decision).with_context(|| format!("kexec {number}"))?;
        let memory = machine.sh("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")?;
        table.add_row([
            number.to_string(),
            from,
            to,
            decision.unwrap_or("purgatory in C").to_owned(),
            memory,
        ]);
    }
    for line in table.to_string().lines() {
        progress::print(&format!("# {line}"));
    }
    Ok(())
}

fn remove(machine: &mut Machine) -> Result<()> {
    let distribution = machine.distribution.clone();
    machine.leave("remove", &distribution)?;
    machine.expect_release(&distribution)?;
    machine.sh("systemctl is-system-running --wait")?;
    let left = machine
        .sh("ls /boot; dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n'")?;
    let left: Vec<&str> = left
        .lines()
        .filter(|line| line.contains("kexec-purgatory") && !line.ends_with("config-files"))
        .collect();
    ensure!(left.is_empty(), "not removed: {left:?}");
    Ok(())
}

/// No block of the guide was left out.
fn whole_guide(machine: &mut Machine) -> Result<()> {
    let followed = machine.followed.borrow();
    let names = machine.guide.names();
    let missing: Vec<&&str> = names
        .iter()
        .filter(|name| !followed.contains(**name))
        .collect();
    ensure!(missing.is_empty(), "not run: {missing:?}");
    Ok(())
}
