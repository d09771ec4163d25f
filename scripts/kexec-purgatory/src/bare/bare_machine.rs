// SPDX-License-Identifier: GPL-2.0-only

//! The machine that images run on, its programs, and runs in QEMU.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::bare_bochs::Disk;
use super::image::{
    DIGESTS, DIGESTS_PROGRAM, EXIT_PORT, GUARD_TABLE, GUARDED, Image, JOB, KERNEL, PURGATORY, STATE,
};
use super::run_result::{BOOT, Ending, HANGS, MEMORY, POLL, Run, gave_up};
use super::{Purgatory, State};
use crate::command::{command, emulator, output};
use crate::layout::Layout;
use crate::machine::monitor;

/// Where a BIOS loads `bare/disk.S`.
const BOOT_SECTOR: u64 = 0x7c00;

/// What `bare/probe.S` writes to [`EXIT_PORT`].
const ENTERED: u8 = 0x2a;

/// What QEMU logs: resets, writes to PCI configuration space, and the executed instructions of the
/// purgatory.
const LOGGED: &str = "cpu_reset,trace:pci_cfg_write,in_asm";

/// What QEMU logs at a triple fault, but not at a reset by a device.
const TRIPLE_FAULT: &str = "Triple fault";

/// The machine that an image runs on.
pub struct Hardware {
    /// For `-machine`.
    pub machine: &'static str,
    /// I/O ports of one byte each that end the machine when they are written to, besides
    /// [`EXIT_PORT`].
    pub ports: &'static [u16],
}

/// A machine that can be reset in every way except by its own reset register.
const PC: Hardware = Hardware {
    machine: "q35",
    ports: &[],
};

/// What every run needs: the machine's program, and the purgatory to run.
pub struct Bare {
    folder: TempDir,
    boot: PathBuf,
    disk: Disk,
    probe: Vec<u8>,
    /// `bare/digests.S`, for the address [`DIGESTS_PROGRAM`].
    pub digests: Vec<u8>,
    pub purgatory: Purgatory,
}

impl Bare {
    /// Assembles the programs for a purgatory.
    pub fn new(layout: &Layout, purgatory: Purgatory) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let boot = folder.path().join("boot.elf");
        assemble(&layout.tool("bare/boot.S"), &boot, BOOT, "elf")?;
        let flat = |name, address| flat(layout, folder.path(), name, address);
        Ok(Self {
            boot,
            probe: flat("probe", KERNEL)?,
            digests: flat("digests", DIGESTS_PROGRAM)?,
            disk: Disk::new(flat("disk", BOOT_SECTOR)?, flat("boot", BOOT)?)?,
            folder,
            purgatory,
        })
    }

    /// An image with `others` regions besides the kernel's and its `boot_params`.
    pub fn image(&self, others: usize) -> Image {
        Image::new(&self.purgatory, &self.probe, others)
    }

    /// Runs an image in Bochs.
    pub fn run_in_bochs(&self, image: &Image) -> Result<Run> {
        self.disk.run(image, self.folder.path())
    }

    /// Runs an image in QEMU on the processor `cpu`, a value of `-cpu`.
    pub fn run(&self, cpu: &str, image: &Image) -> Result<Run> {
        self.run_on(&PC, cpu, image)
    }

    /// Runs an image in QEMU on a machine.
    ///
    /// The machine's time advances with its instructions, so that every run is the same.
    pub fn run_on(&self, hardware: &Hardware, cpu: &str, image: &Image) -> Result<Run> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let memory = folder.path().join("memory");
        let serial = folder.path().join("serial");
        let log = folder.path().join("log");
        let file = File::create_new(&memory)?;
        file.set_len(MEMORY << 20)?;
        image.write(&file)?;

        let mut qemu = emulator("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-accel", "tcg", "-icount", "shift=0,sleep=off"])
            .arg("-machine")
            .arg(format!("{},memory-backend=memory", hardware.machine))
            .args(["-cpu", cpu])
            .args(["-m", &format!("{MEMORY}M")])
            // Does little more than start a kernel.
            .args(["-bios", "qboot.rom"])
            .arg("-object")
            .arg(format!(
                "memory-backend-file,id=memory,size={MEMORY}M,share=on,mem-path={}",
                memory.display()
            ))
            .args(["-monitor", "stdio"])
            .arg("-serial")
            .arg(format!("file:{}", serial.display()))
            .arg("-device")
            .arg(format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=4"))
            .args(["-d", LOGGED, "-D"])
            .arg(&log)
            .arg("-dfilter")
            .arg(format!("{PURGATORY:#x}+{:#x}", self.purgatory.mem_size))
            .arg("-kernel")
            .arg(&self.boot);
        for port in hardware.ports {
            qemu.arg("-device")
                .arg(format!("isa-debug-exit,iobase={port:#x},iosize=1"));
        }
        let mut child = qemu
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run qemu-system-x86_64")?;
        let ending = watch(&mut child);
        // Does nothing if QEMU has ended.
        child.kill()?;
        let ended = child.wait_with_output()?;
        let ending = ending.with_context(|| {
            let errors = String::from_utf8_lossy(&ended.stderr);
            format!("qemu-system-x86_64: {}\n{}", ended.status, errors.trim())
        })?;
        let log = fs::read_to_string(&log)?;
        let ending = match ending {
            Ending::Reset if log.contains(TRIPLE_FAULT) => Ending::TripleFault,
            ending => ending,
        };
        let printed = fs::read(&serial).context("no serial console")?;
        Ok(Run {
            ending,
            printed: String::from_utf8_lossy(&printed).into_owned(),
            log,
            state: State::read(&file)?,
            memory: file,
        })
    }
}

/// Assembles and links one of the programs in `bare/`, for `address` and in the output format
/// `format`.
fn assemble(source: &Path, program: &Path, address: u64, format: &str) -> Result<()> {
    output(
        command("clang-19")
            .args(["--target=x86_64-linux-gnu", "-nostdlib", "-static"])
            .args(["-fuse-ld=lld-19", "-Wl,--build-id=none"])
            .arg(format!("-Wl,-Ttext={address:#x},--oformat={format}"))
            .arg(format!("-DJOB={JOB:#x}"))
            .arg(format!("-DSTATE={STATE:#x}"))
            .arg(format!("-DDIGESTS={DIGESTS:#x}"))
            .arg(format!("-DGUARD_TABLE={GUARD_TABLE:#x}"))
            .arg(format!("-DGUARDED={GUARDED:#x}"))
            .arg("-o")
            .arg(program)
            .arg(source),
    )
    .map(drop)
}

/// One of the programs in `bare/` as it is in memory; `folder` is for its file.
fn flat(layout: &Layout, folder: &Path, name: &str, address: u64) -> Result<Vec<u8>> {
    let path = folder.join(name).with_extension("flat");
    let source = layout.tool("bare").join(name).with_extension("S");
    assemble(&source, &path, address, "binary")?;
    fs::read(&path).context("cannot read a program")
}

/// Waits until a machine ends or halts.
fn watch(qemu: &mut Child) -> Result<Ending> {
    let mut input = qemu.stdin.take().context("no monitor")?;
    let mut output = BufReader::new(qemu.stdout.take().context("no monitor")?);
    let start = Instant::now();
    loop {
        if let Some(status) = qemu.try_wait()? {
            return match status.code() {
                Some(0) => Ok(Ending::Reset),
                // QEMU's status for its own errors; no device here gets a 0.
                Some(1) => Err(io::Error::other("QEMU failed").into()),
                // A status has 8 bits, of which isa-debug-exit sets the lowest one.
                Some(status) if status & 1 == 1 => Ok(match (status >> 1) as u8 {
                    ENTERED => Ending::Entered,
                    value => Ending::Written(value),
                }),
                _ => Err(io::Error::other("ended in an unknown way").into()),
            };
        }
        if let Some(ending) = halted(&mut input, &mut output) {
            return Ok(ending);
        }
        if start.elapsed() > HANGS {
            return Err(gave_up("QEMU"));
        }
        thread::sleep(POLL);
    }
}

/// Whether the processor is halted outside the firmware, according to the monitor. None if QEMU has
/// ended.
fn halted(input: &mut impl Write, output: &mut impl BufRead) -> Option<Ending> {
    const FIRMWARE_END: u64 = 1 << 20;

    input.write_all(b"info registers\n").ok()?;
    // RIP=000000000000fff0 RFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=0
    let mut line = String::new();
    while output.read_line(&mut line).ok()? > 0 && monitor::field(&line, "HLT").is_err() {
        line.clear();
    }
    // Only 64-bit mode has RIP; the firmware is in another mode.
    let address = monitor::field(&line, "RIP").ok()?;
    if u64::from_str_radix(address, 16).ok()? < FIRMWARE_END {
        return None;
    }
    match monitor::halted(&line).ok()?? {
        true => Some(Ending::Sleeps),
        false => Some(Ending::Halted),
    }
}
