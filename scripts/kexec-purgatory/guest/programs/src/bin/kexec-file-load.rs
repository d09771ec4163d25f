// SPDX-License-Identifier: GPL-2.0-only

//! Loads an image with `kexec_file_load()` and `KEXEC_FILE_DEBUG`, and on request with
//! `KEXEC_FILE_FORCE_DTB`.
//!
//! `KEXEC_FILE_DEBUG` makes the purgatory say what it verified. kexec-tools pass it only from 2.0.28
//! on.

use std::env;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, bail};

// From include/uapi/linux/kexec.h.
const KEXEC_FILE_ON_CRASH: libc::c_ulong = 0x2;
const KEXEC_FILE_DEBUG: libc::c_ulong = 0x8;
const KEXEC_FILE_FORCE_DTB: libc::c_ulong = 0x20;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [kind, kernel, initrd, cmdline, ref more @ ..] = words[..] else {
        bail!("usage: kexec-file-load -l|-p KERNEL INITRD COMMAND-LINE [device-tree]");
    };
    let mut flags = match kind {
        "-l" => 0,
        "-p" => KEXEC_FILE_ON_CRASH,
        _ => bail!("no kind of image {kind}"),
    };
    match more {
        [] => {}
        ["device-tree"] => flags |= KEXEC_FILE_FORCE_DTB,
        _ => bail!("no option {}", more.join(" ")),
    }
    load(kernel, initrd, cmdline, flags)
}

fn load(kernel: &str, initrd: &str, cmdline: &str, flags: libc::c_ulong) -> Result<()> {
    let kernel = File::open(kernel).with_context(|| format!("cannot open {kernel}"))?;
    let initrd = File::open(initrd).with_context(|| format!("cannot open {initrd}"))?;
    let cmdline = CString::new(cmdline)?;
    // SAFETY: Both descriptors are open for the whole call, and the length is that of the string
    // with its terminating NUL, as the system call asks; it reads memory and writes none.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_raw_fd(),
            initrd.as_raw_fd(),
            cmdline.as_bytes_with_nul().len(),
            cmdline.as_ptr(),
            flags | KEXEC_FILE_DEBUG,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error()).context("kexec_file_load");
    }
    Ok(())
}
