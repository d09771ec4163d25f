// SPDX-License-Identifier: GPL-2.0-only

//! A virtual machine with UEFI and a disk, which reboots as often as its guest wants.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use super::agent::{Agent, PING};
use crate::command::{Running, emulator};
use crate::layout::Layout;
use crate::machine::qmp::Qmp;
use crate::machine::{connect, memory, socket};
use crate::processors;
use crate::progress::Step;
use crate::qemu::{SILENCE, SerialLog, fastest_accelerator, uefi};

/// Memory in bytes. All of it is below 3 GiB, so that a physical address is an offset in its file.
const MEMORY: u64 = 2 << 30;
const PROCESSORS: &str = "2";

/// Pages of memory that are read at a time.
const PAGES: usize = 256;

/// A guest that has not booted by then hangs.
const HANGS: Duration = Duration::from_secs(3600);

/// How often to check whether the guest has booted.
const POLL: Duration = Duration::from_secs(2);

/// A text on the console, and QEMU's names of the keys to press then, one after the other.
pub type Answer<'a> = (&'a str, Vec<&'a str>);

/// The file in the guest with the output of a command that ended in another boot.
pub const LEFT: &str = "/root/left";

/// The hardware of a machine.
pub struct Hardware<'a> {
    /// A raw image, which the guest writes to.
    pub disk: &'a Path,
    /// The firmware's variables, which it writes to.
    pub variables: &'a Path,
    /// A raw image that the guest reads, its second disk.
    pub packages: Option<&'a Path>,
    /// The file that the serial console is written to.
    pub console: &'a Path,
}

/// A running machine, which is killed when this value is dropped.
pub struct Vm {
    process: Running,
    pub agent: Agent,
    pub qmp: Qmp,
    console: PathBuf,
    /// The file with its memory.
    memory: File,
    /// The sockets, and the file of its memory.
    _folder: TempDir,
}

impl Vm {
    pub fn start(layout: &Layout, hardware: &Hardware<'_>) -> Result<Self> {
        let folder = memory::folder(layout)?;
        let [agent, control, memory] =
            ["agent", "control", "memory"].map(|name| folder.path().join(name));
        let mut qemu = emulator("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-display", "none"])
            .args(["-machine", "q35,memory-backend=memory"])
            .args(["-accel", fastest_accelerator(), "-cpu", processors::MAX])
            .args(["-m", &format!("{}M", MEMORY >> 20), "-smp", PROCESSORS])
            .arg("-object")
            .arg(format!(
                "memory-backend-file,id=memory,size={MEMORY},share=on,mem-path={}",
                memory.display()
            ))
            .args(["-device", "virtio-rng-pci"])
            // The chipset's watchdog runs from the start. After a kernel has loaded the watchdog's
            // driver, a crash kernel, which lacks the driver, is reset after 40 s. An emulated one
            // takes longer to write a dump.
            .args(["-watchdog-action", "none"])
            .args(uefi(hardware.variables))
            .arg("-drive")
            .arg(format!(
                "if=virtio,format=raw,cache=unsafe,file={}",
                hardware.disk.display()
            ))
            .args(["-chardev", &socket("agent", &agent)])
            .args(["-chardev", &socket("control", &control)])
            .args(["-qmp", "chardev:control"])
            .arg("-chardev")
            .arg(format!(
                "file,id=console,path={}",
                hardware.console.display()
            ))
            .args(["-serial", "chardev:console", "-serial", "chardev:agent"])
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        if let Some(packages) = hardware.packages {
            qemu.arg("-drive").arg(format!(
                "if=virtio,format=raw,readonly=on,file={}",
                packages.display()
            ));
        }
        let mut process = Running(qemu.spawn().context("cannot run qemu-system-x86_64")?);
        let qmp = Qmp::connect(connect(&mut process.0, &control)?)?;
        Ok(Self {
            process,
            agent: Agent::new(&agent),
            qmp,
            console: hardware.console.to_owned(),
            memory: File::options().read(true).write(true).open(&memory)?,
            _folder: folder,
        })
    }

    /// Flips a bit in each page of memory that equals `page` and for whose address `wanted` is
    /// true. Returns the number of such pages.
    pub fn damage(&self, page: &[u8], wanted: impl Fn(u64) -> bool) -> Result<usize> {
        let mut found = 0;
        let mut pages = vec![0; PAGES * page.len()];
        for start in (0..MEMORY).step_by(pages.len()) {
            self.memory.read_exact_at(&mut pages, start)?;
            for (address, here) in (start..).step_by(page.len()).zip(pages.chunks(page.len())) {
                if here == page && wanted(address) {
                    self.memory.write_all_at(&[page[0] ^ 1], address)?;
                    found += 1;
                }
            }
        }
        Ok(found)
    }

    /// Waits until a kernel of another boot than `before` runs and its agent answers. Returns the
    /// number of its boot.
    pub fn booted(&mut self, what: &str, before: Option<&str>) -> Result<String> {
        let mut step = Step::start(what);
        let began = Instant::now();
        let (mut printed, mut since) = (0, began);
        loop {
            if let Some(status) = self.process.0.try_wait()? {
                bail!("qemu-system-x86_64: {status}");
            }
            match self.agent.boot_id() {
                Ok(Some(id)) if before != Some(id.as_str()) => {
                    step.done();
                    return Ok(id);
                }
                // The guest runs, and may be about to shut down, or to write a dump.
                Ok(_) => {
                    since = Instant::now();
                    self.expect_no_failure()?;
                }
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

    /// Runs a shell command that ends in another boot.
    pub fn leave(&self, script: &str) -> Result<()> {
        self.agent.start(&format!(
            "rm -f {LEFT}*; ({script}) >{LEFT} 2>&1 || echo failed >{LEFT}.failed"
        ))
    }

    /// Fails if the command of [`Vm::leave`] has failed.
    fn expect_no_failure(&self) -> Result<()> {
        // The agent may be gone by now.
        let script = format!("cat {LEFT}.failed && cat {LEFT}");
        match self.agent.run_within(&script, PING) {
            Ok(ended) if ended.status == 0 => bail!("{}", ended.stdout),
            _ => Ok(()),
        }
    }

    /// Presses the keys of each answer once the console shows its text. Call this after
    /// [`Vm::leave`]. Only what was printed after the first `since` bytes counts.
    pub fn answer(&mut self, mut since: usize, dialog: &[Answer<'_>]) -> Result<()> {
        for (text, keys) in dialog {
            let began = Instant::now();
            since += loop {
                let console = fs::read(&self.console)?;
                let printed = console.get(since..).unwrap_or_default();
                let found = |window: &[u8]| window == text.as_bytes();
                if let Some(start) = printed.windows(text.len()).position(found) {
                    break start + text.len();
                }
                if let Some(status) = self.process.0.try_wait()? {
                    bail!("qemu-system-x86_64: {status}");
                }
                // Do not ask the agent here: the firmware takes what its port receives for keys.
                ensure!(
                    began.elapsed() < SILENCE,
                    "the console does not show {text:?}:\n{}",
                    SerialLog::new(printed).tail()
                );
                thread::sleep(POLL);
            };
            for key in keys {
                self.qmp.press(key)?;
            }
        }
        Ok(())
    }

    /// Powers the guest's machine off, and waits for that.
    pub fn power_off(&mut self) -> Result<()> {
        self.agent.start("systemctl poweroff")?;
        let began = Instant::now();
        while began.elapsed() < SILENCE {
            if let Some(status) = self.process.0.try_wait()? {
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

    /// The output there after the first `since` bytes.
    pub fn printed_since(&self, since: usize) -> Result<String> {
        let console = fs::read(&self.console)?;
        let new = console.get(since..).unwrap_or_default();
        Ok(String::from_utf8_lossy(new).into_owned())
    }

    /// The size of the output there so far, in bytes.
    pub fn printed(&self) -> Result<usize> {
        Ok(fs::read(&self.console)?.len())
    }
}
