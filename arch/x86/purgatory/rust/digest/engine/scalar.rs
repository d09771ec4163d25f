// SPDX-License-Identifier: GPL-2.0-only

//! Code for every 64-bit CPU, one stream.
//!
//! The message schedule of a block does not depend on the blocks before it. It is computed for four
//! blocks at once, in vectors of SSE2, so that general registers are left with the rounds.

// Clippy takes safe functions with target features for unsafe ones; the compiler checks their
// callers.
#![allow(clippy::missing_safety_doc)]

use super::{
    Block,
    Engine,
    State,
    States,
    K, //
};
use core::arch::x86_64::*;

/// The engine for every CPU.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Engine<1> for Scalar {
    fn compress(self, states: &mut States<1>, data: &[&[Block]; 1]) {
        let mut state = states.map(|[word]| word);

        compress(&mut state, data[0]);
        *states = state.map(|word| [word]);
    }
}

/// Blocks that are scheduled at once.
const GROUP: usize = 4;

/// A message word of each block in a group.
type Words = [u32; GROUP];

/// Feeds blocks into a stream.
pub(super) fn compress(state: &mut State, data: &[Block]) {
    let mut w = [[0; GROUP]; 64];

    for group in data.chunks(GROUP) {
        // Where the last group is short, words of the one before stay behind. Nobody uses them.
        for (i, block) in group.iter().enumerate() {
            for (w, bytes) in w.iter_mut().zip(block.as_chunks().0) {
                w[i % GROUP] = u32::from_be_bytes(*bytes);
            }
        }

        // SAFETY: Every 64-bit CPU has SSE2. It is on for the whole crate, so that whoever runs
        // any function of it has made sure that the CPU is ready.
        unsafe { schedule(&mut w) };

        for i in 0..group.len() {
            rounds(state, &w, i);
        }
    }
}

/// Computes the message words of all rounds from the first 16, and adds the rounds' constants.
#[target_feature(enable = "sse2")]
fn schedule(w: &mut [Words; 64]) {
    let mut rest = &mut w[..];

    // A word depends on the last but one before it, so that two at a time do not wait for each
    // other.
    while let Some(window) = rest.first_chunk_mut() {
        schedule_word::<0>(window);
        schedule_word::<1>(window);
        rest = &mut rest[2..];
    }
    for (w, k) in w.iter_mut().zip(&K.0) {
        store(w, _mm_add_epi32(load(w), _mm_set1_epi32(k.cast_signed())));
    }
}

/// Computes message word `I + 16` (FIPS 180-4, section 6.2.2, step 1).
#[inline]
#[target_feature(enable = "sse2")]
fn schedule_word<const I: usize>(w: &mut [Words; 18]) {
    let sigma_0 = sigma::<7, 25, 18, 14, 3>(load(&w[I + 1]));
    let sigma_1 = sigma::<17, 15, 19, 13, 10>(load(&w[I + 14]));
    let sum = _mm_add_epi32(load(&w[I]), load(&w[I + 9]));

    store(
        &mut w[I + 16],
        _mm_add_epi32(_mm_add_epi32(sum, sigma_0), sigma_1),
    );
}

/// The exclusive or of two rotations and a shift to the right. To rotate by `RIGHT` is to do so to
/// the left by `LEFT`: there is no arithmetic on constants of generic functions.
#[inline]
#[target_feature(enable = "sse2")]
fn sigma<
    const RIGHT_0: i32,
    const LEFT_0: i32,
    const RIGHT_1: i32,
    const LEFT_1: i32,
    const SHIFT: i32,
>(
    x: __m128i,
) -> __m128i {
    const { assert!(RIGHT_0 + LEFT_0 == 32 && RIGHT_1 + LEFT_1 == 32) };

    let r0 = _mm_xor_si128(_mm_srli_epi32::<RIGHT_0>(x), _mm_slli_epi32::<LEFT_0>(x));
    let r1 = _mm_xor_si128(_mm_srli_epi32::<RIGHT_1>(x), _mm_slli_epi32::<LEFT_1>(x));

    _mm_xor_si128(_mm_xor_si128(r0, r1), _mm_srli_epi32::<SHIFT>(x))
}

#[inline]
#[target_feature(enable = "sse2")]
fn load(words: &Words) -> __m128i {
    // SAFETY: The instruction reads the 16 bytes that the reference covers, at any alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn store(words: &mut Words, vector: __m128i) {
    // SAFETY: The instruction writes the 16 bytes that the reference covers, at any alignment.
    unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), vector) }
}

/// All rounds, for block `i` of a group. Numbers of blocks wrap, so that none is out of bounds.
fn rounds(state: &mut State, w: &[Words; 64], i: usize) {
    let i = i % GROUP;
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    let mut bc = b ^ c;

    // The variables change their roles from round to round, so that nothing needs to be copied.
    // After eight rounds they are back in place.
    for w in w.as_chunks::<8>().0 {
        bc = round(a, b, bc, &mut d, e, f, g, &mut h, w[0][i]);
        bc = round(h, a, bc, &mut c, d, e, f, &mut g, w[1][i]);
        bc = round(g, h, bc, &mut b, c, d, e, &mut f, w[2][i]);
        bc = round(f, g, bc, &mut a, b, c, d, &mut e, w[3][i]);
        bc = round(e, f, bc, &mut h, a, b, c, &mut d, w[4][i]);
        bc = round(d, e, bc, &mut g, h, a, b, &mut c, w[5][i]);
        bc = round(c, d, bc, &mut f, g, h, a, &mut b, w[6][i]);
        bc = round(b, c, bc, &mut e, f, g, h, &mut a, w[7][i]);
    }
    for (word, sum) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(sum);
    }
}

/// One round (FIPS 180-4, section 6.2.2, step 3), where the constant is part of `w`. The new E is
/// left in `d`, the new A in `h`.
///
/// `bc` is `b ^ c`. The return value is that of the next round, which has `a` for `b` and `b` for
/// `c`.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // As many as the algorithm has variables.
fn round(a: u32, b: u32, bc: u32, d: &mut u32, e: u32, f: u32, g: u32, h: &mut u32, w: u32) -> u32 {
    let ab = a ^ b;
    let choice = g ^ (e & (f ^ g));
    let majority = b ^ (ab & bc);
    // To the right by 2, 13 and 22 bits, with fewer copies of `a` than one by one.
    let sigma_0 = (a ^ a.rotate_right(11) ^ a.rotate_right(20)).rotate_right(2);
    let sigma_1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
    let t1 = h.wrapping_add(w).wrapping_add(choice).wrapping_add(sigma_1);

    *d = d.wrapping_add(t1);
    *h = t1.wrapping_add(sigma_0).wrapping_add(majority);
    ab
}
