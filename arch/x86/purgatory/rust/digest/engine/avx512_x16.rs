// SPDX-License-Identifier: GPL-2.0-only

//! AVX-512, sixteen streams.

// Clippy takes safe functions with target features for unsafe ones; the compiler checks their
// callers.
#![allow(clippy::missing_safety_doc)]

use super::{
    lanes::{
        self,
        Words, //
    }, //
    Block,
    Engine,
    States,
};
use core::arch::x86_64::*;

/// The AVX-512 engine.
///
/// # Invariants
///
/// A value exists only while the CPU is ready for AVX512F and AVX512BW.
#[derive(Clone, Copy)]
pub(crate) struct Avx512X16(());

impl Avx512X16 {
    /// Creates the engine.
    ///
    /// # Safety
    ///
    /// As long as the value is in use, the CPU is ready for the engine as
    /// [`region_digest`](crate::region_digest) requires.
    pub(crate) unsafe fn new() -> Self {
        // INVARIANT: By the safety requirements.
        Avx512X16(())
    }
}

impl Engine<16> for Avx512X16 {
    fn compress(self, states: &mut States<16>, data: &[&[Block]; 16]) {
        // SAFETY: By the type invariants, the CPU has what the function needs.
        unsafe { compress(states, data) }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn compress(states: &mut States<16>, data: &[&[Block]; 16]) {
    // SAFETY: This function has the instructions enabled, so that whoever called it has made sure
    // that the CPU is ready for them.
    unsafe { lanes::compress::<Vector, 16>(states, data) }
}

// What `vpternlogd` computes of `a`, `b` and `c`: the result for 1, 1, 1 in the highest bit, and
// so on down to the one for 0, 0, 0.
const XOR: i32 = 0b1001_0110;
const CHOOSE: i32 = 0b1100_1010;
const MAJORITY: i32 = 0b1110_1000;

/// 16 words.
///
/// # Invariants
///
/// A value exists only while the CPU is ready for AVX512F and AVX512BW.
#[derive(Clone, Copy)]
struct Vector(__m512i);

impl Words<16> for Vector {
    #[inline(always)]
    unsafe fn load(words: &[u32; 16]) -> Self {
        // SAFETY: By the safety requirements, the CPU has the instruction. It reads the 64 bytes
        // that the reference covers, at any alignment. INVARIANT: By the safety requirements.
        Vector(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn load_quarter(
        data: &[&[Block]; 16],
        block: usize,
        quarter: usize,
        first: usize,
    ) -> Self {
        // SAFETY: By the safety requirements, the CPU has the instructions, `first` is less than
        // 4, so that the numbers of the streams are less than 16, each stream has the block, and
        // `quarter` is less than 4, so that the 16 bytes from there are part of the block. They
        // are read at any alignment. INVARIANT: By the safety requirements.
        unsafe {
            let address = |lane: usize| -> *const __m128i {
                let block = data.get_unchecked(lane).as_ptr().add(block);

                block.cast::<__m128i>().add(quarter)
            };
            let words = _mm512_castsi128_si512(_mm_loadu_si128(address(first)));
            let words = _mm512_inserti32x4::<1>(words, _mm_loadu_si128(address(first + 4)));
            let words = _mm512_inserti32x4::<2>(words, _mm_loadu_si128(address(first + 8)));
            let words = _mm512_inserti32x4::<3>(words, _mm_loadu_si128(address(first + 12)));

            Vector(words)
        }
    }

    #[inline(always)]
    fn store(self, words: &mut [u32; 16]) {
        // SAFETY: By the type invariants, the CPU has the instruction. It writes the 64 bytes that
        // the reference covers, at any alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instructions.
        Vector(unsafe {
            let order = _mm512_broadcast_i32x4(_mm_set_epi64x(
                0x0c0d_0e0f_0809_0a0b,
                0x0405_0607_0001_0203,
            ));

            _mm512_shuffle_epi8(self.0, order)
        })
    }

    #[inline(always)]
    fn interleave_low_words(self, other: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm512_unpacklo_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn interleave_high_words(self, other: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm512_unpackhi_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn interleave_low_pairs(self, other: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm512_unpacklo_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn interleave_high_pairs(self, other: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm512_unpackhi_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm512_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn add_constant(self, word: u32) -> Self {
        // SAFETY: By the type invariants, the CPU has the instructions.
        Vector(unsafe { _mm512_add_epi32(self.0, _mm512_set1_epi32(word.cast_signed())) })
    }

    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm512_ternarylogic_epi32::<XOR>(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn choose(self, b: Self, c: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm512_ternarylogic_epi32::<CHOOSE>(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn majority(self, b: Self, c: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm512_ternarylogic_epi32::<MAJORITY>(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn rotate<const RIGHT: i32, const LEFT: i32>(self) -> Self {
        const { assert!(RIGHT + LEFT == 32) };

        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm512_ror_epi32::<RIGHT>(self.0) })
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm512_srli_epi32::<BITS>(self.0) })
    }
}
