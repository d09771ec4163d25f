// SPDX-License-Identifier: GPL-2.0-only

//! Reads the decisions in sysfs again and again on every processor, until it makes the kernel crash
//! in the middle of that.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;

use anyhow::{Context, Result, bail};

/// Files below `/sys/kernel/kexec`.
const FILES: [&str; 3] = ["verify_crash", "verify_loaded", "verify_policy"];

/// More than a line of any of them, in bytes.
const LINE: usize = 256;

fn main() -> Result<()> {
    let Some(Ok(reads)) = env::args().nth(1).map(|count| count.parse::<u32>()) else {
        bail!("usage: read-decisions READS-BEFORE-THE-CRASH");
    };
    let files = FILES
        .iter()
        .map(|name| File::open(format!("/sys/kernel/kexec/{name}")).with_context(|| *name))
        .collect::<Result<Vec<File>>>()?;
    // One more thread than there are processors, so that each has a reader even when one thread
    // causes the crash.
    for _ in 0..thread::available_parallelism()?.get() {
        let mut files = files
            .iter()
            .map(File::try_clone)
            .collect::<Result<Vec<File>, _>>()?;
        thread::spawn(move || {
            loop {
                files.rotate_left(1);
                // Ignores errors: the loop below meets them as well.
                let _ = files[0].read_at(&mut [0; LINE], 0);
            }
        });
    }
    for count in 0..reads as usize {
        let index = count % files.len();
        let length = files[index]
            .read_at(&mut [0; LINE], 0)
            .with_context(|| FILES[index])?;
        if length == 0 {
            bail!("{} is empty", FILES[index]);
        }
    }
    fs::write("/proc/sysrq-trigger", "c").context("cannot crash")
}
