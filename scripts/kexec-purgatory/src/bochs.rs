// SPDX-License-Identifier: GPL-2.0-only

//! Boots a kernel in Bochs, which emulates AVX-512 where QEMU does not.
//!
//! GRUB loads the kernel from a CD. Bochs comes from a Debian 13 root: the kernel does not boot in
//! older versions.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::command::{Running, output};
use crate::guest::{EVERY_KERNEL, Guest};
use crate::layout::Layout;
use crate::progress::Step;
use crate::qemu::{SILENCE, SerialLog};
use crate::root::Root;

/// A processor with everything that any engine needs. Newer processors have AMX, for which the
/// kernel sets bits of XCR0 that this Bochs refuses.
const PROCESSOR: &str = "tigerlake";

/// Memory of the machine, in MiB.
const MEMORY: u64 = 1024;

/// How often to check whether the guest has ended.
const POLL: Duration = Duration::from_secs(1);

/// The beginnings of a guest's last line: of `/init`, and of a purgatory that found damage. The
/// machine is then reset, and would boot again.
const LAST_LINES: &[&str] = &["guest: finished", "purgatory: resetting the machine"];

/// Boots `kernel` with a guest, and waits until the guest says that it has finished, or the
/// purgatory that it resets the machine.
pub fn boot(layout: &Layout, name: &str, kernel: &Path, guest: &Guest) -> Result<SerialLog> {
    let root = Root::with_bochs(layout)?;
    let mut step = Step::start(format!("boot {name} in Bochs"));
    let folder = tempfile::tempdir_in(&layout.build)?;
    let path = |name: &str| folder.path().join(name);
    write_cd(&root, folder.path(), kernel, guest)?;
    fs::write(path("bochsrc"), configuration())?;
    // Debian's Bochs waits for a debugger's commands before the first instruction.
    fs::write(path("commands"), "continue\n")?;

    // Bochs needs a terminal; script provides one. Bochs may survive its terminal, hence setpriv.
    let run = format!(
        "cd '{}' && exec setpriv --pdeathsig KILL bochs -q -f bochsrc -rc commands",
        folder.path().display()
    );
    let mut bochs = Running::new(
        root.command(&[folder.path()], "script")?
            .args(["--quiet", "--return", "--flush", "--command", &run])
            .arg(path("terminal"))
            .env("TERM", "vt100")
            .stdout(Stdio::null()),
    )?;
    let kept = layout.log(name)?;
    let mut printed = 0;
    let mut since = Instant::now();
    let ended = loop {
        let serial = fs::read(path("serial")).unwrap_or_default();
        let log = SerialLog::new(&serial);
        if serial.len() != printed {
            (printed, since) = (serial.len(), Instant::now());
            if let Some(line) = log.lines().filter(|line| !line.is_empty()).last() {
                step.line(line);
            }
        }
        if LAST_LINES.iter().any(|last| log.after(last).is_some()) {
            break Ok(log);
        }
        if bochs.has_ended()? || since.elapsed() > SILENCE {
            let own = fs::read_to_string(path("log")).unwrap_or_default();
            let own: Vec<&str> = own.lines().rev().take(5).collect();
            break Err(format!(
                "the guest did not finish:\n{}\n{}",
                log.tail(),
                own.join("\n")
            ));
        }
        thread::sleep(POLL);
    };
    // Ends Bochs.
    drop(bochs);
    fs::write(&kept, fs::read(path("serial")).unwrap_or_default())?;
    match ended {
        Ok(log) => {
            step.done();
            Ok(log)
        }
        Err(error) => bail!("{}: {error}", kept.display()),
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
            "linux /kernel {EVERY_KERNEL} earlyprintk=ttyS0,115200 {}\ninitrd /initramfs\nboot\n",
            guest.arguments
        ),
    )?;
    output(
        root.command(&[folder], "grub-mkrescue")?
            .arg("--output")
            .args([folder.join("cd"), cd]),
    )
    .map(drop)
}

fn configuration() -> String {
    format!(
        "memory: guest={MEMORY}, host={MEMORY}
cpu: model={PROCESSOR}, reset_on_triple_fault=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
boot: cdrom
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=cd, status=inserted
com1: enabled=1, mode=file, dev=serial
display_library: term
log: log
panic: action=fatal
"
    )
}
