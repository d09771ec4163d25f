// SPDX-License-Identifier: GPL-2.0-only

//! Intrinsics of `core::arch` that access no memory, as safe functions and methods.
//!
//! In `core` they are safe since Rust 1.87. Their only requirement is that the CPU has the
//! instruction; the compiler checks this in callers by `#[target_feature]`.

// Clippy mistakes safe functions with target features for unsafe ones. The compiler checks their
// callers.
#![allow(clippy::missing_safety_doc)]

use core::arch::x86_64::{
    self,
    __m128i,
    __m256i,
    __m512i, //
};

macro_rules! safe {
    ($(
        #[target_feature(enable = $feature:literal)]
        fn $name:ident $(<const $constant:ident: i32>)? ($($arg:ident: $type:ty),*) -> $result:ty;
    )*) => {
        $(
            #[inline]
            #[target_feature(enable = $feature)]
            pub(super) fn $name $(<const $constant: i32>)? ($($arg: $type),*) -> $result {
                // In Rust 1.87 and later, the function is safe.
                #[allow(unused_unsafe)]
                // SAFETY: The CPU has the instruction, as this function has it enabled.
                unsafe {
                    x86_64::$name $(::<$constant>)? ($($arg),*)
                }
            }
        )*
    };
}

/// Defines methods in an `impl` of a vector: `fn name(self, other: Self) = expression;`. The
/// intrinsics in the expression must access no memory. The vector's type invariant must be that the
/// CPU is ready for them.
macro_rules! methods {
    ($(
        fn $name:ident $(<$(const $constant:ident: $constant_type:ty),*>)?
        ($self:ident $(, $arg:ident: $type:ty)*) = $value:expr;
    )*) => {
        $(
            #[inline(always)]
            fn $name $(<$(const $constant: $constant_type),*>)? ($self $(, $arg: $type)*) -> Self {
                // SAFETY: By the type invariants of `Self`, the CPU has the instructions.
                Self(unsafe { $value })
            }
        )*
    };
}

pub(super) use methods;

safe! {
    #[target_feature(enable = "sse2")]
    fn _mm_set_epi32(e3: i32, e2: i32, e1: i32, e0: i32) -> __m128i;

    #[target_feature(enable = "sse4.1")]
    fn _mm_extract_epi32<const INDEX: i32>(a: __m128i) -> i32;

    #[target_feature(enable = "avx")]
    fn _mm256_setzero_si256() -> __m256i;

    #[target_feature(enable = "avx512f")]
    fn _mm512_setzero_si512() -> __m512i;
}
