// SPDX-License-Identifier: GPL-2.0-only

//! Adds a key of the type `logon`, which only the kernel can read, for all processes of this user.

use std::env;
use std::ffi::CString;
use std::io;

use anyhow::{Context, Result, bail};

// From include/uapi/linux/keyctl.h.
const KEY_SPEC_USER_SESSION_KEYRING: libc::c_long = -5;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [description, secret] = &arguments[..] else {
        bail!("usage: logon-key PREFIX:DESCRIPTION SECRET");
    };
    let description = CString::new(description.as_str())?;
    // SAFETY: The type and the description end with a NUL, and the secret is readable for its length,
    // all for the whole call; it reads memory and writes none.
    let key = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"logon".as_ptr(),
            description.as_ptr(),
            secret.as_ptr(),
            secret.len(),
            KEY_SPEC_USER_SESSION_KEYRING,
        )
    };
    if key < 0 {
        return Err(io::Error::last_os_error()).context("add_key");
    }
    Ok(())
}
