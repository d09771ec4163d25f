// SPDX-License-Identifier: GPL-2.0-only

//! Enters the crash image when the normal image is damaged.

use crate::{
    console::Console,
    Next, //
};
use core::{
    ptr,
    slice, //
};
use purgatory_digest::{
    abi::{
        Digest,
        Handoff, //
    },
    sha256, //
};

/// A purgatory begins at a multiple of this many bytes.
const PAGE_SIZE: u64 = 4096;

/// What is needed to enter the purgatory of the crash image. The same kernel has loaded it and this
/// purgatory, so that both have the same code. No field is read from memory that may be damaged.
///
/// # Invariants
///
/// - `start`, `own_entry` and `code` are those of this program.
/// - `entry` is 0, or the entry point of the purgatory of a crash image. That purgatory was loaded
///   from the same file as this one, so that it begins at `entry - (own_entry - start)` and has
///   `code` bytes before its parameters. This program's page tables map it.
pub(crate) struct Fallback {
    handoff: Handoff,
    /// Entry point of the crash image's purgatory, a physical address; 0 if there is none.
    entry: u64,
    /// Entry point of this purgatory, a physical address.
    own_entry: u64,
    /// Physical address of this purgatory.
    start: u64,
    /// Bytes of the header, code and constants of this purgatory.
    code: usize,
    /// Digest of these bytes as they are.
    digest: Digest,
}

impl Fallback {
    /// Takes the entry points of the crash image's purgatory, or 0, and of this one; then the start
    /// of this one, the number of bytes of its header, code and constants, and their digest. All
    /// addresses are physical.
    ///
    /// # Safety
    ///
    /// The arguments must be as the type invariants require.
    pub(crate) unsafe fn new(
        handoff: Handoff,
        entry: u64,
        own_entry: u64,
        start: u64,
        code: usize,
        digest: Digest,
    ) -> Fallback {
        // INVARIANT: By the safety requirements of this function.
        Fallback {
            handoff,
            entry,
            own_entry,
            start,
            code,
            digest,
        }
    }

    /// What to enter because `mismatch`, numbered as in `record::Record::mismatch`, was damaged.
    /// `None` if there is no crash image, or if its purgatory differs from this one in header, code
    /// or constants: one of the two is damaged then. The purgatory of the crash image checks
    /// everything else itself.
    pub(crate) fn next(&self, console: &mut Console, mismatch: u64) -> Option<Next> {
        let start = self.entry.checked_sub(self.own_entry - self.start)?;
        if start % PAGE_SIZE != 0 || start == self.start || start == 0 {
            return None;
        }

        let start = ptr::with_exposed_provenance(start as usize);
        // SAFETY: By the type invariants, the other purgatory begins at `start`, which is not 0,
        // has `self.code` bytes before its parameters, and is mapped. Nothing else runs that could
        // write to it.
        let code = unsafe { slice::from_raw_parts(start, self.code) };
        if sha256(code) != self.digest {
            console.str("purgatory: the crash image has another purgatory\n");
            return None;
        }

        console.str("purgatory: entering the crash image\n");
        Some(Next {
            rsi: self.handoff.after_mismatch(mismatch).into_raw(),
            entry: self.entry,
        })
    }
}
