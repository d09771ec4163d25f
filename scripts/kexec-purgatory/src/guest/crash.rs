// SPDX-License-Identifier: GPL-2.0-only

//! Guests that crash.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::content::{Content, DEBUG_LOADER, READ_DECISIONS};
use super::{
    CRASH_MEMORY_PARAMETER, Guest, MEMORY_TO_ADD, Purpose, SMALL_CRASH_MEMORY, second,
    small_payload,
};
use crate::hardware::Hardware;
use crate::layout::Layout;
use crate::root::Root;

/// The module that crashes a kernel.
pub const CRASH_CONTEXTS: &str = "crash_contexts";

/// Makes a guest that loads `kernel`, which it also runs, as a crash kernel, and crashes while all
/// processors read the decisions; see [`crash_reading`]. Returns its initramfs.
pub fn reading(layout: &Layout, kernel: &Path) -> Result<PathBuf> {
    let second = second(layout, Purpose::Crash, &small_payload(), None)?;
    let mut content = Content::new(layout, "crash-reading")?;
    content.add_boot(kernel, &second)?;
    content.add_own(layout, DEBUG_LOADER)?;
    content.add_own(layout, READ_DECISIONS)?;
    content.finish()
}

/// A guest of [`reading`] that crashes after one thread has made `reads` reads.
pub fn crash_reading(initramfs: &Path, reads: u32) -> Guest {
    let arguments = format!(
        "guest.job=crash_reading guest.loader={DEBUG_LOADER} guest.reads={reads} \
         {SMALL_CRASH_MEMORY}"
    );
    Guest::usual(initramfs.to_owned(), arguments)
}

/// How a kernel of [`crashing`] dies.
#[derive(Clone, Copy)]
pub struct Death {
    /// The name of the context in the module `crash_contexts`.
    pub context: &'static str,
    /// What the module makes the other processors do.
    pub others: &'static str,
    /// What changes between the load and the crash: `image`, `headers`, `damage` or nothing.
    pub change: &'static str,
    /// Added to the command line.
    pub arguments: &'static str,
    /// Of the machine.
    pub processors: u32,
}

/// Makes a guest that loads `kernel`, which it also runs, as a crash kernel, and crashes in a
/// context; `module` is `crash_contexts`. Returns its initramfs. See [`crash_in`].
///
/// The crash kernel has makedumpfile if there is a root with it.
pub fn crashing(
    layout: &Layout,
    kernel: &Path,
    module: &Path,
    makedumpfile: Option<&Root>,
) -> Result<PathBuf> {
    let second = second(layout, Purpose::Crash, &small_payload(), makedumpfile)?;
    let mut content = Content::new(layout, "crash-contexts")?;
    content.add_kexec(layout)?;
    content.add_boot(kernel, &second)?;
    content.add_own(layout, DEBUG_LOADER)?;
    content.add_modules(&[module.to_owned()])?;
    content.finish()
}

/// A guest of [`crashing`] that dies in that way.
pub fn crash_in(initramfs: &Path, death: &Death) -> Guest {
    let crash_memory = match death.arguments.contains(CRASH_MEMORY_PARAMETER) {
        true => "",
        false => SMALL_CRASH_MEMORY,
    };
    Guest {
        initramfs: initramfs.to_owned(),
        arguments: format!(
            "guest.job=crash_context guest.loader={DEBUG_LOADER} guest.modules={CRASH_CONTEXTS} \
             guest.crash={} guest.others={} guest.change={} {} {crash_memory} {MEMORY_TO_ADD}",
            death.context, death.others, death.change, death.arguments
        ),
        hardware: Hardware {
            processors: death.processors,
            ..Hardware::USUAL
        },
    }
}
