// SPDX-License-Identifier: GPL-2.0-only

//! A guest with Debian, and what its administrator runs there.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::bzimage::BzImage;
use crate::command::{command, output};
use crate::debian::DebianOptions;
use crate::debian::disk::{self, FILES_LABEL};
use crate::debian::guide::Guide;
use crate::debian::packages::{self, Build, DEBUG};
use crate::debian::vm::{Answer, Hardware, LEFT, Vm};
use crate::fetch;
use crate::files;
use crate::guest::Purpose;
use crate::layout::Layout;
use crate::progress;
use crate::qemu::{FIRMWARE_VARIABLES, SerialLog};
use crate::test::samples;

/// The directories with the packages of two builds, on the guest's second disk.
const FIRST: &str = "first";
const SECOND: &str = "second";

/// The guest's files, in the directory of [`folder`].
const DISK: &str = "disk.img";
const PACKAGES: &str = "packages.img";

const PAGE: usize = 4096;

/// Waits until the system has started. It may reach a state other than running; steps that care
/// check it.
const SETTLED: &str = "systemctl is-system-running --wait || :";

/// A guest with Debian, and its state.
pub struct DebianGuest {
    pub vm: Vm,
    guide: Guide,
    /// The blocks of the guide that were run.
    followed: RefCell<BTreeSet<String>>,
    /// The number of this boot.
    boot: String,
    /// The directory with the packages to install.
    packages: &'static str,
    /// What `uname -r` prints on the kernel of the packages, and on the distribution's.
    pub ours: &'static str,
    pub distribution: &'static str,
    /// A page of the part of the first build's kernel that is loaded.
    page: Vec<u8>,
    /// How many kexecs in a row it must survive.
    pub kexecs: usize,
    layout: Layout,
}

impl DebianGuest {
    /// Builds the packages, twice for an update, and the disk, and starts the guest, which boots the
    /// distribution's kernel.
    pub fn make(layout: &Layout, options: DebianOptions, update: bool) -> Result<Self> {
        let folder = folder(layout);
        files::remove(&folder)?;
        let files = folder.join("files");
        let profile = options.profile;
        let first = packages::make(layout, profile, Build::First)?;
        copy_packages(&first, &files.join(FIRST))?;
        let (image, ours) = kernel(&first)?;
        let page = page_of_kernel(layout, image, &ours)?;
        if update {
            let second = packages::make(layout, profile, Build::Second)?;
            copy_packages(&second, &files.join(SECOND))?;
            let (_, same) = kernel(&second)?;
            ensure!(ours == same, "the second build is of {same}, not {ours}");
        }

        files::copy_sparse(&disk::make(layout)?, &folder.join(DISK))?;
        // The part of the kernel's source that the guide uses.
        let samples = files.join(FIRST).join(samples::FOLDER);
        fs::create_dir_all(&samples)?;
        let from = layout.overlay.join(samples::FOLDER);
        output(command("cp").arg("-rT").args([&from, &samples]))?;
        disk::of_files(&files, &folder.join(PACKAGES))?;
        files::remove(&files)?;
        let mut vm = start(layout, FIRMWARE_VARIABLES, "debian-console")?;
        let boot = vm.booted("boot the distribution's kernel", None)?;
        Ok(Self {
            vm,
            guide: Guide::read(layout)?,
            followed: RefCell::default(),
            boot,
            packages: FIRST,
            // These live as long as the tool, which runs one machine.
            ours: ours.leak(),
            distribution: fetch::distribution_kernel(layout)?.release.leak(),
            page,
            kexecs: options.kexecs.into(),
            layout: layout.clone(),
        })
    }

    /// Powers the machine off, replaces the firmware's variables by those of a new machine, and
    /// starts it. `variables` is the file with them, `console` the name of the console's log.
    pub fn replace_variables(&mut self, variables: &str, console: &str) -> Result<()> {
        self.vm.power_off()?;
        self.vm = start(&self.layout, variables, console)?;
        self.boot = self.vm.booted("boot with other variables", None)?;
        self.run(SETTLED)
    }

    /// Runs a shell command. Returns its output.
    pub fn sh(&self, script: &str) -> Result<String> {
        self.vm.agent.output(script)
    }

    /// Runs a shell command whose output does not matter.
    pub fn run(&self, script: &str) -> Result<()> {
        self.sh(script).map(drop)
    }

    /// Runs a shell command. Fails unless that command fails and prints `error` on standard error.
    pub fn expect_failure(&self, script: &str, error: &str) -> Result<()> {
        let ended = self.vm.agent.run(script)?;
        ensure!(
            ended.status != 0 && ended.stderr.contains(error),
            "{script}: exit status {}, expected {error:?}\n{}",
            ended.status,
            ended.stderr
        );
        Ok(())
    }

    /// Runs a block of the guide, with the release of a kernel as `release`.
    pub fn follow(&self, block: &str, release: &str) -> Result<String> {
        self.sh(&self.script(block, release)?)
    }

    /// Runs a block of the guide that ends in another boot.
    pub fn leave(&mut self, block: &str, release: &str) -> Result<()> {
        let script = self.script(block, release)?;
        self.leave_by(&script, block)
    }

    /// A block of the guide as a script that runs in the directory with the packages.
    pub fn script(&self, block: &str, release: &str) -> Result<String> {
        self.followed.borrow_mut().insert(block.to_owned());
        let commands = self.guide.block(block)?;
        Ok(format!(
            "set -e; mountpoint -q /mnt || mount --read-only LABEL={FILES_LABEL} /mnt; \
             cd /mnt/{}; release={release}\n{commands}",
            self.packages
        ))
    }

    /// Damages the image of the first build's kernel that is loaded for `purpose`.
    pub fn damage(&self, purpose: Purpose) -> Result<()> {
        let reserved = self.sh("sed -n 's/^ *\\(.*\\) : Crash kernel$/\\1/p' /proc/iomem")?;
        let mut ranges = Vec::new();
        for line in reserved.lines() {
            let (start, end) = line.split_once('-').context("no range")?;
            let address = |digits| u64::from_str_radix(digits, 16);
            ranges.push(address(start)?..=address(end)?);
        }
        // Both loaded images may be of that kernel.
        let found = self.vm.damage(&self.page, |address| {
            let reserved = ranges.iter().any(|range| range.contains(&address));
            reserved == (purpose == Purpose::Crash)
        })?;
        ensure!(found > 0, "the loaded image is not in memory");
        Ok(())
    }

    /// Fails unless the console has `text` after its first `since` bytes.
    pub fn expect_printed(&self, since: usize, text: &str) -> Result<()> {
        let printed = self.vm.printed_since(since)?;
        ensure!(
            printed.contains(text),
            "the console does not have {text:?}:\n{}",
            SerialLog::new(printed.as_bytes()).tail()
        );
        Ok(())
    }

    /// Makes later steps install the packages of the second build.
    pub fn take_second_build(&mut self) {
        self.packages = SECOND;
    }

    /// The blocks of the guide that were not run.
    pub fn left_out(&self) -> Vec<&str> {
        let followed = self.followed.borrow();
        let mut names = self.guide.names();
        names.retain(|name| !followed.contains(*name));
        names
    }

    /// Runs a shell command that ends in another boot, and waits until all services have started:
    /// while kdump-tools loads its image, no other image can be loaded.
    pub fn leave_by(&mut self, script: &str, what: &str) -> Result<()> {
        self.leave_by_dialog(script, what, &[])
    }

    /// Like [`DebianGuest::leave_by`], with answers to what the console shows before that boot.
    pub fn leave_by_dialog(
        &mut self,
        script: &str,
        what: &str,
        dialog: &[Answer<'_>],
    ) -> Result<()> {
        let since = self.vm.printed()?;
        self.vm.leave(script)?;
        self.vm.answer(since, dialog)?;
        self.boot = self.vm.booted(what, Some(&self.boot))?;
        self.run(SETTLED)
    }

    /// Resets the machine, which may hang, and waits as [`DebianGuest::leave_by`] does.
    pub fn reset(&mut self) -> Result<()> {
        self.vm.qmp.reset()?;
        self.boot = self.vm.booted("reset", Some(&self.boot))?;
        self.run(SETTLED)
    }

    /// The files that exist in the guest of those below /etc and /usr/local that the guide's blocks
    /// name, one per line.
    pub fn settings(&self) -> Result<String> {
        let paths = self.guide.paths(&["/etc/", "/usr/local/"]).join(" ");
        self.sh(&format!("ls -d {paths} || :"))
    }

    /// Fails unless a file of /sys/kernel/kexec has this text.
    pub fn expect_state(&self, file: &str, expected: &str) -> Result<()> {
        let found = self.sh(&format!("cat /sys/kernel/kexec/{file}"))?;
        ensure!(found == expected, "{file} is {found:?}, not {expected:?}");
        Ok(())
    }

    pub fn expect_release(&self, expected: &str) -> Result<()> {
        let found = self.sh("uname -r")?;
        ensure!(found == expected, "{found} runs, not {expected}");
        Ok(())
    }

    /// Helps to find out why `what` failed: writes the journal of this boot and of the one before, or
    /// the end of the console's output if no agent answers, to a file in the directory of logs.
    pub fn keep_journal(&self, what: &str) -> Result<()> {
        let log = self.layout.log(&format!("debian-journal-{what}"))?;
        fs::write(&log, self.journal())?;
        progress::print(&format!("# the guest's journal: {}", log.display()));
        Ok(())
    }

    fn journal(&self) -> String {
        self.sh(&format!(
            "cat {LEFT}; journalctl --boot=-1 --no-pager; journalctl --boot --no-pager"
        ))
        .or_else(|_| self.vm.log().map(|log| log.tail()))
        .unwrap_or_default()
    }
}

/// The directory with the guest's disks.
fn folder(layout: &Layout) -> PathBuf {
    layout.build.join("debian-guest")
}

/// Starts the guest's machine, with a copy of these variables of its firmware.
fn start(layout: &Layout, variables: &str, console: &str) -> Result<Vm> {
    let folder = folder(layout);
    let copy = folder.join("variables.fd");
    fs::copy(variables, &copy)?;
    Vm::start(
        layout,
        &Hardware {
            disk: &folder.join(DISK),
            variables: &copy,
            packages: Some(&folder.join(PACKAGES)),
            console: &layout.log(console)?,
        },
    )
}

/// The package of a kernel, and what `uname -r` prints on that kernel.
fn kernel(files: &[PathBuf]) -> Result<(&Path, String)> {
    files
        .iter()
        .find_map(|file| Some((file.as_path(), packages::release(file)?)))
        .context("no package of a kernel")
}

/// A page from the middle of the part of a package's kernel that is loaded. It is compressed code
/// and occurs once.
fn page_of_kernel(layout: &Layout, package: &Path, release: &str) -> Result<Vec<u8>> {
    let contents = fetch::unpacked(layout, package)?;
    let image = fs::read(contents.path().join(format!("boot/vmlinuz-{release}")))?;
    let pages = BzImage::parse(&image)?.kernel();
    let start = (pages.len() / 2).next_multiple_of(PAGE);
    Ok(pages[start..start + PAGE].to_vec())
}

/// Copies packages to `folder`, those of debug symbols to the same directory in it as where they
/// were built.
fn copy_packages(packages: &[PathBuf], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder.join(DEBUG))?;
    for package in packages {
        let name = package.file_name().context("a file without a name")?;
        let to = match packages::has_symbols(package) {
            true => folder.join(DEBUG).join(name),
            false => folder.join(name),
        };
        fs::copy(package, to)?;
    }
    Ok(())
}
