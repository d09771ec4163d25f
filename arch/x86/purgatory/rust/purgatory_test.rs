// SPDX-License-Identifier: GPL-2.0-only

//! The purgatory's digests on their own, for tests and measurements.
//!
//! This image and the purgatory are linked from the same compiled crate, so that both have the same
//! machine code. The image has no header: its first byte is the first instruction of
//!
//! ```c
//! void digests(u32 engine, const struct region *regions, size_t count, u8 digests[16][32]);
//! ```
//!
//! which calls [`region_digests`] for `count` regions. `engine` is the number of an [`EngineKind`];
//! for an unknown number, nothing is written. The CPU must be ready for the engine.

#![no_std]

use core::{
    arch::global_asm,
    slice, //
};
use purgatory_digest::{
    abi::{
        Digest,
        Region,
        REGIONS_MAX, //
    },
    engines::EngineKind,
    region_digests, //
};

global_asm!(
    r#"
    .section .head, "ax", @progbits
    .globl purgatory_test_entry
purgatory_test_entry:
    # Called through a pointer, by a kernel that may have indirect branch tracking on and that does
    # not align its stack to 16 bytes.
    endbr64
    pushq   %rbp
    movq    %rsp, %rbp
    andq    $-16, %rsp
    call    purgatory_test_digests
    leave
    ret
    "#,
    options(att_syntax),
);

/// [`region_digests`] for C.
///
/// # Safety
///
/// `regions` must be aligned and valid for reads of `count` regions. `digests` must be a reference
/// that nothing else uses. For the regions and the CPU, see [`region_digests`].
#[unsafe(no_mangle)]
unsafe extern "C" fn purgatory_test_digests(
    engine: u32,
    regions: *const Region,
    count: usize,
    digests: *mut [Digest; REGIONS_MAX],
) {
    if let Some(engine) = EngineKind::from_raw(engine) {
        // SAFETY: By the safety requirements of this function.
        unsafe { region_digests(engine, slice::from_raw_parts(regions, count), &mut *digests) };
    }
}
