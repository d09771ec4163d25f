// SPDX-License-Identifier: GPL-2.0-only

//! The guests: what each does, and its initramfs.

mod content;
mod crash;
mod upstream;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use self::content::{Content, DEBUG_LOADER, LOGON_KEY, TIME_STAMP};
pub use self::content::{PAYLOAD, bytes};
pub use self::crash::{CRASH_CONTEXTS, Death, crash_in, crash_reading, crashing, reading};
pub use self::upstream::{Upstream, upstream};
use crate::engines::EngineKind;
use crate::fetch::DistributionKernel;
use crate::files;
use crate::hardware::Hardware;
use crate::kernel::Built;
use crate::layout::Layout;
use crate::root::Root;

/// On the command line of every kernel: the console, no waiting after a panic, no check of the
/// timer by the clock, which fails on a busy host, no watchdog of the TSC, and no KUnit tests,
/// which take half of a boot.
///
/// The watchdog of Linux 7.3 compares the TSCs of two CPUs with interrupts disabled
/// (`watchdog_wait_seq()` in kernel/time/clocksource.c). Until the first change of the clocksource,
/// its timeout is measured in jiffies. If the CPU that waits is the one that counts jiffies, they
/// stand still. If the other CPU then waits in `stop_machine()` for this one, neither of them goes
/// on.
pub const EVERY_KERNEL: &str = "console=ttyS0,115200 printk.devkmsg=on panic=-1 no_timer_check \
                                tsc=nowatchdog kunit.enable=0";

/// After [`EVERY_KERNEL`] on the command line, runs the KUnit tests.
pub const KUNIT: &str = "kunit.enable=1";

/// On the command line of a guest that is inspected from outside: the kernel runs where it was
/// linked to.
const TESTABLE: &str = "nokaslr";

/// Reserves memory for a crash kernel.
const CRASH_MEMORY_PARAMETER: &str = "crashkernel=";

/// Memory reserved for the crash kernel: 320 MiB.
const CRASH_MEMORY: &str = "crashkernel=320M";

/// Kexec handover for a guest that takes commands; its images are small, and it has less memory.
const SMALL_KHO: &str = "kho=on kho_scratch=16M,64M,16M";

/// Kexec handover, with room for the image in the memory that it reserves.
pub const KHO: &str = "kho=on kho_scratch=16M,192M,16M";

/// Hides a block of its memory from the kernel, 128 MiB at 512 MiB.
pub const MEMORY_TO_ADD: &str = "memmap=128M%0x20000000-1";

/// Memory reserved for the crash kernel in a guest that takes commands; its images are small.
const SMALL_CRASH_MEMORY: &str = "crashkernel=128M";

/// For a guest that takes commands: memory that the kernel lends out until it crashes, besides
/// [`SMALL_CRASH_MEMORY`].
pub const CRASH_CMA: &str = " crashkernel=32M,cma";

/// Bytes of the payload in a small image.
const SMALL_PAYLOAD: u64 = 256 << 10;

/// An initramfs, and what a guest does with it.
pub struct Guest {
    pub initramfs: PathBuf,
    /// Its part of the kernel's command line.
    pub arguments: String,
    pub hardware: Hardware,
}

impl Guest {
    /// A guest with these arguments on the usual machine.
    fn usual(initramfs: PathBuf, arguments: String) -> Self {
        Self {
            initramfs,
            arguments,
            hardware: Hardware::USUAL,
        }
    }

    /// The whole command line of its kernel.
    pub fn cmdline(&self) -> String {
        format!("{EVERY_KERNEL} earlyprintk=ttyS0,115200 {}", self.arguments)
    }
}

/// The purpose of the image that a guest loads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Purpose {
    /// `kexec -l`, then `kexec -e`.
    Enter,
    /// `kexec -p`, then a crash.
    Crash,
}

/// The program that loads the image in a guest.
#[derive(Clone, Copy, PartialEq)]
pub enum Loader {
    /// The distribution's kexec.
    Kexec,
    /// The distribution's kexec with `kexec_load()`, which does everything in user space.
    KexecLoad,
    /// The project's own program, which passes `KEXEC_FILE_DEBUG`; older kexec-tools do not.
    Debug,
}

/// What a guest does besides loading an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extra {
    /// Adds a processor after the load, with `maxcpus=1` on the command line.
    Hotplug,
    /// Adds memory after the load: the block of [`MEMORY_TO_ADD`], which must be on the command
    /// line.
    MemoryHotplug,
    /// Loads a dm-crypt key with a crash image.
    DmCryptKey,
    /// Makes the module verify images that are otherwise spared.
    VerifySpared,
    /// Makes the kernel check the image before it is entered.
    CheckReboot,
    /// Hands the machine's device tree on to the next kernel. Needs [`Loader::Debug`].
    DeviceTree,
}

impl Extra {
    /// Its name in `/init`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hotplug => "hotplug",
            Self::MemoryHotplug => "memory_hotplug",
            Self::DmCryptKey => "dm_crypt_key",
            Self::VerifySpared => "verify_spared",
            Self::CheckReboot => "check_reboot",
            Self::DeviceTree => "device_tree",
        }
    }
}

/// How an image is loaded, and on what machine.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    pub purpose: Purpose,
    pub loader: Loader,
    /// The modules of the first kernel to insert, by name.
    pub modules: &'a [&'a str],
    /// The engine that the loader picks on the guest's processor, if that matters.
    pub engine: Option<EngineKind>,
    /// Added to the first kernel's command line.
    pub arguments: &'a str,
    /// Added to the next kernel's command line.
    pub next_arguments: &'a str,
    /// What the guest does besides loading.
    pub extra: Option<Extra>,
    /// Bytes in the next kernel's initramfs that must arrive intact.
    pub payload: u64,
    pub hardware: Hardware,
}

impl Plan<'_> {
    /// A plan with the distribution's kexec, on the usual machine.
    pub const fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            loader: Loader::Kexec,
            modules: &[],
            engine: None,
            arguments: "",
            next_arguments: "",
            extra: None,
            payload: PAYLOAD,
            hardware: Hardware::USUAL,
        }
    }
}

/// How the second kernel's `/init` describes the file that must reach it intact.
pub fn described(payload: &[u8]) -> String {
    format!("{} {}", payload.len(), files::checksum_of_bytes(payload))
}

/// Makes a guest that runs `kernel`, loads `next` and enters it. Also returns the description of
/// the payload, which is in the initramfs of `next`; see [`described`].
pub fn loading(
    layout: &Layout,
    kernel: &Built,
    next: &DistributionKernel,
    plan: &Plan<'_>,
) -> Result<(Guest, String)> {
    let (job, arguments) = match plan.purpose {
        Purpose::Enter => ("enter", ""),
        Purpose::Crash if plan.arguments.contains(CRASH_MEMORY_PARAMETER) => ("crash", ""),
        Purpose::Crash => ("crash", CRASH_MEMORY),
    };
    let payload = bytes(plan.payload);
    let mut second = second(layout, plan.purpose, &payload, None)?;
    second.cmdline += &format!(" {}", plan.next_arguments);

    let mut content = Content::new(layout, job)?;
    content.add_kexec(layout)?;
    content.add_own(layout, LOGON_KEY)?;
    content.add_boot(&next.image, &second)?;
    let mut arguments = format!("guest.job={job} {arguments} {}", plan.arguments);
    if let Some(extra) = plan.extra {
        arguments += &format!(" guest.extra={}", extra.name());
    }
    match plan.loader {
        Loader::Kexec => {}
        Loader::KexecLoad => arguments += " guest.syscall=kexec_load",
        Loader::Debug => {
            content.add_own(layout, DEBUG_LOADER)?;
            arguments += &format!(" guest.loader={DEBUG_LOADER}");
        }
    }
    if !plan.modules.is_empty() {
        let modules = content.add_modules(&kernel.modules(plan.modules)?)?;
        arguments += &format!(" guest.modules={modules}");
    }

    let guest = Guest {
        initramfs: content.finish()?,
        arguments,
        hardware: plan.hardware,
    };
    Ok((guest, described(&payload)))
}

/// A guest that runs kselftests.
pub struct Selftests<'a> {
    /// The kernel that the tests load.
    pub kernel: &'a Path,
    /// The contents of that kernel's initramfs, besides a shell.
    pub payload: &'a [u8],
    /// The programs, and the files that they need.
    pub programs: &'a [PathBuf],
    /// The modules that they load.
    pub modules: &'a [PathBuf],
}

impl Selftests<'_> {
    /// Makes the initramfs.
    pub fn archive(&self, layout: &Layout) -> Result<PathBuf> {
        let second = second(layout, Purpose::Enter, self.payload, None)?;
        let mut content = Content::new(layout, "selftests")?;
        content.add_boot(self.kernel, &second)?;
        content.add_kexec(layout)?;
        content.add_test_tools()?;
        content.add_selftests(self.programs)?;
        content.add_modules(self.modules)?;
        content.finish()
    }

    /// A guest that runs the programs of these names, in this order. With `enter`, it then enters
    /// the image that the last program left loaded.
    pub fn guest(initramfs: &Path, tests: &[&str], enter: bool) -> Guest {
        let job = match enter {
            true => "selftests_enter",
            false => "selftests",
        };
        let arguments = format!(
            "guest.job={job} guest.tests={} {CRASH_MEMORY}",
            tests.join(",")
        );
        Guest::usual(initramfs.to_path_buf(), arguments)
    }
}

/// Makes a guest that follows commands from its console: see `commands` in its `/init`. It can load
/// `next`, an image of a few megabytes, and enter it. `arguments` are added to the image's command
/// line.
pub fn commanded(layout: &Layout, next: &Path, arguments: &str) -> Result<Guest> {
    commanded_with(layout, next, arguments, &[])
}

/// Makes such a guest with kexec handover on, whose policy, the module `policy`, nevertheless has
/// normal images verified.
pub fn commanded_with_handover(layout: &Layout, next: &Path, policy: &Path) -> Result<Guest> {
    let extra = Extra::VerifySpared.name();
    let mut guest = commanded_with(layout, next, "", &[policy.to_owned()])?;
    guest.arguments += &format!(" {SMALL_KHO} guest.extra={extra}");
    Ok(guest)
}

/// Makes such a guest with modules, which it inserts.
fn commanded_with(
    layout: &Layout,
    next: &Path,
    arguments: &str,
    modules: &[PathBuf],
) -> Result<Guest> {
    let mut second = second(layout, Purpose::Enter, &small_payload(), None)?;
    second.cmdline += arguments;
    let mut content = Content::new(layout, "commands")?;
    content.add_kexec(layout)?;
    content.add_boot(next, &second)?;
    content.add_own(layout, DEBUG_LOADER)?;
    let modules = content.add_modules(modules)?;
    let arguments = format!(
        "{TESTABLE} guest.job=commands guest.loader={DEBUG_LOADER} {SMALL_CRASH_MEMORY} \
         guest.modules={modules}"
    );
    Ok(Guest::usual(content.finish()?, arguments))
}

/// Makes a guest that runs the KUnit tests of `kernel`, which it boots, and kselftests, then enters
/// `kernel` directly, verified and after a crash: see `chain` in its `/init`. `name` is the name of
/// its initramfs, `tests` are the kselftests among `programs` that it runs, and `arguments` are
/// added to the first kernel's command line.
pub fn chain(
    layout: &Layout,
    name: &str,
    kernel: &Path,
    modules: &[PathBuf],
    programs: &[PathBuf],
    tests: &[&str],
    arguments: &str,
) -> Result<Guest> {
    let cmdline = format!("{EVERY_KERNEL} {SMALL_CRASH_MEMORY}");
    let mut content = Content::new(layout, name)?;
    content.add_payload(&small_payload())?;
    content.archive.program("boot/vmlinuz", kernel)?;
    content.archive.file("boot/cmdline", cmdline.as_bytes())?;
    content.add_kexec(layout)?;
    content.add_own(layout, DEBUG_LOADER)?;
    content.add_selftests(programs)?;
    content.add_modules(modules)?;
    let arguments = format!(
        "{KUNIT} guest.job=chain guest.tests={} {SMALL_CRASH_MEMORY} {arguments}",
        tests.join(",")
    );
    Ok(Guest::usual(content.finish()?, arguments))
}

/// The payload that [`commanded`] puts into the image's initramfs.
pub fn small_payload() -> Vec<u8> {
    bytes(SMALL_PAYLOAD)
}

/// The initramfs and the command line that the image is loaded with.
struct Second {
    initramfs: PathBuf,
    cmdline: String,
}

/// Makes both for an image. Its initramfs has makedumpfile if there is a root with it.
fn second(
    layout: &Layout,
    purpose: Purpose,
    payload: &[u8],
    makedumpfile: Option<&Root>,
) -> Result<Second> {
    let (job, arguments) = match purpose {
        Purpose::Enter => ("arrived", ""),
        Purpose::Crash => ("vmcore", "nr_cpus=1 reset_devices"),
    };
    let mut content = Content::new(layout, job)?;
    content.add_payload(payload)?;
    content.add_own(layout, TIME_STAMP)?;
    if let Some(root) = makedumpfile {
        content.add_makedumpfile(root)?;
    }
    Ok(Second {
        initramfs: content.finish()?,
        cmdline: format!("{EVERY_KERNEL} guest.job={job} {arguments}"),
    })
}

/// The path of a guest's initramfs. Guests that several threads make at the same time, see
/// [`crate::parallel`], get separate paths.
fn archive(layout: &Layout, job: &str) -> Result<PathBuf> {
    let thread = rayon::current_thread_index().map_or(0, |index| index + 1);
    let folder = layout.build.join("guests").join(thread.to_string());
    fs::create_dir_all(&folder)?;
    Ok(folder.join(Path::new(job).with_extension("cpio")))
}
