// SPDX-License-Identifier: GPL-2.0-only

//! Runs an image in Bochs, which emulates AVX-512 where QEMU does not.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::image::{Image, JOB_IN_BOCHS, STATE};
use super::probe::{self, State};
use super::run_result::{BOOT, Ending, HANGS, MEMORY, POLL, Run, gave_up};
use crate::bochs;
use crate::command::{Running, emulator, tail};

/// A processor with everything that any engine needs.
const PROCESSOR: &str = "corei7_icelake_u";

/// Sectors of the disk, in bytes, and how many of them there are in a cylinder.
const SECTOR: usize = 512;
const HEADS: usize = 16;
const SECTORS_PER_TRACK: usize = 63;

/// Size of the pieces of memory that are on the disk, or left out if they are zero; in bytes.
const BLOCK: usize = 64 << 10;

/// The purgatory's last line if it does not enter the next kernel.
const STOPPED: &str = "purgatory: stopped\r\n";

/// What Bochs prints when the next kernel has asked it to end.
const SHUT_DOWN: &str = "shutdown requested";

/// What it prints about a triple fault, after which it executes nothing more.
const TRIPLE_FAULT: &str = "exception with no resolution";

/// The part of the disk that is the same for every image.
pub struct Disk {
    boot_sector: Vec<u8>,
    boot: Vec<u8>,
}

impl Disk {
    /// `boot_sector` is `bare/disk.S`, `boot` is `bare/boot.S`, both assembled.
    pub fn new(boot_sector: Vec<u8>, boot: Vec<u8>) -> Result<Self> {
        ensure!(boot_sector.len() == SECTOR, "the boot sector is no sector");
        Ok(Self { boot_sector, boot })
    }

    /// A disk that fills memory with the contents of `memory`. Also returns its number of
    /// cylinders.
    fn with(&self, memory: &File) -> Result<(Vec<u8>, usize)> {
        memory.write_all_at(&self.boot, BOOT)?;
        let mut table = Vec::new();
        let mut content: Vec<u8> = Vec::new();
        let empty = vec![0; BLOCK];
        let mut block = empty.clone();
        for address in (0..MEMORY << 20).step_by(BLOCK) {
            memory.read_exact_at(&mut block, address)?;
            if block == empty {
                continue;
            }
            let first = 2 + content.len() / SECTOR;
            for word in [first, BLOCK / SECTOR, address as usize] {
                table.extend(u32::try_from(word)?.to_le_bytes());
            }
            content.extend_from_slice(&block);
        }
        for word in [0, 0, BOOT] {
            table.extend(u32::try_from(word)?.to_le_bytes());
        }
        ensure!(
            table.len() <= SECTOR,
            "the image is in too many pieces for the boot sector's table"
        );
        table.resize(SECTOR, 0);
        let mut disk = self.boot_sector.clone();
        disk.extend(table);
        disk.extend(content);
        let cylinders = disk.len().div_ceil(HEADS * SECTORS_PER_TRACK * SECTOR);
        disk.resize(cylinders * HEADS * SECTORS_PER_TRACK * SECTOR, 0);
        Ok((disk, cylinders))
    }

    /// Runs an image in Bochs until the next kernel is entered or the purgatory stops. `folder` is
    /// for its files.
    ///
    /// The memory in the [`Run`] is from before the run.
    pub fn run(&self, image: &Image, folder: &Path) -> Result<Run> {
        let folder = tempfile::tempdir_in(folder)?;
        let path = |name: &str| folder.path().join(name);
        let memory = File::create_new(path("memory"))?;
        memory.set_len(MEMORY << 20)?;
        image.write(&memory)?;
        memory.write_all_at(&[1], JOB_IN_BOCHS)?;
        let (disk, cylinders) = self.with(&memory)?;
        fs::write(path("disk"), disk)?;
        let processor = format!("model={PROCESSOR}");
        let drive = format!(
            "path=disk, mode=flat, cylinders={cylinders}, heads={HEADS}, spt={SECTORS_PER_TRACK}"
        );
        let configuration = bochs::configuration(MEMORY, &processor, "disk", &drive);
        fs::write(path("bochsrc"), configuration)?;
        // Debian's Bochs waits for a debugger's commands before the first instruction.
        fs::write(path("commands"), "continue\n")?;

        let mut script = emulator("script");
        let bochs = "bochs-bin -rc commands";
        let mut bochs = Running::new(bochs::in_terminal(&mut script, folder.path(), bochs))?;
        let ending = watch(&mut bochs, folder.path());
        // Ends Bochs as well.
        drop(bochs);
        let log = fs::read(path("log")).unwrap_or_default();
        let ending = ending.with_context(|| tail(&String::from_utf8_lossy(&log)))?;

        // The file does not exist until something is written to it.
        let mut printed = fs::read(path("serial")).unwrap_or_default();
        if ending == Ending::Entered {
            let text = printed
                .len()
                .checked_sub(probe::SIZE)
                .context("the next kernel did not tell its state")?;
            memory.write_all_at(&printed.split_off(text), STATE)?;
        }
        Ok(Run {
            ending,
            printed: String::from_utf8_lossy(&printed).into_owned(),
            log: String::from_utf8_lossy(&log).into_owned(),
            state: State::read(&memory)?,
            memory,
        })
    }
}

/// Waits for an end, or for the purgatory to say that it stopped.
fn watch(bochs: &mut Running, folder: &Path) -> Result<Ending> {
    let start = Instant::now();
    loop {
        // Asked before the files are read, so that these have all that Bochs wrote.
        let ended = bochs.has_ended()?;
        let read = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
        if read("serial").ends_with(STOPPED.as_bytes()) {
            return Ok(Ending::Halted);
        }
        let log = read("log");
        let log = String::from_utf8_lossy(&log);
        if ended {
            return match log.contains(SHUT_DOWN) {
                true => Ok(Ending::Entered),
                false => Err(io::Error::other("Bochs ended by itself").into()),
            };
        }
        if log.contains(TRIPLE_FAULT) {
            return Ok(Ending::TripleFault);
        }
        if start.elapsed() > HANGS {
            return Err(gave_up("Bochs"));
        }
        thread::sleep(POLL);
    }
}
