// SPDX-License-Identifier: GPL-2.0-only

//! Reads the record of the previous kernel.

use crate::{
    abi::Digest,
    record::{
        self,
        Entered, //
    }, //
};
use kernel::{
    bindings,
    crypto::sha256,
    fmt,
    prelude::*, //
};

/// C declaration and contract: `arch/x86/include/asm/kexec-loader.h`.
///
/// # Safety
///
/// `data` must be valid for reads of `size` bytes, which do not change meanwhile; `entered` must be
/// aligned and valid for writes.
#[export]
unsafe extern "C" fn kexec_purgatory_read_record(
    data: *const c_void,
    size: usize,
    clock: u64,
    entered: *mut bindings::kexec_entered,
) -> bool {
    // SAFETY: By the safety requirements of this function.
    let data = unsafe { core::slice::from_raw_parts(data.cast::<u8>(), size) };

    match record::read(data, |bytes| -> Digest { sha256::digest(bytes) }, clock) {
        Ok(found) => {
            let line = Line(&found);

            // An error, so that "quiet" on the command line does not hide it.
            match found.mismatch {
                Some(_) => pr_err!("entered by {line}\n"),
                None => pr_info!("entered by {line}\n"),
            }
            // SAFETY: By the safety requirements of this function.
            unsafe { entered.write(export(&found)) };
            true
        }
        Err(fault) => {
            pr_warn!(
                "the record of the previous kernel is not used: {}\n",
                fault.describe()
            );
            false
        }
    }
}

/// A text with a NUL at its end, cut off if it is too long.
fn c_text<const N: usize>(from: &str) -> [c_char; N] {
    let bytes: [u8; N] = record::text(from);
    let mut text = bytes.map(|byte| byte as c_char);

    if let Some(last) = text.last_mut() {
        *last = 0;
    }
    text
}

fn export(entered: &Entered<'_>) -> bindings::kexec_entered {
    let time = |ns: Option<u64>| ns.and_then(|ns| i64::try_from(ns).ok()).unwrap_or(-1);

    bindings::kexec_entered {
        release: c_text(entered.release),
        decision: c_text(entered.decision),
        engine: c_text(entered.engine),
        mismatch: c_text(entered.mismatch.unwrap_or_default()),
        regions: entered.regions,
        bytes: entered.bytes,
        copy_ns: time(entered.copy_ns),
        verify_ns: time(entered.verify_ns),
        handoff_ns: time(entered.handoff_ns),
        total_ns: time(entered.total_ns),
    }
}

/// The log message about a record, after `entered by`.
struct Line<'a>(&'a Entered<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entered = self.0;

        f.write_str(entered.release)?;
        if let Some(mismatch) = entered.mismatch {
            f.write_fmt(fmt!(" after a mismatch in {mismatch} of the normal image"))?;
        }
        if entered.verified {
            f.write_fmt(fmt!(
                ": verified {} regions, {} MB, {}",
                entered.regions,
                Tenths(entered.bytes, 1_000_000),
                entered.engine
            ))?;
        } else {
            f.write_fmt(fmt!(": {}", entered.decision))?;
        }

        let mut separator = ": ";
        for (name, ns) in [("copy", entered.copy_ns), ("verify", entered.verify_ns)] {
            if let Some(ns) = ns {
                f.write_fmt(fmt!("{separator}{name} {} ms", Tenths(ns, 1_000_000)))?;
                separator = ", ";
            }
        }
        if let Some(ns) = entered.total_ns {
            let ms = Tenths(ns, 1_000_000);

            f.write_fmt(fmt!("{separator}{ms} ms since machine_kexec()"))?;
        }
        Ok(())
    }
}

/// `Tenths(number, unit)`: `number` in multiples of `unit`, rounded down to one decimal.
struct Tenths(u64, u64);

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!(
            "{}.{}",
            self.0 / self.1,
            self.0 % self.1 * 10 / self.1
        ))
    }
}
