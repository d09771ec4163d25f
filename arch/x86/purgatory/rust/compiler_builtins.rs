// SPDX-License-Identifier: GPL-2.0-only

//! The memory functions that the compiler calls.
//!
//! The copies use string instructions: the compiler could turn a loop into a call of the function
//! itself. Speed does not matter: regions are hashed in place, without a copy.

#![feature(compiler_builtins)]
#![compiler_builtins]
#![no_builtins]
#![no_std]
#![allow(internal_features)]

use core::arch::asm;

/// C's `memcpy()`.
///
/// # Safety
///
/// `src` must be valid for reads and `dst` for writes of `n` bytes, and the two must not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(dst: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    // SAFETY: Reads and writes the bytes that the caller vouches for. The direction flag is clear,
    // as the ABI asks for.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") n => _,
            inout("rdi") dst => _,
            inout("rsi") src => _,
            options(nostack, preserves_flags),
        )
    };
    dst
}

/// C's `memmove()`.
///
/// # Safety
///
/// `src` must be valid for reads and `dst` for writes of `n` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(dst: *mut u8, src: *const u8, n: usize) -> *mut u8 {
    if dst.addr().wrapping_sub(src.addr()) >= n {
        // SAFETY: `dst` does not lie within the source, so that copying upwards reads every byte
        // before it is overwritten.
        return unsafe { memcpy(dst, src, n) };
    }
    // SAFETY: Copies downwards the bytes that the caller vouches for, `n` > 0, and clears the
    // direction flag again.
    unsafe {
        asm!(
            "std",
            "rep movsb",
            "cld",
            inout("rcx") n => _,
            inout("rdi") dst.wrapping_add(n - 1) => _,
            inout("rsi") src.wrapping_add(n - 1) => _,
            options(nostack),
        )
    };
    dst
}

/// C's `memset()`.
///
/// # Safety
///
/// `dst` must be valid for writes of `n` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(dst: *mut u8, byte: i32, n: usize) -> *mut u8 {
    // SAFETY: Writes the bytes that the caller vouches for. The direction flag is clear, as the ABI
    // asks for.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") n => _,
            inout("rdi") dst => _,
            in("al") byte as u8,
            options(nostack, preserves_flags),
        )
    };
    dst
}

/// C's `memcmp()`.
///
/// # Safety
///
/// Both pointers must be valid for reads of `n` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: `i` is below `n`, and the caller vouches for `n` bytes.
        let (a, b) = unsafe { (a.add(i).read(), b.add(i).read()) };

        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

/// POSIX's `bcmp()`.
///
/// # Safety
///
/// As for [`memcmp`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: By the safety requirements of this function.
    unsafe { memcmp(a, b, n) }
}
