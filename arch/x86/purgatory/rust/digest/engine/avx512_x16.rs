// SPDX-License-Identifier: GPL-2.0-only

//! AVX-512, sixteen streams.

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

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn compress(states: &mut States, streams: &Streams<'_>) {
    // INVARIANT: This function enables the instructions, so its caller has made sure that the CPU
    // is ready for them.
    lanes::compress(Vector(intrinsics::_mm512_setzero_si512()), states, streams);
}

// Truth tables for `vpternlogd` of `a`, `b` and `c`: the highest bit is the result for 1, 1, 1, the
// lowest bit the result for 0, 0, 0.
const XOR: i32 = 0b1001_0110;
const CHOOSE: i32 = 0b1100_1010;
const MAJORITY: i32 = 0b1110_1000;

/// 16 words.
///
/// # Invariants
///
/// While a value exists, the CPU is ready for AVX512F and AVX512BW.
#[derive(Clone, Copy)]
struct Vector(__m512i);

impl Words<16> for Vector {
    #[inline(always)]
    fn load(self, words: &[u32; 16]) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction. It reads the 64 bytes that
        // the reference covers, at any alignment. INVARIANT: As for `self`.
        Vector(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
    }

    #[inline(always)]
    fn load_quarter<const QUARTER: usize, const FIRST: usize>(
        self,
        blocks: &Blocks<'_, 16>,
    ) -> Self {
        const { assert!(FIRST < 4) };

        // SAFETY: By the type invariants, the CPU has the instructions. They read the 16 bytes at
        // each address, which are part of a block, at any alignment. `FIRST` is less than 4, so
        // that the numbers of the streams are less than 16. INVARIANT: As for `self`.
        unsafe {
            let address = |lane| blocks.quarter::<QUARTER>(lane).cast::<__m128i>();
            let words = _mm512_castsi128_si512(_mm_loadu_si128(address(FIRST)));
            let words = _mm512_inserti32x4::<1>(words, _mm_loadu_si128(address(FIRST + 4)));
            let words = _mm512_inserti32x4::<2>(words, _mm_loadu_si128(address(FIRST + 8)));
            let words = _mm512_inserti32x4::<3>(words, _mm_loadu_si128(address(FIRST + 12)));

            Vector(words)
        }
    }

    #[inline(always)]
    fn store(self, words: &mut [u32; 16]) {
        // SAFETY: By the type invariants, the CPU has the instruction. It writes the 64 bytes that
        // the reference covers, at any alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), self.0) }
    }

    methods! {
        fn swap_bytes(self) = _mm512_shuffle_epi8(
            self.0,
            _mm512_broadcast_i32x4(_mm_set_epi64x(
                0x0c0d_0e0f_0809_0a0b,
                0x0405_0607_0001_0203,
            )),
        );

        fn interleave_low_words(self, other: Self) = _mm512_unpacklo_epi32(self.0, other.0);

        fn interleave_high_words(self, other: Self) = _mm512_unpackhi_epi32(self.0, other.0);

        fn interleave_low_pairs(self, other: Self) = _mm512_unpacklo_epi64(self.0, other.0);

        fn interleave_high_pairs(self, other: Self) = _mm512_unpackhi_epi64(self.0, other.0);

        fn add(self, other: Self) = _mm512_add_epi32(self.0, other.0);

        fn opaque(self) = intrinsics::opaque_512(self.0);

        fn add_constant(self, word: u32) =
            _mm512_add_epi32(self.0, _mm512_set1_epi32(word.cast_signed()));

        fn xor3(self, b: Self, c: Self) = _mm512_ternarylogic_epi32::<XOR>(self.0, b.0, c.0);

        fn choose(self, b: Self, c: Self) = _mm512_ternarylogic_epi32::<CHOOSE>(self.0, b.0, c.0);

        fn majority(self, b: Self, c: Self) =
            _mm512_ternarylogic_epi32::<MAJORITY>(self.0, b.0, c.0);

        fn rotate<const RIGHT: i32, const LEFT: i32>(self) = _mm512_ror_epi32::<RIGHT>(self.0);

        fn shift_right<const BITS: u32>(self) = _mm512_srli_epi32::<BITS>(self.0);
    }
}
