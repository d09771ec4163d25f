// SPDX-License-Identifier: GPL-2.0-only

//! Intrinsics of `core::arch` and assembler code that access no memory, as safe functions and
//! methods.
//!
//! In `core`, intrinsics are safe since Rust 1.87. Their only requirement is that the CPU has the
//! instruction; the compiler checks this in callers by `#[target_feature]`.

// Clippy mistakes safe functions with target features for unsafe ones. The compiler checks their
// callers.
#![allow(clippy::missing_safety_doc)]

use core::arch::{
    asm,
    x86_64::{
        self,
        __m128i,
        __m256i,
        __m512i, //
    }, //
};

/// Defines functions. The expressions must access no memory.
macro_rules! safe {
    ($(
        #[target_feature(enable = $feature:literal)]
        fn $name:ident $(<const $constant:ident: i32>)? ($($arg:ident: $type:ty),*) -> $result:ty
            = $value:expr;
    )*) => {
        $(
            #[inline]
            #[target_feature(enable = $feature)]
            pub(super) fn $name $(<const $constant: i32>)? ($($arg: $type),*) -> $result {
                // In Rust 1.87 and later, intrinsics are safe.
                #[allow(unused_unsafe)]
                // SAFETY: The CPU has the instructions, as this function has them enabled.
                // Assembler code has none, and leaves its operand as it is.
                unsafe { $value }
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
    fn _mm_set_epi32(e3: i32, e2: i32, e1: i32, e0: i32) -> __m128i
        = x86_64::_mm_set_epi32(e3, e2, e1, e0);

    #[target_feature(enable = "sse4.1")]
    fn _mm_extract_epi32<const INDEX: i32>(a: __m128i) -> i32
        = x86_64::_mm_extract_epi32::<INDEX>(a);

    #[target_feature(enable = "avx")]
    fn _mm256_setzero_si256() -> __m256i = x86_64::_mm256_setzero_si256();

    #[target_feature(enable = "avx")]
    fn opaque_256(value: __m256i) -> __m256i = {
        let result;

        asm!(
            "/* {} */",
            inlateout(ymm_reg) value => result,
            options(pure, nomem, nostack, preserves_flags),
        );
        result
    };

    #[target_feature(enable = "avx512f")]
    fn _mm512_setzero_si512() -> __m512i = x86_64::_mm512_setzero_si512();

    #[target_feature(enable = "avx512f")]
    fn opaque_512(value: __m512i) -> __m512i = {
        let result;

        asm!(
            "/* {} */",
            inlateout(zmm_reg) value => result,
            options(pure, nomem, nostack, preserves_flags),
        );
        result
    };
}
