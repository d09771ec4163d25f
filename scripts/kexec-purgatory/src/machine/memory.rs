// SPDX-License-Identifier: GPL-2.0-only

//! A guest's memory, in a file.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::layout::Layout;

/// Memory of a guest in bytes. All of it lies below 3 GiB, so that a physical address is an offset
/// in the file.
pub const SIZE: u64 = 384 << 20;

/// Room for the memory of all machines that exist at a time, in bytes.
const ROOM: u64 = 4 << 30;

/// What is copied at a time; what holds only zeros is left out.
const CHUNK: usize = 64 << 10;

/// A folder for memory and states, which goes when it is dropped: in memory if there is room.
pub fn folder(layout: &Layout) -> Result<TempDir> {
    let shm = Path::new("/dev/shm");
    let room =
        rustix::fs::statvfs(shm).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let parent = match room >= ROOM {
        true => shm,
        false => &layout.build,
    };
    tempfile::Builder::new()
        .prefix("kexec-purgatory-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot write to {}", parent.display()))
}

/// Makes a file for a machine's memory, all zeros.
pub fn create(path: &Path) -> Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.set_len(SIZE)?;
    Ok(())
}

/// Copies a machine's memory; what is zero takes no room.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    create(to)?;
    let mut from = File::open(from)?;
    let to = File::options().write(true).open(to)?;
    let mut chunk = vec![0; CHUNK];
    for offset in (0..SIZE).step_by(CHUNK) {
        from.read_exact(&mut chunk)?;
        if chunk.iter().any(|&byte| byte != 0) {
            to.write_all_at(&chunk, offset)?;
        }
    }
    Ok(())
}
