// SPDX-License-Identifier: GPL-2.0-only

//! A machine in QEMU that is stopped, inspected, changed and saved from outside.
//!
//! Its memory is in a file. A stopped machine can be saved as a [`Template`]. Any number of
//! machines can be made from a template, each with that state and with its own memory: no machine
//! sees what another one writes.

pub mod gdb;
pub mod guest_setup;
pub mod loaded;
pub mod memory;
pub mod monitor;
pub mod qmp;
pub mod symbols;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tempfile::TempDir;

use self::gdb::{Break, Gdb};
use self::qmp::Qmp;
use crate::command::{Running, emulator};
use crate::qemu::{SILENCE, SerialLog};

/// How often to check whether QEMU has started.
const START_POLL: Duration = Duration::from_millis(2);

/// What a guest of such a machine boots.
pub struct Boot<'a> {
    pub kernel: &'a Path,
    pub initramfs: &'a Path,
    pub cmdline: &'a str,
}

impl Boot<'_> {
    fn arguments(&self, qemu: &mut Command) {
        qemu.arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .args(["-append", self.cmdline]);
    }
}

/// For `share`: the file with the memory receives what the machine writes.
const SHARED: &str = "on";
/// For `share`: the machine has a private copy of the file, which does not change.
const PRIVATE: &str = "off";

/// Why [`Machine::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// A breakpoint was hit; the machine is stopped.
    Breakpoint,
    /// The awaited text was printed; the machine runs.
    Printed,
    /// The machine was reset, or powered off: QEMU has ended.
    Ended,
    /// None of this happened for [`SILENCE`]; the machine runs.
    Silent,
}

/// A running QEMU, which is killed when this value is dropped.
pub struct Machine {
    process: Running,
    cpu: String,
    input: ChildStdin,
    output: ChildStdout,
    /// All that was printed on the serial console.
    console: Vec<u8>,
    pub qmp: Qmp,
    pub gdb: Gdb,
    /// Its sockets.
    _folder: TempDir,
}

/// The saved state of a machine.
pub struct Template {
    cpu: String,
    memory: PathBuf,
    state: PathBuf,
}

impl Machine {
    /// Makes a machine that is stopped before its first instruction, with `cpu` for `-cpu` and its
    /// memory in the new file `memory`.
    pub fn boot(cpu: &str, memory: &Path, boot: &Boot<'_>) -> Result<Self> {
        memory::create(memory)?;
        Self::start(cpu, memory, SHARED, |qemu| boot.arguments(qemu))
    }

    /// Like [`Machine::boot`], for a machine that counts its instructions. Its clock and time stamp
    /// counter advance by one with each instruction, and nothing in it is random.
    pub fn boot_counting(cpu: &str, memory: &Path, boot: &Boot<'_>) -> Result<Self> {
        memory::create(memory)?;
        Self::start(cpu, memory, SHARED, |qemu| {
            // QEMU reports the instruction count only while it records the execution; the record
            // itself is not needed. The clock does not give the count: it advances to the next
            // timer when the machine is stopped.
            let record = "shift=0,sleep=off,rr=record,rrfile=/dev/null";
            qemu.args(["-icount", record, "-seed", "1"])
                .args(["-rtc", "base=2026-01-01,clock=vm"]);
            boot.arguments(qemu);
        })
    }

    fn start(
        cpu: &str,
        memory: &Path,
        share: &str,
        more: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path_of = |name: &str| folder.path().join(name);
        let mut qemu = emulator("qemu-system-x86_64");
        qemu.args(["-S", "-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-accel", "tcg", "-cpu", cpu, "-smp", "1"])
            .args(["-machine", "q35,memory-backend=memory"])
            .args(["-m", &format!("{}M", memory::SIZE >> 20)])
            .arg("-object")
            .arg(format!(
                "memory-backend-file,id=memory,size={},share={share},mem-path={}",
                memory::SIZE,
                memory.display()
            ))
            // QEMU would not load a state that was saved at a breakpoint.
            .args(["-global", "migration.store-global-state=off"])
            .args(["-chardev", "stdio,id=serial,signal=off"])
            .args(["-serial", "chardev:serial"]);
        for (name, option) in [("gdb", "-gdb"), ("qmp", "-qmp")] {
            qemu.args(["-chardev", &socket(name, &path_of(name))])
                .args([option, &format!("chardev:{name}")]);
        }
        more(&mut qemu);
        let mut process = qemu
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let connected = connect(&mut process, &path_of("qmp"))
            .and_then(Qmp::connect)
            .and_then(|qmp| {
                let gdb = connect(&mut process, &path_of("gdb"))?;
                Ok((qmp, Gdb::connect(gdb)?))
            });
        let (qmp, gdb) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                process.kill()?;
                let ended = process.wait_with_output()?;
                return Err(error.context(String::from_utf8_lossy(&ended.stderr).into_owned()));
            }
        };
        Ok(Self {
            input: process.stdin.take().context("QEMU has no input")?,
            output: process.stdout.take().context("QEMU has no output")?,
            process: Running(process),
            cpu: cpu.to_owned(),
            console: Vec::new(),
            qmp,
            gdb,
            _folder: folder,
        })
    }

    /// Lets the stopped machine run until it hits a breakpoint, `printed` is true for the output so
    /// far, the machine ends, or it prints nothing for [`SILENCE`].
    pub fn run(&mut self, printed: impl Fn(&SerialLog) -> bool) -> Result<Stop> {
        self.gdb.resume()?;
        self.wait(printed)
    }

    /// Like [`Machine::run`], for a machine that is already running.
    pub fn wait(&mut self, printed: impl Fn(&SerialLog) -> bool) -> Result<Stop> {
        let silence = Timespec::try_from(SILENCE)?;
        loop {
            let mut ready = [
                PollFd::new(&self.output, PollFlags::IN),
                PollFd::new(&self.gdb, PollFlags::IN),
            ];
            if poll(&mut ready, Some(&silence))? == 0 {
                return Ok(Stop::Silent);
            }
            let [output, gdb] = ready.map(|ready| !ready.revents().is_empty());
            if output {
                let mut buffer = [0; 4096];
                let length = self.output.read(&mut buffer)?;
                if length == 0 {
                    return Ok(Stop::Ended);
                }
                self.console.extend(&buffer[..length]);
                if printed(&self.log()) {
                    return Ok(Stop::Printed);
                }
            } else if gdb {
                match self.gdb.has_stopped() {
                    Ok(true) => return Ok(Stop::Breakpoint),
                    Ok(false) => {}
                    // QEMU closes this connection when it ends, and then its console.
                    Err(error) => return self.end().map_err(|ended| ended.context(error)),
                }
            }
        }
    }

    /// Reads the rest of the output of QEMU, which has ended or is about to. Fails if QEMU failed.
    fn end(&mut self) -> Result<Stop> {
        self.output.read_to_end(&mut self.console)?;
        let status = self.process.0.wait()?;
        match status.success() {
            true => Ok(Stop::Ended),
            false => {
                let mut errors = String::new();
                if let Some(stderr) = &mut self.process.0.stderr {
                    stderr.read_to_string(&mut errors)?;
                }
                bail!("qemu-system-x86_64: {status}\n{errors}")
            }
        }
    }

    /// Lets the stopped machine run to the instruction at a virtual address.
    pub fn run_to(&mut self, address: u64) -> Result<()> {
        self.gdb.insert(Break::Execute, address)?;
        let stop = self.run(|_| false)?;
        if stop != Stop::Breakpoint || self.gdb.registers()?.get("rip")? != address {
            bail!(
                "the machine did not come to {address:#x}: {stop:?}\n{}",
                self.log().tail()
            );
        }
        self.gdb.remove(Break::Execute, address)
    }

    /// Lets the stopped machine run until it prints a line that begins with `line`, then stops it.
    pub fn run_until(&mut self, line: &str) -> Result<()> {
        match self.run(|log| log.after(line).is_some())? {
            Stop::Printed => {}
            stop => bail!("{line:?} was not printed: {stop:?}\n{}", self.log().tail()),
        }
        self.gdb.interrupt()?;
        match self.wait(|_| false)? {
            Stop::Breakpoint => Ok(()),
            stop => bail!("the machine does not stop: {stop:?}"),
        }
    }

    /// Writes to the serial console.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}").context("cannot write to the guest's console")
    }

    /// The output on the serial console.
    pub fn log(&self) -> SerialLog {
        SerialLog::new(&self.console)
    }

    /// Saves the stopped machine, whose memory is in `memory`. The machine cannot run again.
    pub fn save(mut self, memory: &Path) -> Result<Template> {
        let state = memory.with_extension("state");
        self.qmp.save(&state)?;
        Ok(Template {
            cpu: self.cpu,
            memory: memory.to_owned(),
            state,
        })
    }
}

impl Template {
    /// Makes a stopped machine with this state. What it writes to memory does not change the
    /// template.
    pub fn spawn(&self) -> Result<Machine> {
        self.resume(&self.memory, PRIVATE)
    }

    /// Makes a stopped machine with this state and with a copy of the memory in `memory`, so that
    /// it can be saved later.
    pub fn copy(&self, memory: &Path) -> Result<Machine> {
        memory::copy(&self.memory, memory)?;
        self.resume(memory, SHARED)
    }

    fn resume(&self, memory: &Path, share: &str) -> Result<Machine> {
        let mut machine = Machine::start(&self.cpu, memory, share, |qemu| {
            qemu.args(["-incoming", "defer"]);
        })?;
        if let Err(error) = machine.qmp.restore(&self.state) {
            // If QEMU ended because of this, its own message says more.
            return Err(match machine.end() {
                Ok(_) => error,
                Err(ended) => ended,
            });
        }
        Ok(machine)
    }

    /// Reads physical memory.
    pub fn read(&self, address: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        File::open(&self.memory)?
            .read_exact_at(&mut bytes, address)
            .with_context(|| format!("no memory at {address:#x}"))?;
        Ok(bytes)
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        // Their directory is removed as well, but this frees much memory earlier.
        let _ = fs::remove_file(&self.memory);
        let _ = fs::remove_file(&self.state);
    }
}

/// For `-chardev`: a socket that QEMU makes.
pub fn socket(name: &str, path: &Path) -> String {
    format!(
        "socket,id={name},server=on,wait=off,path={}",
        path.display()
    )
}

/// Connects to a socket that QEMU is about to make.
pub fn connect(process: &mut Child, socket: &Path) -> Result<UnixStream> {
    let started = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                if let Some(status) = process.try_wait()? {
                    bail!("qemu-system-x86_64: {status}");
                }
                if started.elapsed() > SILENCE {
                    return Err(error).context("QEMU does not start");
                }
                thread::sleep(START_POLL);
            }
        }
    }
}
