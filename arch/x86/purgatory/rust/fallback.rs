// SPDX-License-Identifier: GPL-2.0-only

//! The crash image, for a normal image that must not be entered.

use crate::{
    console::Console,
    Next, //
};
use core::ptr;
use purgatory_digest::{
    abi::{
        Digest,
        Handoff, //
    },
    sha256, //
};

/// A purgatory begins at a multiple of this.
const PAGE_SIZE: u64 = 4096;

/// What is needed to enter the purgatory of the crash image, and what that has in common with this
/// one: the same kernel has loaded both. Nothing of it is read from memory that may be damaged.
pub(crate) struct Fallback {
    pub(crate) handoff: Handoff,
    /// Its entry point, physical address; 0 if there is none.
    pub(crate) entry: u64,
    /// Entry point and physical address of this purgatory.
    pub(crate) own_entry: u64,
    pub(crate) start: u64,
    /// Bytes of its header, its code and its constants.
    pub(crate) code: usize,
    /// Digest of these, as they are.
    pub(crate) digest: Digest,
}

impl Fallback {
    /// Where to go on as `mismatch` was damaged, which is as in `record::Record::mismatch`. `None`
    /// if there is no crash image, or if the code of its purgatory is not that of this one: one of
    /// the two is damaged then. Its parameters, and all else, it checks itself.
    ///
    /// # Safety
    ///
    /// [`Self::entry`] must be 0, or the entry point of the purgatory of a crash image, which this
    /// program's page tables map.
    pub(crate) unsafe fn next(&self, console: &mut Console, mismatch: u64) -> Option<Next> {
        let start = self.entry.checked_sub(self.own_entry - self.start)?;
        if start % PAGE_SIZE != 0 || start == self.start || start == 0 {
            return None;
        }

        let code = ptr::with_exposed_provenance(start as usize);
        // SAFETY: By the safety requirements of this function, the purgatory is mapped, which has
        // the same size. Nothing else runs that could write to it.
        let digest = unsafe { sha256(code, self.code) };
        if digest != self.digest {
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
