// SPDX-License-Identifier: GPL-2.0-only

//! AVX2, eight streams.

// Clippy mistakes safe functions with target features for unsafe ones. The compiler checks their
// callers.
#![allow(clippy::missing_safety_doc)]

use super::{
    intrinsics::{
        self,
        methods, //
    },
    lanes::{
        self,
        Blocks,
        Words, //
    },
    States,
    Streams, //
};
use core::arch::x86_64::*;

#[target_feature(enable = "avx2")]
pub(super) fn compress(states: &mut States, streams: &Streams<'_>) {
    // INVARIANT: This function enables the instructions, so its caller has made sure that the CPU
    // is ready for them.
    lanes::compress(Vector(intrinsics::_mm256_setzero_si256()), states, streams);
}

/// 8 words.
///
/// # Invariants
///
/// While a value exists, the CPU is ready for AVX2.
#[derive(Clone, Copy)]
struct Vector(__m256i);

impl Words<8> for Vector {
    #[inline(always)]
    fn load(self, words: &[u32; 8]) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction. It reads the 32 bytes that
        // the reference covers, at any alignment. INVARIANT: As for `self`.
        Vector(unsafe { _mm256_loadu_si256(words.as_ptr().cast()) })
    }

    #[inline(always)]
    fn load_quarter<const QUARTER: usize, const FIRST: usize>(
        self,
        blocks: &Blocks<'_, 8>,
    ) -> Self {
        const { assert!(FIRST < 4) };

        // SAFETY: By the type invariants, the CPU has the instructions. They read the 16 bytes at
        // each address, which are part of a block, at any alignment. `FIRST` is less than 4, so
        // that the numbers of the streams are less than 8. INVARIANT: As for `self`.
        unsafe {
            let address = |lane| blocks.quarter::<QUARTER>(lane).cast::<__m128i>();
            let low = _mm_loadu_si128(address(FIRST));
            let high = _mm_loadu_si128(address(FIRST + 4));

            Vector(_mm256_set_m128i(high, low))
        }
    }

    #[inline(always)]
    fn store(self, words: &mut [u32; 8]) {
        // SAFETY: By the type invariants, the CPU has the instruction. It writes the 32 bytes that
        // the reference covers, at any alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), self.0) }
    }

    methods! {
        fn swap_bytes(self) = _mm256_shuffle_epi8(
            self.0,
            _mm256_broadcastsi128_si256(_mm_set_epi64x(
                0x0c0d_0e0f_0809_0a0b,
                0x0405_0607_0001_0203,
            )),
        );

        fn interleave_low_words(self, other: Self) = _mm256_unpacklo_epi32(self.0, other.0);

        fn interleave_high_words(self, other: Self) = _mm256_unpackhi_epi32(self.0, other.0);

        fn interleave_low_pairs(self, other: Self) = _mm256_unpacklo_epi64(self.0, other.0);

        fn interleave_high_pairs(self, other: Self) = _mm256_unpackhi_epi64(self.0, other.0);

        fn add(self, other: Self) = _mm256_add_epi32(self.0, other.0);

        fn opaque(self) = intrinsics::opaque_256(self.0);

        fn add_constant(self, word: u32) =
            _mm256_add_epi32(self.0, _mm256_set1_epi32(word.cast_signed()));

        fn xor3(self, b: Self, c: Self) = _mm256_xor_si256(_mm256_xor_si256(self.0, b.0), c.0);

        fn choose(self, b: Self, c: Self) =
            _mm256_xor_si256(_mm256_and_si256(_mm256_xor_si256(b.0, c.0), self.0), c.0);

        fn majority(self, b: Self, c: Self) = _mm256_xor_si256(
            _mm256_and_si256(
                _mm256_xor_si256(self.0, b.0),
                _mm256_xor_si256(b.0, c.0),
            ),
            b.0,
        );

        fn rotate<const RIGHT: i32, const LEFT: i32>(self) = _mm256_or_si256(
            _mm256_srli_epi32::<RIGHT>(self.0),
            _mm256_slli_epi32::<LEFT>(self.0),
        );

        fn shift_right<const BITS: u32>(self) =
            _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS.cast_signed()));
    }
}
