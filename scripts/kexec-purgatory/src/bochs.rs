// SPDX-License-Identifier: GPL-2.0-only

//! Boots a kernel in Bochs, which emulates AVX-512 where QEMU does not.
//!
//! GRUB loads the kernel from a CD. Bochs comes from a Debian 13 root: the kernel does not boot in
//! older versions.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::command::{Running, output, tail};
use crate::guest::Guest;
use crate::layout::Layout;
use crate::progress::Step;
use crate::qemu::{SILENCE, SerialLog};
use crate::root::Root;

/// A processor with everything that any engine needs. Newer processors have AMX, for which the
/// kernel sets bits of XCR0 that this Bochs refuses.
const PROCESSOR: &str = "tigerlake";

/// Instructions that Bochs takes for a second of the machine's clock. With the default of 4 million
/// the next tick of the clock can come before a kernel with lockdep has handled the last one, and
/// the kernel does nothing else any more.
const INSTRUCTIONS_PER_SECOND: u64 = 50_000_000;

/// Memory of the machine, in MiB.
const MEMORY: u64 = 1024;

/// How often to check whether the guest has ended.
const POLL: Duration = Duration::from_secs(1);

/// The beginnings of a guest's last line: of `/init`, and of a purgatory that found damage. The
/// machine is then reset, and would boot again.
const LAST_LINES: &[&str] = &["guest: finished", "purgatory: resetting the machine"];

/// The instruction `xchg %bx, %bx`, at which Bochs stops if that is enabled.
pub const BREAKPOINT: &[u8] = &[0x66, 0x87, 0xdb];

/// Commands for Bochs's debugger.
const PRINT_AT_BREAKPOINT: &str = "continue\nregs\nsreg\ncreg\ndreg\ninfo tab\nquit\n";

/// The file with what the debugger prints.
const DEBUGGER_LOG: &str = "debugger";

/// Boots `kernel` with a guest, and waits until the guest says that it has finished, or the
/// purgatory that it resets the machine.
pub fn boot(layout: &Layout, name: &str, kernel: &Path, guest: &Guest) -> Result<SerialLog> {
    let run = run(layout, name, kernel, guest, None)?;
    ensure!(run.has_last_line(), "the guest did not finish:\n{run}");
    Ok(run.log)
}

/// Boots `kernel` with a guest that enters a kernel with a [`BREAKPOINT`] at its entry point. Also
/// returns what Bochs's debugger prints there about the registers and the page tables.
pub fn boot_to_breakpoint(
    layout: &Layout,
    name: &str,
    kernel: &Path,
    guest: &Guest,
) -> Result<(SerialLog, String)> {
    let run = run(layout, name, kernel, guest, Some(PRINT_AT_BREAKPOINT))?;
    ensure!(
        !run.has_last_line() && !run.debugger.is_empty(),
        "the breakpoint was not reached:\n{run}"
    );
    Ok((run.log, run.debugger))
}

/// A run that has ended.
struct Run {
    log: SerialLog,
    /// What the debugger printed.
    debugger: String,
    /// The log of Bochs itself.
    own: String,
}

impl Run {
    fn has_last_line(&self) -> bool {
        LAST_LINES.iter().any(|last| self.log.after(last).is_some())
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.log.tail(), tail(&self.own))
    }
}

/// Boots `kernel` with a guest. With `commands`, starts Bochs's debugger, which follows them. Waits
/// until the guest prints one of the [`LAST_LINES`], or Bochs ends.
fn run(
    layout: &Layout,
    name: &str,
    kernel: &Path,
    guest: &Guest,
    commands: Option<&str>,
) -> Result<Run> {
    let root = Root::with_bochs(layout)?;
    let mut step = Step::start(format!("boot {name} in Bochs"));
    let folder = tempfile::tempdir_in(&layout.build)?;
    let path = |name: &str| folder.path().join(name);
    write_cd(&root, folder.path(), kernel, guest)?;
    let processor = format!("model={PROCESSOR}, ips={INSTRUCTIONS_PER_SECOND}");
    let more = format!("debugger_log: {DEBUGGER_LOG}\nmagic_break: enabled=1\n");
    let configuration = configuration(MEMORY, &processor, "cdrom", "path=cd, status=inserted");
    fs::write(path("bochsrc"), configuration + &more)?;
    fs::write(path("commands"), commands.unwrap_or_default())?;
    let bochs = match commands {
        Some(_) => "bochs -debugger -rc commands",
        None => "bochs",
    };
    let mut script = root.command(&[folder.path()], "script")?;
    let mut bochs = Running::new(in_terminal(&mut script, folder.path(), bochs))?;
    let kept = layout.log(name)?;
    let mut printed = 0;
    let mut since = Instant::now();
    loop {
        // What was written before the end is read after it.
        let ended = bochs.has_ended()?;
        let serial = fs::read(path("serial")).unwrap_or_default();
        let text = |name| fs::read(path(name)).unwrap_or_default();
        let run = Run {
            log: SerialLog::new(&serial),
            debugger: String::from_utf8_lossy(&text(DEBUGGER_LOG)).into_owned(),
            own: String::from_utf8_lossy(&text("log")).into_owned(),
        };
        if serial.len() != printed {
            (printed, since) = (serial.len(), Instant::now());
            if let Some(line) = run.log.lines().filter(|line| !line.is_empty()).last() {
                step.line(line);
            }
        }
        let silent = since.elapsed() > SILENCE;
        if ended || silent || run.has_last_line() {
            fs::write(&kept, serial)?;
            ensure!(
                !silent,
                "{}: nothing was printed for {} s\n{run}",
                kept.display(),
                SILENCE.as_secs()
            );
            step.done();
            return Ok(run);
        }
        thread::sleep(POLL);
    }
}

/// Writes the image of a CD with GRUB, the kernel and the initramfs to `folder`.
fn write_cd(root: &Root, folder: &Path, kernel: &Path, guest: &Guest) -> Result<()> {
    let cd = folder.join("content");
    fs::create_dir_all(cd.join("boot/grub"))?;
    fs::copy(kernel, cd.join("kernel"))?;
    fs::copy(&guest.initramfs, cd.join("initramfs"))?;
    fs::write(
        cd.join("boot/grub/grub.cfg"),
        format!(
            "linux /kernel {}\ninitrd /initramfs\nboot\n",
            guest.cmdline()
        ),
    )?;
    output(
        root.command(&[folder], "grub-mkrescue")?
            .arg("--output")
            .args([folder.join("cd"), cd]),
    )
    .map(drop)
}

/// Adds what makes `script` run Bochs in `folder`, with its file `bochsrc`. Bochs needs a terminal,
/// which `script` provides. It may survive that terminal, hence `setpriv`.
pub fn in_terminal<'a>(script: &'a mut Command, folder: &Path, bochs: &str) -> &'a mut Command {
    let run = format!(
        "cd '{}' && exec setpriv --pdeathsig KILL {bochs} -q -f bochsrc",
        folder.display()
    );
    script
        .args(["--quiet", "--return", "--flush", "--command", &run])
        .arg(folder.join("terminal"))
        .env("TERM", "vt100")
        .stdout(Stdio::null())
}

/// The `bochsrc` of a machine with `memory` MiB that boots from a drive of type `boot`. It writes what
/// the serial port gets to the file `serial`, and what Bochs says to `log`.
pub fn configuration(memory: u64, processor: &str, boot: &str, drive: &str) -> String {
    format!(
        "memory: guest={memory}, host={memory}
cpu: {processor}, reset_on_triple_fault=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
boot: {boot}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type={boot}, {drive}
com1: enabled=1, mode=file, dev=serial
display_library: term
log: log
panic: action=fatal
"
    )
}
