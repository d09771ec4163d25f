// SPDX-License-Identifier: GPL-2.0-only

//! Boots a kernel in the emulator that has the processor for an engine.

use std::path::Path;

use anyhow::Result;

use crate::bochs;
use crate::engines::EngineKind;
use crate::guest::Guest;
use crate::layout::Layout;
use crate::processors;
use crate::qemu::{self, SerialLog};

/// Boots `kernel` with a guest, and waits until the guest has finished or the purgatory resets the
/// machine. With an engine, the processor is one on which the loader picks that engine.
pub fn boot(
    layout: &Layout,
    name: &str,
    kernel: &Path,
    guest: &Guest,
    engine: Option<EngineKind>,
) -> Result<SerialLog> {
    match engine {
        Some(engine) if !processors::in_qemu(engine) => bochs::boot(layout, name, kernel, guest),
        engine => qemu::boot(layout, name, kernel, guest, engine),
    }
}
