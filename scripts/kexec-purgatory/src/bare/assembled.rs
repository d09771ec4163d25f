// SPDX-License-Identifier: GPL-2.0-only

//! The programs in the tool's directory `bare/`, assembled.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::image::{DIGESTS, GUARD_TABLE, GUARDED, JOB, STATE};
use crate::command::{command, output};
use crate::layout::Layout;

/// Assembles and links one of the programs in `bare/`, for `address` and in the output format
/// `format`.
pub fn assemble(source: &Path, program: &Path, address: u64, format: &str) -> Result<()> {
    output(
        command("clang-19")
            .args(["--target=x86_64-linux-gnu", "-nostdlib", "-static"])
            .args(["-fuse-ld=lld-19", "-Wl,--build-id=none"])
            .arg(format!("-Wl,-Ttext={address:#x},--oformat={format}"))
            .arg(format!("-DJOB={JOB:#x}"))
            .arg(format!("-DSTATE={STATE:#x}"))
            .arg(format!("-DDIGESTS={DIGESTS:#x}"))
            .arg(format!("-DGUARD_TABLE={GUARD_TABLE:#x}"))
            .arg(format!("-DGUARDED={GUARDED:#x}"))
            .arg("-o")
            .arg(program)
            .arg(source),
    )
    .map(drop)
}

/// One of the programs in `bare/` as it is in memory; `folder` is for its file.
pub fn flat(layout: &Layout, folder: &Path, name: &str, address: u64) -> Result<Vec<u8>> {
    let path = folder.join(name).with_extension("flat");
    let source = layout.tool("bare").join(name).with_extension("S");
    assemble(&source, &path, address, "binary")?;
    fs::read(&path).context("cannot read a program")
}
