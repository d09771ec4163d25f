// SPDX-License-Identifier: GPL-2.0-only

//! SHA-NI, two streams.
//!
//! `sha256rnds2` takes several cycles until its result is there, and each one needs that of the
//! one before. The instructions of two streams alternate here, so that one stream's run while the
//! other's wait.

// Clippy takes safe functions with target features for unsafe ones; the compiler checks their
// callers.
#![allow(clippy::missing_safety_doc)]

use super::{
    intrinsics::*,
    Block,
    State,
    States,
    Streams,
    K, //
};
use core::arch::x86_64::{
    __m128i,
    _mm_loadu_si128, //
};

/// A stream's state as `sha256rnds2` wants it. The first word named is in the highest element.
#[derive(Clone, Copy)]
struct Packed {
    abef: __m128i,
    cdgh: __m128i,
}

/// The message words of the next 16 rounds, four to a register.
type Message = [__m128i; 4];

#[target_feature(enable = "ssse3,sse4.1,sha")]
pub(super) fn compress(states: &mut States, streams: &Streams<'_>) {
    let mut s0 = pack(&states[0]);
    let mut s1 = pack(&states[1]);

    for (block_0, block_1) in streams[0].iter().zip(streams[1]) {
        let before_0 = s0;
        let before_1 = s1;
        let mut w0 = load_block(block_0);
        let mut w1 = load_block(block_1);

        // 48 rounds that make room for the message words of 16 rounds later, and 16 rounds that do
        // not. What is written out here has to be, so that everything stays in registers.
        let (k, last_k) = K.0.split_at(48);

        for k in k.as_chunks().0 {
            rounds_4::<0>(&mut s0, &mut s1, &w0, &w1, k);
            w0[0] = schedule::<0>(&w0);
            w1[0] = schedule::<0>(&w1);
            rounds_4::<1>(&mut s0, &mut s1, &w0, &w1, k);
            w0[1] = schedule::<1>(&w0);
            w1[1] = schedule::<1>(&w1);
            rounds_4::<2>(&mut s0, &mut s1, &w0, &w1, k);
            w0[2] = schedule::<2>(&w0);
            w1[2] = schedule::<2>(&w1);
            rounds_4::<3>(&mut s0, &mut s1, &w0, &w1, k);
            w0[3] = schedule::<3>(&w0);
            w1[3] = schedule::<3>(&w1);
        }
        for k in last_k.as_chunks().0 {
            rounds_4::<0>(&mut s0, &mut s1, &w0, &w1, k);
            rounds_4::<1>(&mut s0, &mut s1, &w0, &w1, k);
            rounds_4::<2>(&mut s0, &mut s1, &w0, &w1, k);
            rounds_4::<3>(&mut s0, &mut s1, &w0, &w1, k);
        }

        s0 = add(s0, before_0);
        s1 = add(s1, before_1);
    }

    states[0] = unpack(s0);
    states[1] = unpack(s1);
}

/// Rounds `4 * I` to `4 * I + 3` of the 16 that the message words and `k` are for, of both streams.
#[inline]
#[target_feature(enable = "sse2,sha")]
fn rounds_4<const I: usize>(
    s0: &mut Packed,
    s1: &mut Packed,
    w0: &Message,
    w1: &Message,
    k: &[u32; 16],
) {
    let k = load_words(&k.as_chunks().0[I]);
    let wk0 = _mm_add_epi32(w0[I], k);
    let wk1 = _mm_add_epi32(w1[I], k);

    s0.cdgh = _mm_sha256rnds2_epu32(s0.cdgh, s0.abef, wk0);
    s1.cdgh = _mm_sha256rnds2_epu32(s1.cdgh, s1.abef, wk1);

    // The instruction takes two words, those in the lower half.
    let wk0 = _mm_unpackhi_epi64(wk0, wk0);
    let wk1 = _mm_unpackhi_epi64(wk1, wk1);

    s0.abef = _mm_sha256rnds2_epu32(s0.abef, s0.cdgh, wk0);
    s1.abef = _mm_sha256rnds2_epu32(s1.abef, s1.cdgh, wk1);
}

/// The message words that come 16 rounds after element `I` of `w`.
#[inline]
#[target_feature(enable = "ssse3,sha")]
fn schedule<const I: usize>(w: &Message) -> __m128i {
    let w_4 = w[(I + 3) % 4];
    let w_7 = _mm_alignr_epi8::<4>(w_4, w[(I + 2) % 4]);
    let w_16 = _mm_sha256msg1_epu32(w[I], w[(I + 1) % 4]);

    _mm_sha256msg2_epu32(_mm_add_epi32(w_16, w_7), w_4)
}

/// Adds up two states word by word.
#[inline]
#[target_feature(enable = "sse2")]
fn add(a: Packed, b: Packed) -> Packed {
    Packed {
        abef: _mm_add_epi32(a.abef, b.abef),
        cdgh: _mm_add_epi32(a.cdgh, b.cdgh),
    }
}

/// Loads a block of big-endian words.
#[inline]
#[target_feature(enable = "ssse3")]
fn load_block(block: &Block) -> Message {
    let (quarters, _) = block.as_chunks();

    [
        load_quarter(&quarters[0]),
        load_quarter(&quarters[1]),
        load_quarter(&quarters[2]),
        load_quarter(&quarters[3]),
    ]
}

/// Loads four big-endian words.
#[inline]
#[target_feature(enable = "ssse3")]
fn load_quarter(bytes: &[u8; 16]) -> __m128i {
    let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    // SAFETY: The instruction reads the 16 bytes that the reference covers, at any alignment.
    let words = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };

    _mm_shuffle_epi8(words, order)
}

/// Loads four words.
#[inline]
#[target_feature(enable = "sse2")]
fn load_words(words: &[u32; 4]) -> __m128i {
    // SAFETY: The instruction reads the 16 bytes that the reference covers, at any alignment.
    unsafe { _mm_loadu_si128(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "sse2")]
fn pack(state: &State) -> Packed {
    let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);

    Packed {
        abef: _mm_set_epi32(a, b, e, f),
        cdgh: _mm_set_epi32(c, d, g, h),
    }
}

#[inline]
#[target_feature(enable = "sse4.1")]
fn unpack(Packed { abef, cdgh }: Packed) -> State {
    [
        _mm_extract_epi32::<3>(abef),
        _mm_extract_epi32::<2>(abef),
        _mm_extract_epi32::<3>(cdgh),
        _mm_extract_epi32::<2>(cdgh),
        _mm_extract_epi32::<1>(abef),
        _mm_extract_epi32::<0>(abef),
        _mm_extract_epi32::<1>(cdgh),
        _mm_extract_epi32::<0>(cdgh),
    ]
    .map(i32::cast_unsigned)
}
