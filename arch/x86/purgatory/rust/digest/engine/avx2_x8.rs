// SPDX-License-Identifier: GPL-2.0-only

//! AVX2, eight streams.

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

/// The AVX2 engine.
///
/// # Invariants
///
/// A value exists only while the CPU is ready for AVX2.
#[derive(Clone, Copy)]
pub(crate) struct Avx2X8(());

impl Avx2X8 {
    /// Creates the engine.
    ///
    /// # Safety
    ///
    /// As long as the value is in use, the CPU is ready for the engine as
    /// [`region_digest`](crate::region_digest) requires.
    pub(crate) unsafe fn new() -> Self {
        // INVARIANT: By the safety requirements.
        Avx2X8(())
    }
}

impl Engine<8> for Avx2X8 {
    fn compress(self, states: &mut States<8>, data: &[&[Block]; 8]) {
        // SAFETY: By the type invariants, the CPU has what the function needs.
        unsafe { compress(states, data) }
    }
}

#[target_feature(enable = "avx2")]
fn compress(states: &mut States<8>, data: &[&[Block]; 8]) {
    // SAFETY: This function has the instructions enabled, so that whoever called it has made sure
    // that the CPU is ready for them.
    unsafe { lanes::compress::<Vector, 8>(states, data) }
}

/// 8 words.
///
/// # Invariants
///
/// A value exists only while the CPU is ready for AVX2.
#[derive(Clone, Copy)]
struct Vector(__m256i);

impl Words<8> for Vector {
    #[inline(always)]
    unsafe fn load(words: &[u32; 8]) -> Self {
        // SAFETY: By the safety requirements, the CPU has the instruction. It reads the 32 bytes
        // that the reference covers, at any alignment. INVARIANT: By the safety requirements.
        Vector(unsafe { _mm256_loadu_si256(words.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn load_quarter(
        data: &[&[Block]; 8],
        block: usize,
        quarter: usize,
        first: usize,
    ) -> Self {
        // SAFETY: By the safety requirements, the CPU has the instructions, `first` is less than
        // 4, so that the numbers of the streams are less than 8, each stream has the block, and
        // `quarter` is less than 4, so that the 16 bytes from there are part of the block. They
        // are read at any alignment. INVARIANT: By the safety requirements.
        unsafe {
            let address = |lane: usize| -> *const __m128i {
                let block = data.get_unchecked(lane).as_ptr().add(block);

                block.cast::<__m128i>().add(quarter)
            };
            let low = _mm_loadu_si128(address(first));
            let high = _mm_loadu_si128(address(first + 4));

            Vector(_mm256_set_m128i(high, low))
        }
    }

    #[inline(always)]
    fn store(self, words: &mut [u32; 8]) {
        // SAFETY: By the type invariants, the CPU has the instruction. It writes the 32 bytes that
        // the reference covers, at any alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    fn swap_bytes(self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instructions.
        Vector(unsafe {
            let order = _mm256_broadcastsi128_si256(_mm_set_epi64x(
                0x0c0d_0e0f_0809_0a0b,
                0x0405_0607_0001_0203,
            ));

            _mm256_shuffle_epi8(self.0, order)
        })
    }

    #[inline(always)]
    fn interleave_low_words(self, other: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm256_unpacklo_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn interleave_high_words(self, other: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm256_unpackhi_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn interleave_low_pairs(self, other: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm256_unpacklo_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn interleave_high_pairs(self, other: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm256_unpackhi_epi64(self.0, other.0) })
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm256_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    fn add_constant(self, word: u32) -> Self {
        // SAFETY: By the type invariants, the CPU has the instructions.
        Vector(unsafe { _mm256_add_epi32(self.0, _mm256_set1_epi32(word.cast_signed())) })
    }

    #[inline(always)]
    fn xor3(self, b: Self, c: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instructions.
        Vector(unsafe { _mm256_xor_si256(_mm256_xor_si256(self.0, b.0), c.0) })
    }

    #[inline(always)]
    fn choose(self, b: Self, c: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instructions.
        Vector(unsafe {
            _mm256_xor_si256(_mm256_and_si256(_mm256_xor_si256(b.0, c.0), self.0), c.0)
        })
    }

    #[inline(always)]
    fn majority(self, b: Self, c: Self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instructions.
        Vector(unsafe {
            _mm256_or_si256(
                _mm256_and_si256(self.0, b.0),
                _mm256_and_si256(_mm256_or_si256(self.0, b.0), c.0),
            )
        })
    }

    #[inline(always)]
    fn rotate<const RIGHT: i32, const LEFT: i32>(self) -> Self {
        const { assert!(RIGHT + LEFT == 32) };

        // SAFETY: By the type invariants, the CPU has the instructions.
        Vector(unsafe {
            _mm256_or_si256(
                _mm256_srli_epi32::<RIGHT>(self.0),
                _mm256_slli_epi32::<LEFT>(self.0),
            )
        })
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        // SAFETY: By the type invariants, the CPU has the instruction.
        Vector(unsafe { _mm256_srl_epi32(self.0, _mm_cvtsi32_si128(BITS.cast_signed())) })
    }
}
