// SPDX-License-Identifier: GPL-2.0-only

//! A virtual machine with UEFI and a disk, which reboots as often as its guest wants.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::agent::Agent;
use crate::command::emulator;
use crate::processors;
use crate::progress::Step;
use crate::qemu::{SILENCE, SerialLog, fastest_accelerator};

/// The firmware's code, and its variables as they are in a new machine.
const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
pub const FIRMWARE_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

const MEMORY: &str = "2G";
const PROCESSORS: &str = "2";

/// A guest that has not booted by then hangs.
const HANGS: Duration = Duration::from_secs(3600);

/// How often it is tried whether the guest has booted.
const POLL: Duration = Duration::from_secs(2);

/// What a machine has.
pub struct Hardware<'a> {
    /// A raw image, which the guest writes to.
    pub disk: &'a Path,
    /// The firmware's variables, which it writes to.
    pub variables: &'a Path,
    /// A raw image that the guest reads, its second disk.
    pub packages: Option<&'a Path>,
    /// Where its serial console is written to.
    pub console: &'a Path,
}

/// A running machine, which ends with this value.
pub struct Vm {
    process: Child,
    pub agent: Agent,
    console: PathBuf,
    /// The agent's socket.
    _folder: TempDir,
}

impl Vm {
    pub fn start(hardware: &Hardware<'_>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("agent");
        let mut qemu = emulator("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-display", "none", "-machine", "q35"])
            .args(["-accel", fastest_accelerator(), "-cpu", processors::MAX])
            .args(["-m", MEMORY, "-smp", PROCESSORS])
            .args(["-device", "virtio-rng-pci"])
            // The chipset's watchdog runs from the start. Once a kernel has its driver, a crash kernel,
            // which has not, is reset after 40 s, and an emulated one takes longer to write a dump.
            .args(["-watchdog-action", "none"])
            .arg("-drive")
            .arg(format!(
                "if=pflash,unit=0,format=raw,readonly=on,file={FIRMWARE}"
            ))
            .arg("-drive")
            .arg(format!(
                "if=pflash,unit=1,format=raw,file={}",
                hardware.variables.display()
            ))
            .arg("-drive")
            .arg(format!(
                "if=virtio,format=raw,cache=unsafe,file={}",
                hardware.disk.display()
            ))
            .arg("-chardev")
            .arg(format!(
                "socket,id=agent,server=on,wait=off,path={}",
                socket.display()
            ))
            .args(["-device", "virtio-serial"])
            .args([
                "-device",
                "virtserialport,chardev=agent,name=org.qemu.guest_agent.0",
            ])
            .arg("-chardev")
            .arg(format!(
                "file,id=console,path={}",
                hardware.console.display()
            ))
            .args(["-serial", "chardev:console"])
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        if let Some(packages) = hardware.packages {
            qemu.arg("-drive").arg(format!(
                "if=virtio,format=raw,readonly=on,file={}",
                packages.display()
            ));
        }
        Ok(Self {
            process: qemu.spawn().context("cannot run qemu-system-x86_64")?,
            agent: Agent::new(&socket),
            console: hardware.console.to_owned(),
            _folder: folder,
        })
    }

    /// Waits until a kernel runs that is not the one of the boot `before`, and its agent answers.
    /// Returns its boot's number.
    pub fn booted(&mut self, what: &str, before: Option<&str>) -> Result<String> {
        let mut step = Step::start(what);
        let began = Instant::now();
        let (mut printed, mut since) = (0, began);
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("qemu-system-x86_64: {status}");
            }
            match self.agent.boot_id() {
                Ok(Some(id)) if before != Some(id.as_str()) => {
                    step.done();
                    return Ok(id);
                }
                // It lives, and may be about to shut down, or to write a dump.
                Ok(_) => since = Instant::now(),
                Err(_) => {}
            }
            let console = fs::read(&self.console).unwrap_or_default();
            if console.len() != printed {
                (printed, since) = (console.len(), Instant::now());
                let text = String::from_utf8_lossy(&console);
                if let Some(line) = text.lines().rfind(|line| !line.trim().is_empty()) {
                    step.line(line);
                }
            }
            if since.elapsed() > SILENCE || began.elapsed() > HANGS {
                bail!(
                    "the guest did not boot for {} s; from {}:\n{}",
                    began.elapsed().as_secs(),
                    self.console.display(),
                    SerialLog::new(&console).tail()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Has the guest power its machine off, and waits for that.
    pub fn power_off(mut self) -> Result<()> {
        self.agent.start("systemctl poweroff")?;
        let began = Instant::now();
        while began.elapsed() < SILENCE {
            if let Some(status) = self.process.try_wait()? {
                ensure!(status.success(), "qemu-system-x86_64: {status}");
                return Ok(());
            }
            thread::sleep(POLL);
        }
        bail!("the guest does not power off");
    }

    /// What was printed on the serial console so far.
    pub fn log(&self) -> Result<SerialLog> {
        Ok(SerialLog::new(&fs::read(&self.console)?))
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
