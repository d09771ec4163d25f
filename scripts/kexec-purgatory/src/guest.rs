// SPDX-License-Identifier: GPL-2.0-only

//! The guests: what each does, and the initramfs that it does it with.

mod content;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use self::content::{Content, DEBUG_LOADER, LOGON_KEY, READ_DECISIONS, TIME_STAMP};
pub use self::content::{PAYLOAD, bytes, payload};
use crate::checksum;
use crate::fetch::DistributionKernel;
use crate::initramfs::Initramfs;
use crate::kexec::Plan;
use crate::layout::Layout;
use crate::qemu::{self, Hardware};

/// On the command line of every kernel: where it prints, that it does not wait when it dies, that
/// it does not try by the clock whether its timer works, which a busy host fails, and that it does
/// not run its KUnit tests, which take half of a boot.
pub const EVERY_KERNEL: &str =
    "console=ttyS0,115200 printk.devkmsg=on panic=-1 no_timer_check kunit.enable=0";

/// Behind that: a kernel that runs them.
pub const KUNIT: &str = "kunit.enable=1";

/// On the command line of a guest that is looked into from outside: the kernel lies where it was
/// linked to.
const TESTABLE: &str = "nokaslr";

/// Memory that is kept for the crash kernel: 320 MiB.
const CRASH_MEMORY: &str = "crashkernel=320M";

/// A kernel that does not know of a block of its memory, 128 MiB at 512 MiB.
pub const MEMORY_TO_ADD: &str = "memmap=128M%0x20000000-1";

/// What of a guest's memory is dumped at least if that block was added, in MiB: all but the crash
/// kernel's, and but for what firmware and kernel keep, which is less than half of the block.
pub const DUMPED_WITH_ADDED: u64 = qemu::MEMORY_MIB - 320 - 64;

/// The same in a guest that takes commands; its images are small.
const SMALL_CRASH_MEMORY: &str = "crashkernel=128M";

/// The module that crashes a kernel.
pub const CRASH_CONTEXTS: &str = "crash_contexts";

/// Bytes of the payload in a small image.
const SMALL_PAYLOAD: usize = 256 << 10;

/// An initramfs, and what a guest does with it.
pub struct Guest {
    pub initramfs: PathBuf,
    /// What is on the kernel's command line for it.
    pub arguments: String,
    pub hardware: Hardware,
}

/// What the image that a guest loads is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Purpose {
    /// `kexec -l`, then `kexec -e`.
    Enter,
    /// `kexec -p`, then a crash.
    Crash,
}

/// What loads the image in a guest.
#[derive(Clone, Copy, PartialEq)]
pub enum Loader {
    /// The distribution's kexec.
    Kexec,
    /// The distribution's kexec with `kexec_load()`, where all is done in user space.
    KexecLoad,
    /// A program of ours that passes `KEXEC_FILE_DEBUG`, which older kexec-tools do not.
    Debug,
}

/// What a guest does beside loading an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Extra {
    /// Takes a processor out and back in after an image was loaded.
    Hotplug,
    /// Adds memory after an image was loaded: that of [`MEMORY_TO_ADD`], which must be on the
    /// command line.
    MemoryHotplug,
    /// Has a key of dm-crypt loaded with a crash image.
    DmCryptKey,
    /// Has the module verify images that are spared the check otherwise.
    VerifySpared,
}

impl Extra {
    /// What `/init` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hotplug => "hotplug",
            Self::MemoryHotplug => "memory_hotplug",
            Self::DmCryptKey => "dm_crypt_key",
            Self::VerifySpared => "verify_spared",
        }
    }
}

/// The file that must reach the second kernel whole.
pub struct Payload {
    pub bytes: u64,
    pub sha256: String,
}

/// Makes a guest that loads a kernel and goes there.
///
/// The payload travels with the initramfs of that kernel.
pub fn loading(
    layout: &Layout,
    next: &DistributionKernel,
    plan: &Plan<'_>,
) -> Result<(Guest, Payload)> {
    let (job, arguments) = match plan.purpose {
        Purpose::Enter => ("enter", ""),
        Purpose::Crash => ("crash", CRASH_MEMORY),
    };
    let payload = content::bytes(plan.payload);
    let mut second = second(layout, plan.purpose, &payload)?;
    second.cmdline += &format!(" {}", plan.next_arguments);

    let initramfs = archive(layout, job)?;
    let mut content = Content::new(layout, &initramfs)?;
    content.add_kexec()?;
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
        arguments += &format!(" guest.modules={}", content.add_modules(plan.modules)?);
    }
    content.finish()?;

    let payload = Payload {
        bytes: payload.len() as u64,
        sha256: checksum::of_bytes(&payload),
    };
    let guest = Guest {
        initramfs,
        arguments,
        hardware: plan.hardware,
    };
    Ok((guest, payload))
}

/// A guest that runs kselftests.
pub struct Selftests<'a> {
    /// The kernel that the tests load.
    pub kernel: &'a Path,
    /// What is in that kernel's initramfs, beside a shell.
    pub payload: &'a [u8],
    /// The programs, and what these need beside them.
    pub programs: &'a [PathBuf],
    /// The modules that they load.
    pub modules: &'a [PathBuf],
}

impl Selftests<'_> {
    /// Makes the initramfs.
    pub fn archive(&self, layout: &Layout) -> Result<PathBuf> {
        let second = second(layout, Purpose::Enter, self.payload)?;
        let initramfs = archive(layout, "selftests")?;
        let mut content = Content::new(layout, &initramfs)?;
        content.add_boot(self.kernel, &second)?;
        content.add_kexec()?;
        content.add_test_tools()?;
        content.add_selftests(self.programs)?;
        content.add_modules(self.modules)?;
        content.finish()?;
        Ok(initramfs)
    }

    /// A guest that runs the programs of these names, in this order. With `enter`, the image that
    /// the last one left loaded is entered then.
    pub fn guest(initramfs: &Path, tests: &[&str], enter: bool) -> Guest {
        let job = match enter {
            true => "selftests_enter",
            false => "selftests",
        };
        Guest {
            initramfs: initramfs.to_path_buf(),
            arguments: format!(
                "guest.job={job} guest.tests={} {CRASH_MEMORY}",
                tests.join(",")
            ),
            hardware: Hardware::USUAL,
        }
    }
}

/// Makes a guest that loads `next`, an image of a few megabytes, and goes there, as it is told on
/// its console: see `commands` in its `/init`. `arguments` are more of the image's command line.
pub fn commanded(layout: &Layout, next: &Path, arguments: &str) -> Result<Guest> {
    let mut second = second(layout, Purpose::Enter, &small_payload())?;
    second.cmdline += arguments;
    let initramfs = archive(layout, "commands")?;
    let mut content = Content::new(layout, &initramfs)?;
    content.add_kexec()?;
    content.add_boot(next, &second)?;
    content.add_own(layout, DEBUG_LOADER)?;
    content.finish()?;
    Ok(Guest {
        initramfs,
        arguments: format!(
            "{TESTABLE} guest.job=commands guest.loader={DEBUG_LOADER} {SMALL_CRASH_MEMORY}"
        ),
        hardware: Hardware::USUAL,
    })
}

/// Makes a guest that loads `kernel`, its own, as a crash kernel, and crashes while all processors
/// read what was decided; see [`crash_reading`].
pub fn reading(layout: &Layout, kernel: &Path) -> Result<PathBuf> {
    let second = second(layout, Purpose::Crash, &small_payload())?;
    let initramfs = archive(layout, "crash-reading")?;
    let mut content = Content::new(layout, &initramfs)?;
    content.add_boot(kernel, &second)?;
    content.add_own(layout, DEBUG_LOADER)?;
    content.add_own(layout, READ_DECISIONS)?;
    content.finish()?;
    Ok(initramfs)
}

/// A guest of [`reading`] that crashes after so many reads of one thread.
pub fn crash_reading(initramfs: &Path, reads: u32) -> Guest {
    Guest {
        initramfs: initramfs.to_owned(),
        arguments: format!(
            "guest.job=crash_reading guest.loader={DEBUG_LOADER} guest.reads={reads} \
             {SMALL_CRASH_MEMORY}"
        ),
        hardware: Hardware::USUAL,
    }
}

/// A test of the kernel's own that brings an `/init`.
pub struct Upstream<'a> {
    /// That of its initramfs.
    pub name: &'a str,
    /// The kernel that is entered.
    pub kernel: &'a Path,
    pub init: &'a Path,
    /// The program that it runs on both kernels, if it does.
    pub program: Option<&'a Path>,
    /// The policy, and whether it has images verified that are spared otherwise.
    pub module: &'a Path,
    pub verified: bool,
}

/// Makes a guest that does so, with handover and live update on.
pub fn upstream(layout: &Layout, test: &Upstream<'_>) -> Result<Guest> {
    // Those of the second kernel. Without a program it needs none: the kernel itself tests.
    let second = archive(layout, &format!("{}-second", test.name))?;
    let mut inner = Initramfs::create(&second)?;
    inner.folder("debugfs")?;
    inner.program("init", test.init)?;
    if let Some(program) = test.program {
        inner.program("test_binary", program)?;
    }
    inner.finish()?;

    let initramfs = archive(layout, test.name)?;
    let mut content = Content::new(layout, &initramfs)?;
    content.add_upstream(test, &second)?;
    let module = content.add_modules(&[test.module.to_owned()])?;
    content.finish()?;
    let extra = match test.verified {
        true => Extra::VerifySpared.name(),
        false => "none",
    };
    Ok(Guest {
        initramfs,
        arguments: format!(
            "kho=on liveupdate=on guest.job=upstream guest.modules={module} guest.extra={extra}"
        ),
        hardware: Hardware::USUAL,
    })
}

/// How a kernel of [`crashing`] dies.
#[derive(Clone, Copy)]
pub struct Death {
    /// What the module `crash_contexts` calls the context.
    pub context: &'static str,
    /// What it has the other processors do.
    pub others: &'static str,
    /// What is changed between the load and the crash: `image`, `headers` or nothing.
    pub replace: &'static str,
    /// More of the command line.
    pub arguments: &'static str,
}

/// Makes a guest that loads `kernel`, its own, as a crash kernel, and crashes in a context; `module` is
/// `crash_contexts`. See [`crash_in`].
pub fn crashing(layout: &Layout, kernel: &Path, module: &Path) -> Result<PathBuf> {
    let second = second(layout, Purpose::Crash, &small_payload())?;
    let initramfs = archive(layout, "crash-contexts")?;
    let mut content = Content::new(layout, &initramfs)?;
    content.add_kexec()?;
    content.add_boot(kernel, &second)?;
    content.add_own(layout, DEBUG_LOADER)?;
    content.add_modules(&[module.to_owned()])?;
    content.finish()?;
    Ok(initramfs)
}

/// A guest of [`crashing`] that dies in that way.
pub fn crash_in(initramfs: &Path, death: &Death) -> Guest {
    let name = CRASH_CONTEXTS;
    Guest {
        initramfs: initramfs.to_owned(),
        arguments: format!(
            "guest.job=crash_context guest.loader={DEBUG_LOADER} guest.modules={name} \
             guest.crash={} guest.others={} guest.replace={} {} {SMALL_CRASH_MEMORY}",
            death.context, death.others, death.replace, death.arguments
        ),
        hardware: Hardware::USUAL,
    }
}

/// Makes a guest that runs the KUnit tests of `kernel`, its own, and kselftests, then enters it
/// directly, verified and after a crash: see `chain` in its `/init`. `name` is that of its initramfs,
/// `tests` are the kselftests among `programs` that it runs, and `arguments` are more of the first
/// kernel's command line.
pub fn chain(
    layout: &Layout,
    name: &str,
    kernel: &Path,
    modules: &[PathBuf],
    programs: &[PathBuf],
    tests: &[&str],
    arguments: &str,
) -> Result<Guest> {
    let initramfs = archive(layout, name)?;
    let mut content = Content::new(layout, &initramfs)?;
    content.add_payload(&small_payload())?;
    content.add_own_boot(kernel, &format!("{EVERY_KERNEL} {SMALL_CRASH_MEMORY}"))?;
    content.add_kexec()?;
    content.add_own(layout, DEBUG_LOADER)?;
    content.add_selftests(programs)?;
    content.add_modules(modules)?;
    content.finish()?;
    Ok(Guest {
        initramfs,
        arguments: format!(
            "{KUNIT} guest.job=chain guest.tests={} {SMALL_CRASH_MEMORY} {arguments}",
            tests.join(",")
        ),
        hardware: Hardware::USUAL,
    })
}

/// What [`commanded`] has in the image's initramfs.
pub fn small_payload() -> Vec<u8> {
    let mut payload = content::payload();
    payload.truncate(SMALL_PAYLOAD);
    payload
}

/// The initramfs and the command line that the image is loaded with.
struct Second {
    initramfs: PathBuf,
    cmdline: String,
}

fn second(layout: &Layout, purpose: Purpose, payload: &[u8]) -> Result<Second> {
    let (job, arguments) = match purpose {
        Purpose::Enter => ("arrived", ""),
        Purpose::Crash => ("vmcore", "nr_cpus=1 reset_devices"),
    };
    let initramfs = archive(layout, job)?;
    let mut content = Content::new(layout, &initramfs)?;
    content.add_payload(payload)?;
    content.add_own(layout, TIME_STAMP)?;
    content.finish()?;
    Ok(Second {
        initramfs,
        cmdline: format!("{EVERY_KERNEL} guest.job={job} {arguments}"),
    })
}

/// Where the initramfs of a guest is made. Guests that are made on several threads at a time, see
/// [`crate::parallel`], do not share it.
fn archive(layout: &Layout, job: &str) -> Result<PathBuf> {
    let thread = rayon::current_thread_index().map_or(0, |index| index + 1);
    let folder = layout.build.join("guests").join(thread.to_string());
    fs::create_dir_all(&folder)?;
    Ok(folder.join(Path::new(job).with_extension("cpio")))
}
