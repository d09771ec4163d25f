// SPDX-License-Identifier: GPL-2.0-only

//! The purgatory's digests on their own, for tests and measurements.
//!
//! This image is linked from the compiled crate that the purgatory is linked from, so that its
//! machine code is the purgatory's. It has no header: its first byte is the first instruction of
//!
//! ```c
//! void digest(u32 engine, const u8 *start, size_t len, u8 *out);
//! ```
//!
//! which writes the 32 bytes of the digest of a region to `out`. `engine` is an [`EngineKind`]; for
//! a number that is none, nothing is written. The CPU must be ready for the engine.

#![no_std]

use core::arch::global_asm;
use purgatory_digest::{
    abi::{
        Digest,
        EngineKind, //
    },
    region_digest, //
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
    call    purgatory_test_digest
    leave
    ret
    "#,
    options(att_syntax),
);

/// Computes the digest of a region.
///
/// # Safety
///
/// `out` must be valid for writes; the rest as for [`region_digest`].
#[unsafe(no_mangle)]
unsafe extern "C" fn purgatory_test_digest(
    engine: u32,
    start: *const u8,
    len: usize,
    out: *mut Digest,
) {
    if let Some(engine) = EngineKind::from_raw(engine) {
        // SAFETY: By the safety requirements of this function.
        unsafe { out.write(region_digest(engine, start, len)) };
    }
}
