// SPDX-License-Identifier: GPL-2.0-only

//! Intrinsics of `core::arch` that work on values alone, as safe functions.
//!
//! In `core` they are safe since Rust 1.87: the one condition of each is that the CPU has the
//! instruction, and the compiler holds callers to that by `#[target_feature]`.

use core::arch::x86_64::{
    self,
    __m128i, //
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

safe! {
    #[target_feature(enable = "sse2")]
    fn _mm_add_epi32(a: __m128i, b: __m128i) -> __m128i;

    #[target_feature(enable = "sse2")]
    fn _mm_set_epi32(e3: i32, e2: i32, e1: i32, e0: i32) -> __m128i;

    #[target_feature(enable = "sse2")]
    fn _mm_set_epi64x(e1: i64, e0: i64) -> __m128i;

    #[target_feature(enable = "sse2")]
    fn _mm_unpackhi_epi64(a: __m128i, b: __m128i) -> __m128i;

    #[target_feature(enable = "ssse3")]
    fn _mm_alignr_epi8<const BYTES: i32>(a: __m128i, b: __m128i) -> __m128i;

    #[target_feature(enable = "ssse3")]
    fn _mm_shuffle_epi8(a: __m128i, b: __m128i) -> __m128i;

    #[target_feature(enable = "sse4.1")]
    fn _mm_extract_epi32<const INDEX: i32>(a: __m128i) -> i32;

    #[target_feature(enable = "sha")]
    fn _mm_sha256msg1_epu32(a: __m128i, b: __m128i) -> __m128i;

    #[target_feature(enable = "sha")]
    fn _mm_sha256msg2_epu32(a: __m128i, b: __m128i) -> __m128i;

    #[target_feature(enable = "sha")]
    fn _mm_sha256rnds2_epu32(a: __m128i, b: __m128i, k: __m128i) -> __m128i;
}
