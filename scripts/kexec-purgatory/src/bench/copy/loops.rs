// SPDX-License-Identifier: GPL-2.0-only

//! The copy loop of `relocate_kernel`, and alternatives to it.
//!
//! Each walks an indirection list as `swap_pages` does (arch/x86/kernel/relocate_kernel_64.S). The
//! project's own loop is assembled from the kernel's source.

use std::arch::global_asm;

use crate::bench::present_memory::PAGE;
use crate::machine::loaded::{IND_DESTINATION, IND_DONE, IND_INDIRECTION, IND_SOURCE};

global_asm!(
    ".set PAGE_SIZE, {page}",
    ".set IND_DESTINATION, {destination}",
    ".set IND_INDIRECTION, {indirection}",
    ".set IND_DONE, {done}",
    ".set IND_SOURCE, {source}",
    // arch/x86/include/asm/kexec.h
    ".set RELOC_KERNEL_PRESERVE_CONTEXT, {swap}",
    ".set RELOC_KERNEL_CACHED_COPY, {cached}",
    // The assembler takes the lines for the preprocessor as comments.
    include_str!("../../../../../arch/x86/kernel/kexec_copy_page.S"),
    include_str!("loops.S"),
    page = const PAGE,
    destination = const IND_DESTINATION,
    indirection = const IND_INDIRECTION,
    done = const IND_DONE,
    source = const IND_SOURCE,
    swap = const SWAP,
    cached = const CACHED,
    options(att_syntax),
);

/// `RELOC_KERNEL_PRESERVE_CONTEXT` and `RELOC_KERNEL_CACHED_COPY`.
const SWAP: u64 = 1;
pub const CACHED: u64 = 4;

/// Takes the first entry of a list, and copies what the list says. Takes the flags of
/// `relocate_kernel`, and returns 1 at the first page that the loop does not copy for these flags,
/// else 0.
type Walk = unsafe extern "sysv64" fn(head: u64, flags: u64) -> u64;

unsafe extern "sysv64" {
    fn walk_movsq(head: u64, flags: u64) -> u64;
    fn walk_movsb(head: u64, flags: u64) -> u64;
    fn walk_movsq_runs(head: u64, flags: u64) -> u64;
    fn walk_movsb_runs(head: u64, flags: u64) -> u64;
    fn walk_movsq_prefetch(head: u64, flags: u64) -> u64;
    fn walk_mov(head: u64, flags: u64) -> u64;
    fn walk_movnti(head: u64, flags: u64) -> u64;
    fn walk_project(head: u64, flags: u64) -> u64;
}

/// A way to copy.
#[derive(Clone, Copy)]
pub struct Loop {
    pub name: &'static str,
    function: Walk,
}

impl Loop {
    /// What mainline does.
    pub const MOVSQ: Self = Self::new("movsq", walk_movsq);

    /// The one that the project's kernel has.
    pub const PROJECT: Self = Self::new("movnti-prefetch", walk_project);

    pub const ALL: [Self; 8] = [
        Self::MOVSQ,
        Self::new("movsb", walk_movsb),
        // Runs of adjacent pages at once.
        Self::new("movsq-runs", walk_movsq_runs),
        Self::new("movsb-runs", walk_movsb_runs),
        // Prefetches the next page before it copies this one.
        Self::new("movsq-prefetch", walk_movsq_prefetch),
        // Plain loads and stores.
        Self::new("mov", walk_mov),
        // Stores around the cache.
        Self::new("movnti", walk_movnti),
        Self::PROJECT,
    ];

    const fn new(name: &'static str, function: Walk) -> Self {
        Self { name, function }
    }

    /// Copies along a list.
    ///
    /// # Safety
    ///
    /// `head` must be the first entry of a list that ends, and nobody may borrow the destinations.
    pub unsafe fn walk(self, head: u64) {
        // SAFETY: By the safety requirements of this function. Only destinations are written to,
        // and prefetches have no effect.
        unsafe { (self.function)(head, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that is copied to, one that is copied, and a list in a page of its own.
    #[repr(C, align(4096))]
    struct Pages {
        to: [u8; PAGE],
        from: [u8; PAGE],
        list: [u64; 3],
    }

    #[test]
    fn the_projects_loop_leaves_other_copies_to_mainline() {
        let incoherent = 2;
        for (flags, copies) in [
            (0, true),
            (incoherent, true),
            (SWAP, false),
            (CACHED, false),
        ] {
            let mut pages = Box::new(Pages {
                to: [1; PAGE],
                from: [2; PAGE],
                list: [0; 3],
            });
            let start = (&raw mut *pages).expose_provenance() as u64;
            let page = PAGE as u64;
            pages.list = [
                start | IND_DESTINATION,
                (start + page) | IND_SOURCE,
                IND_DONE,
            ];
            // SAFETY: The list ends, and nobody borrows the pages.
            let gave_up = unsafe { walk_project((start + 2 * page) | IND_INDIRECTION, flags) };
            assert_eq!((gave_up == 0, pages.to == pages.from), (copies, copies));
        }
    }
}
