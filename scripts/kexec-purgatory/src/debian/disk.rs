// SPDX-License-Identifier: GPL-2.0-only

//! The disk of a Debian 13 guest: an EFI system partition with GRUB, and the root on ext4.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Result;
use walkdir::WalkDir;

use super::vm::{Hardware, Vm};
use crate::apt;
use crate::command::{command, logged, output};
use crate::fetch;
use crate::files;
use crate::layout::{Layout, lock};
use crate::progress::Step;
use crate::qemu::FIRMWARE_VARIABLES;
use crate::root::{self, SUITE};

/// The guest's packages besides those that every system has. The distribution's kernel is added.
const PACKAGES: &[&str] = &[
    "binutils",
    "ca-certificates",
    "dbus",
    "dosfstools",
    "e2fsprogs",
    // Secure Boot with keys of the machine's owner.
    "efitools",
    "grub-efi-amd64",
    "grub-efi-amd64-signed",
    "initramfs-tools",
    "iproute2",
    "kdump-tools",
    "kexec-tools",
    "kmod",
    // The kernel needs a newer version than the release has.
    "linux-base/trixie-backports",
    "makedumpfile",
    "mokutil",
    "openssl",
    "procps",
    "python3-drgn",
    "qemu-guest-agent",
    "sbsigntool",
    "shim-signed",
    "systemd-sysv",
    "udev",
    "xz-utils",
    "zstd",
];

/// Sizes in MiB. The file is sparse.
const DISK: u64 = 24 * 1024;
const ESP_START: u64 = 1;
const ESP: u64 = 128;
const ROOT_START: u64 = ESP_START + ESP;
/// The backup of the partition table follows.
const ROOT: u64 = DISK - ROOT_START - 1;

/// What GRUB reads on the system partition, and what it boots before `update-grub` was run.
const GRUB_STUB: &str = "search --label root --set=root
set prefix=($root)/boot/grub
configfile $prefix/grub.cfg
";
const GRUB_FIRST: &str = "linux /vmlinuz root=LABEL=root ro console=ttyS0 tsc=nowatchdog
initrd /initrd.img
boot
";

/// Files of the root that are copied to the system partition, and their paths there.
const ESP_FILES: &[(&str, &str)] = &[
    ("usr/lib/shim/shimx64.efi.signed", "::EFI/BOOT/BOOTX64.EFI"),
    // Shim starts this if a machine owner's key is to be enrolled or deleted.
    ("usr/lib/shim/mmx64.efi.signed", "::EFI/BOOT/mmx64.efi"),
    (
        "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
        "::EFI/BOOT/grubx64.efi",
    ),
];

/// The agent on the second serial port. Unlike a virtio port, it has no state that could survive a
/// kexec. Crash kernels, which start few services, have it too.
const AGENT: &str = "[Unit]
Description=QEMU Guest Agent
DefaultDependencies=no
After=local-fs.target

[Service]
ExecStart=/usr/sbin/qemu-ga --method=isa-serial --path=/dev/ttyS1
Restart=always

[Install]
WantedBy=sysinit.target
";
const AGENT_UNIT: &str = "qemu-guest-agent.service";

/// Settings in the root, one file each.
const FILES: &[(&str, &str)] = &[
    (
        "etc/fstab",
        "LABEL=root / ext4 defaults 0 1\nLABEL=ESP /boot/efi vfat defaults 0 2\n",
    ),
    ("etc/hostname", "guest\n"),
    ("boot/grub/grub.cfg", GRUB_FIRST),
    (
        // Comes before the file of kdump-tools, which adds to it. `EVERY_KERNEL` in guest.rs says
        // why no kernel watches the TSC.
        "etc/default/grub.d/00-guest.cfg",
        "GRUB_CMDLINE_LINUX_DEFAULT=\"console=ttyS0 tsc=nowatchdog\"\n\
         GRUB_TERMINAL=console\nGRUB_TIMEOUT=0\n",
    ),
];

/// Timers that are turned off: what they start takes time, and needs a network.
const MASKED: &[&str] = &["apt-daily.timer", "apt-daily-upgrade.timer", "fstrim.timer"];

/// Makes the disk, unless the cache has one with these packages and settings. Returns its path.
/// Nobody may write to the disk.
pub fn make(layout: &Layout) -> Result<PathBuf> {
    let kernel = fetch::distribution_kernel(layout)?.release;
    let kernel = format!("linux-image-{kernel}");
    let packages = [PACKAGES, &[&kernel]].concat().join(",");
    let made_of = format!(
        "{packages}\n{FILES:?}\n{MASKED:?}\n{AGENT}\n{GRUB_STUB}\n{ESP_FILES:?}\n{DISK} {ESP}"
    );
    let folder = layout.cache.join("debian-guest");
    fs::create_dir_all(&folder)?;
    let _lock = lock(&folder)?;
    let sum = files::checksum_of_bytes(made_of.as_bytes());
    let disk = folder.join(&sum).with_extension("img");
    if disk.is_file() {
        return Ok(disk);
    }

    let mut step = Step::start(format!("make a disk with Debian {SUITE}"));
    let log = layout.log("debian-disk")?;
    let mirror = apt::mirror()?;
    let suite = |name| format!("deb {mirror} {name} main");
    let new = fetch::retried(|| {
        let new = tempfile::tempdir_in(&folder)?;
        let root = new.path().join("root");
        logged(
            root::mmdebstrap(&packages)
                .arg(SUITE)
                .arg(&root)
                .args([suite(SUITE), suite(fetch::SUITE)]),
            &log,
            &mut step,
        )?;
        Ok(new)
    })?;
    let root = new.path().join("root");
    settle(&root)?;
    let image = new.path().join("disk.img");
    step.line("write it");
    write(&root, &image)?;
    step.done();
    first_boot(layout, &image)?;
    for old in files::with_extension(&folder, "img")? {
        files::remove(&old)?;
    }
    fs::rename(&image, &disk)?;
    Ok(disk)
}

/// Boots the disk, because a new machine's first boot does much that later ones do not. In it,
/// kdump-tools makes an initramfs.
fn first_boot(layout: &Layout, image: &Path) -> Result<()> {
    let variables = image.with_extension("variables");
    fs::copy(FIRMWARE_VARIABLES, &variables)?;
    let mut vm = Vm::start(
        layout,
        &Hardware {
            disk: image,
            variables: &variables,
            packages: None,
            console: &layout.log("debian-first-boot")?,
        },
    )?;
    vm.booted("boot it for the first time", None)?;
    vm.agent.output("systemctl is-system-running --wait")?;
    vm.power_off()
}

/// Configures the root.
fn settle(root: &Path) -> Result<()> {
    for (path, text) in FILES {
        files::write(&root.join(path), text)?;
    }
    fs::create_dir_all(root.join("boot/efi"))?;
    let units = root.join("etc/systemd/system");
    for unit in MASKED {
        symlink("/dev/null", units.join(unit))?;
    }
    fs::write(units.join(AGENT_UNIT), AGENT)?;
    let wanted = units.join("sysinit.target.wants");
    fs::create_dir_all(&wanted)?;
    symlink(Path::new("..").join(AGENT_UNIT), wanted.join(AGENT_UNIT))?;
    Ok(())
}

/// Writes a partitioned image.
fn write(root: &Path, image: &Path) -> Result<()> {
    File::create(image)?.set_len(DISK << 20)?;
    let table = format!(
        "label: gpt\nstart={ESP_START}MiB, size={ESP}MiB, type=uefi\n\
         start={ROOT_START}MiB, size={ROOT}MiB, type=linux\n"
    );
    let script = image.with_extension("sfdisk");
    fs::write(&script, table)?;
    output(
        command("sfdisk")
            .args(["--quiet", "--no-tell-kernel"])
            .arg(image)
            .stdin(File::open(&script)?),
    )?;
    output(
        command("mke2fs")
            .args(["-q", "-t", "ext4", "-L", "root", "-d"])
            .arg(root)
            .args(["-E", &format!("offset={}", ROOT_START << 20)])
            .arg(image)
            .arg(format!("{ROOT}M")),
    )?;
    let esp = image.with_extension("esp");
    write_esp(root, &esp)?;
    let mut partition = File::options().write(true).open(image)?;
    partition.seek(SeekFrom::Start(ESP_START << 20))?;
    io::copy(&mut File::open(&esp)?, &mut partition)?;
    Ok(())
}

/// Writes the image of an EFI system partition with shim, which starts the GRUB beside it.
fn write_esp(root: &Path, image: &Path) -> Result<()> {
    File::create(image)?.set_len(ESP << 20)?;
    output(
        command("mkfs.vfat")
            .args(["-F", "32", "-n", "ESP"])
            .arg(image),
    )?;
    let stub = image.with_extension("grub.cfg");
    fs::write(&stub, GRUB_STUB)?;
    let mtools = |program: &str| {
        let mut command = command(program);
        command.arg("-i").arg(image);
        command
    };
    output(mtools("mmd").args(["::EFI", "::EFI/BOOT", "::EFI/debian"]))?;
    for (file, to) in ESP_FILES {
        output(mtools("mcopy").arg(root.join(file)).arg(to))?;
    }
    // That GRUB looks for it there.
    output(mtools("mcopy").arg(&stub).arg("::EFI/debian/grub.cfg")).map(drop)
}

/// The label of a disk of files.
pub const FILES_LABEL: &str = "packages";

/// Writes a disk with the contents of a directory, on ext4 and without partitions.
pub fn of_files(folder: &Path, image: &Path) -> Result<()> {
    let mut size = 16 << 20;
    for entry in WalkDir::new(folder) {
        size += entry?.metadata()?.len() * 11 / 10;
    }
    File::create(image)?.set_len(size.next_multiple_of(1 << 20))?;
    output(
        command("mke2fs")
            .args(["-q", "-F", "-t", "ext4", "-L", FILES_LABEL, "-d"])
            .arg(folder)
            .arg(image),
    )?;
    Ok(())
}
