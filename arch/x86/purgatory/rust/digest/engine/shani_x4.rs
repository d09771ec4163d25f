// SPDX-License-Identifier: GPL-2.0-only

//! SHA-NI, four streams.
//!
//! Each `sha256rnds2` of a stream needs the result of the previous one, which takes several cycles.
//! Meanwhile, those of the other streams run. There are too few registers for the message words of
//! four streams, so these are in memory. All 16 vector registers are in use. The code is in
//! assembler because compilers keep the states in memory as well. With three streams, their code
//! took up to 2.6 times as long.
//!
//! The last 16 rounds of a block compute no message words. The next block is loaded meanwhile.

// Clippy mistakes safe functions with target features for unsafe ones. The compiler checks their
// callers.
#![allow(clippy::missing_safety_doc)]

use super::{
    constants::{
        Aligned,
        K, //
    },
    intrinsics::*,
    State,
    States,
    Streams, //
};
use core::{
    arch::{
        asm,
        x86_64::__m128i, //
    },
    mem::{
        offset_of,
        MaybeUninit, //
    },
};

/// A stream's state as `sha256rnds2` expects it. The first word named is in the highest element.
#[derive(Clone, Copy)]
struct Packed {
    abef: __m128i,
    cdgh: __m128i,
}

/// The mask with which `pshufb` reverses the bytes of each word.
static BIG_ENDIAN: Aligned<u128> = Aligned(0x0c0d_0e0f_0809_0a0b_0405_0607_0001_0203);

/// Memory for the assembler code.
#[repr(C, align(16))]
struct Scratch {
    /// The message words of a block of each stream, four to an element.
    w: [[u128; 4]; 16],
    /// The states before the block, as in [`Packed`].
    states: [[u128; 2]; 4],
}

/// Stores a stream's state in `Scratch::states`. `w` points to the start of the scratch memory.
#[rustfmt::skip] // An instruction a line.
macro_rules! save {
    ($stream:literal) => {
        concat!(
            "movdqa [{w} + 1024 + 32*", $stream, "], {abef", $stream, "}\n",
            "movdqa [{w} + 1040 + 32*", $stream, "], {cdgh", $stream, "}\n",
        )
    };
}

/// Adds to a stream's state what [`save`] stored.
#[rustfmt::skip] // An instruction a line.
macro_rules! add {
    ($stream:literal) => {
        concat!(
            "paddd {abef", $stream, "}, [{w} + 1024 + 32*", $stream, "]\n",
            "paddd {cdgh", $stream, "}, [{w} + 1040 + 32*", $stream, "]\n",
        )
    };
}

/// Loads element `$element` of a stream's block to register `r$r`, reverses the bytes of each word,
/// and stores it. Element 0 of the block is at `w + $first`.
#[rustfmt::skip] // An instruction a line.
macro_rules! load_4 {
    ($stream:literal, $element:literal, $r:literal, $first:literal) => {
        concat!(
            "movdqu {r", $r, "}, [{block", $stream, "} + 16*", $element, "]\n",
            "pshufb {r", $r, "}, [{big_endian}]\n",
            "movdqa [{w} + ", $first, " + 64*", $element, " + 16*", $stream, "], {r", $r, "}\n",
        )
    };
}

/// Four rounds of a stream, with element `$element` after `w`. `k4` must have their constants.
/// `sha256rnds2` takes two words, those in the lower half of `xmm0`. Also loads element `$element`
/// of the next block, see [`load_4`]. `w` points to element 12, so that the next block begins 768
/// bytes before it.
#[rustfmt::skip] // An instruction a line.
macro_rules! rounds_and_load_4 {
    ($stream:literal, $element:literal, $r:literal) => {
        concat!(
            "movdqa xmm0, {k4}\n",
            "paddd xmm0, [{w} + 64*", $element, " + 16*", $stream, "]\n",
            "sha256rnds2 {cdgh", $stream, "}, {abef", $stream, "}, xmm0\n",
            "pshufd xmm0, xmm0, 0x0e\n",
            "sha256rnds2 {abef", $stream, "}, {cdgh", $stream, "}, xmm0\n",
            load_4!($stream, $element, $r, "-768"),
        )
    };
}

/// Four rounds of a stream, as in [`rounds_and_load_4`], and its message words of 16 rounds later.
/// Register `r$last` has the message words computed last. Register `r$next` gets the new ones.
/// `r$t` is overwritten.
#[rustfmt::skip] // An instruction a line.
macro_rules! rounds_and_schedule_4 {
    ($stream:literal, $element:literal, $last:literal, $next:literal, $t:literal) => {
        concat!(
            "movdqa {r", $next, "}, [{w} + 64*", $element, " + 16*", $stream, "]\n",
            "movdqa {r", $t, "}, {r", $last, "}\n",
            "movdqa xmm0, {k4}\n",
            "paddd xmm0, [{w} + 64*", $element, " + 16*", $stream, "]\n",
            "sha256rnds2 {cdgh", $stream, "}, {abef", $stream, "}, xmm0\n",
            "palignr {r", $t, "}, [{w} + 128 + 64*", $element, " + 16*", $stream, "], 4\n",
            "sha256msg1 {r", $next, "}, [{w} + 64 + 64*", $element, " + 16*", $stream, "]\n",
            "paddd {r", $next, "}, {r", $t, "}\n",
            "sha256msg2 {r", $next, "}, {r", $last, "}\n",
            "pshufd xmm0, xmm0, 0x0e\n",
            "movdqa [{w} + 256 + 64*", $element, " + 16*", $stream, "], {r", $next, "}\n",
            "sha256rnds2 {abef", $stream, "}, {cdgh", $stream, "}, xmm0\n",
        )
    };
}

#[target_feature(enable = "ssse3,sse4.1,sha")]
pub(super) fn compress(states: &mut States, streams: &Streams<'_>) {
    let [stream_0, stream_1, stream_2, stream_3, ..] = *streams;
    let blocks = stream_0
        .len()
        .min(stream_1.len())
        .min(stream_2.len())
        .min(stream_3.len());

    if blocks == 0 {
        return;
    }

    let mut s0 = pack(&states[0]);
    let mut s1 = pack(&states[1]);
    let mut s2 = pack(&states[2]);
    let mut s3 = pack(&states[3]);
    let mut scratch = MaybeUninit::<Scratch>::uninit();

    // The assembler code uses these offsets.
    const { assert!(offset_of!(Scratch, w) == 0 && offset_of!(Scratch, states) == 1024) };

    // SAFETY: The CPU has the instructions, as this function enables them. The outer loop runs
    // `blocks` times, at least once. It reads the first `blocks` blocks of each stream, which has
    // at least that many, at any alignment; where it would load the block after these, it loads the
    // last of them once more. For each block, it reads the 64 words of `K`, and `BIG_ENDIAN`. It
    // writes only to `scratch`, and reads nothing there that it did not write. `scratch`, `K` and
    // `BIG_ENDIAN` are aligned to 16 bytes, and so are its accesses to them.
    unsafe {
        asm!(
            // The first block. Its last words stay in r0 to r3.
            load_4!("0", "0", "4", "0"),
            load_4!("1", "0", "5", "0"),
            load_4!("2", "0", "4", "0"),
            load_4!("3", "0", "5", "0"),
            load_4!("0", "1", "4", "0"),
            load_4!("1", "1", "5", "0"),
            load_4!("2", "1", "4", "0"),
            load_4!("3", "1", "5", "0"),
            load_4!("0", "2", "4", "0"),
            load_4!("1", "2", "5", "0"),
            load_4!("2", "2", "4", "0"),
            load_4!("3", "2", "5", "0"),
            load_4!("0", "3", "0", "0"),
            load_4!("1", "3", "1", "0"),
            load_4!("2", "3", "2", "0"),
            load_4!("3", "3", "3", "0"),
            "2:",
            save!("0"),
            save!("1"),
            save!("2"),
            save!("3"),
            // 48 rounds that compute message words, 12 in each pass. The last words of the streams
            // are in r0 to r3 before and after a pass; in between, all six registers take turns.
            "mov {i:e}, 4",
            "3:",
            "movdqa {k4}, [{k}]",
            rounds_and_schedule_4!("0", "0", "0", "4", "5"),
            rounds_and_schedule_4!("1", "0", "1", "5", "0"),
            rounds_and_schedule_4!("2", "0", "2", "0", "1"),
            rounds_and_schedule_4!("3", "0", "3", "1", "2"),
            "movdqa {k4}, [{k} + 16]",
            rounds_and_schedule_4!("0", "1", "4", "2", "3"),
            rounds_and_schedule_4!("1", "1", "5", "3", "4"),
            rounds_and_schedule_4!("2", "1", "0", "4", "5"),
            rounds_and_schedule_4!("3", "1", "1", "5", "0"),
            "movdqa {k4}, [{k} + 32]",
            rounds_and_schedule_4!("0", "2", "2", "0", "1"),
            rounds_and_schedule_4!("1", "2", "3", "1", "2"),
            rounds_and_schedule_4!("2", "2", "4", "2", "3"),
            rounds_and_schedule_4!("3", "2", "5", "3", "4"),
            "add {w}, 192",
            "add {k}, 48",
            "dec {i:e}",
            "jnz 3b",
            // To the next block, unless this is the last one. `i` is 0.
            "cmp {blocks}, 1",
            "setne {i:l}",
            "shl {i:e}, 6",
            "add {block0}, {i:r}",
            "add {block1}, {i:r}",
            "add {block2}, {i:r}",
            "add {block3}, {i:r}",
            // 16 rounds that compute none. The last words of the next block stay in r0 to r3.
            "movdqa {k4}, [{k}]",
            rounds_and_load_4!("0", "0", "4"),
            rounds_and_load_4!("1", "0", "5"),
            rounds_and_load_4!("2", "0", "4"),
            rounds_and_load_4!("3", "0", "5"),
            "movdqa {k4}, [{k} + 16]",
            rounds_and_load_4!("0", "1", "4"),
            rounds_and_load_4!("1", "1", "5"),
            rounds_and_load_4!("2", "1", "4"),
            rounds_and_load_4!("3", "1", "5"),
            "movdqa {k4}, [{k} + 32]",
            rounds_and_load_4!("0", "2", "4"),
            rounds_and_load_4!("1", "2", "5"),
            rounds_and_load_4!("2", "2", "4"),
            rounds_and_load_4!("3", "2", "5"),
            "movdqa {k4}, [{k} + 48]",
            rounds_and_load_4!("0", "3", "0"),
            rounds_and_load_4!("1", "3", "1"),
            rounds_and_load_4!("2", "3", "2"),
            rounds_and_load_4!("3", "3", "3"),
            "sub {w}, 768",
            "sub {k}, 192",
            add!("0"),
            add!("1"),
            add!("2"),
            add!("3"),
            "dec {blocks}",
            "jnz 2b",
            abef0 = inout(xmm_reg) s0.abef,
            cdgh0 = inout(xmm_reg) s0.cdgh,
            abef1 = inout(xmm_reg) s1.abef,
            cdgh1 = inout(xmm_reg) s1.cdgh,
            abef2 = inout(xmm_reg) s2.abef,
            cdgh2 = inout(xmm_reg) s2.cdgh,
            abef3 = inout(xmm_reg) s3.abef,
            cdgh3 = inout(xmm_reg) s3.cdgh,
            r0 = out(xmm_reg) _,
            r1 = out(xmm_reg) _,
            r2 = out(xmm_reg) _,
            r3 = out(xmm_reg) _,
            r4 = out(xmm_reg) _,
            r5 = out(xmm_reg) _,
            k4 = out(xmm_reg) _,
            out("xmm0") _,
            block0 = inout(reg) stream_0.as_ptr() => _,
            block1 = inout(reg) stream_1.as_ptr() => _,
            block2 = inout(reg) stream_2.as_ptr() => _,
            block3 = inout(reg) stream_3.as_ptr() => _,
            blocks = inout(reg) blocks => _,
            i = out(reg) _,
            k = inout(reg) K.0.as_ptr() => _,
            w = inout(reg) scratch.as_mut_ptr() => _,
            big_endian = in(reg) &raw const BIG_ENDIAN,
            options(nostack),
        );
    }

    states[0] = unpack(s0);
    states[1] = unpack(s1);
    states[2] = unpack(s2);
    states[3] = unpack(s3);
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
