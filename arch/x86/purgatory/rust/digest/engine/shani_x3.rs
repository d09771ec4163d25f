// SPDX-License-Identifier: GPL-2.0-only

//! SHA-NI, three streams.
//!
//! Each `sha256rnds2` of a stream needs the result of the previous one, which takes several cycles.
//! Meanwhile, those of the other streams run. There are too few registers for the message words of
//! three streams, so these are in memory. The code is in assembler because compilers keep the
//! states in memory as well, which takes up to 2.6 times as long.

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
    w: [[u128; 3]; 16],
    /// The states before the block, as in [`Packed`].
    states: [[u128; 2]; 3],
}

/// Saves a stream's state and loads its next block. `xmm0` must be [`BIG_ENDIAN`]. `at` is the
/// offset of the stream's message words in an element of `w`.
#[rustfmt::skip] // An instruction a line.
macro_rules! load {
    ($stream:literal, $at:literal) => {
        concat!(
            "movdqa [{w} + 768 + 2*", $at, "], {abef", $stream, "}\n",
            "movdqa [{w} + 784 + 2*", $at, "], {cdgh", $stream, "}\n",
            "movdqu {t}, [{block", $stream, "}]\n",
            "pshufb {t}, xmm0\n",
            "movdqa [{w} + ", $at, "], {t}\n",
            "movdqu {t}, [{block", $stream, "} + 16]\n",
            "pshufb {t}, xmm0\n",
            "movdqa [{w} + 48 + ", $at, "], {t}\n",
            "movdqu {t}, [{block", $stream, "} + 32]\n",
            "pshufb {t}, xmm0\n",
            "movdqa [{w} + 96 + ", $at, "], {t}\n",
            "movdqu {last", $stream, "}, [{block", $stream, "} + 48]\n",
            "pshufb {last", $stream, "}, xmm0\n",
            "movdqa [{w} + 144 + ", $at, "], {last", $stream, "}\n",
            "add {block", $stream, "}, 64\n",
        )
    };
}

/// Four rounds. `sha256rnds2` takes two words, those in the lower half of `xmm0`.
#[rustfmt::skip] // An instruction a line.
macro_rules! rounds_4 {
    ($stream:literal, $at:literal) => {
        concat!(
            "movdqa xmm0, [{k}]\n",
            "paddd xmm0, [{w} + ", $at, "]\n",
            "sha256rnds2 {cdgh", $stream, "}, {abef", $stream, "}, xmm0\n",
            "pshufd xmm0, xmm0, 0x0e\n",
            "sha256rnds2 {abef", $stream, "}, {cdgh", $stream, "}, xmm0\n",
        )
    };
}

/// Computes the message words of 16 rounds later. The last ones also stay in a register, since the
/// next call needs them.
#[rustfmt::skip] // An instruction a line.
macro_rules! schedule {
    ($stream:literal, $at:literal) => {
        concat!(
            "movdqa {t}, [{w} + ", $at, "]\n",
            "movdqa {u}, {last", $stream, "}\n",
            "palignr {u}, [{w} + 96 + ", $at, "], 4\n",
            "sha256msg1 {t}, [{w} + 48 + ", $at, "]\n",
            "paddd {t}, {u}\n",
            "sha256msg2 {t}, {last", $stream, "}\n",
            "movdqa {last", $stream, "}, {t}\n",
            "movdqa [{w} + 192 + ", $at, "], {t}\n",
        )
    };
}

#[target_feature(enable = "ssse3,sse4.1,sha")]
pub(super) fn compress(states: &mut States, streams: &Streams<'_>) {
    let [stream_0, stream_1, stream_2, ..] = *streams;
    let blocks = stream_0.len().min(stream_1.len()).min(stream_2.len());

    if blocks == 0 {
        return;
    }

    let mut s0 = pack(&states[0]);
    let mut s1 = pack(&states[1]);
    let mut s2 = pack(&states[2]);
    let mut scratch = MaybeUninit::<Scratch>::uninit();

    // The assembler code uses these offsets.
    const { assert!(offset_of!(Scratch, w) == 0 && offset_of!(Scratch, states) == 768) };

    // SAFETY: The CPU has the instructions, as this function enables them. The loop runs at least
    // once. It reads `blocks` blocks of each stream, which has at least that many, at any
    // alignment, and for each block the 64 words of `K` and `BIG_ENDIAN`. It writes only to
    // `scratch`, and reads nothing there that it did not write. `scratch`, `K` and `BIG_ENDIAN` are
    // aligned to 16 bytes, and so are its accesses to them.
    unsafe {
        asm!(
            "2:",
            "movdqa xmm0, [{big_endian}]",
            load!("0", "0"),
            load!("1", "16"),
            load!("2", "32"),
            // 48 rounds that compute the message words of 16 rounds later.
            "mov {i:e}, 12",
            "3:",
            rounds_4!("0", "0"),
            schedule!("0", "0"),
            rounds_4!("1", "16"),
            schedule!("1", "16"),
            rounds_4!("2", "32"),
            schedule!("2", "32"),
            "add {w}, 48",
            "add {k}, 16",
            "dec {i:e}",
            "jnz 3b",
            // 16 rounds that do not.
            "mov {i:e}, 4",
            "4:",
            rounds_4!("0", "0"),
            rounds_4!("1", "16"),
            rounds_4!("2", "32"),
            "add {w}, 48",
            "add {k}, 16",
            "dec {i:e}",
            "jnz 4b",
            "sub {w}, 768",
            "sub {k}, 256",
            "paddd {abef0}, [{w} + 768]",
            "paddd {cdgh0}, [{w} + 784]",
            "paddd {abef1}, [{w} + 800]",
            "paddd {cdgh1}, [{w} + 816]",
            "paddd {abef2}, [{w} + 832]",
            "paddd {cdgh2}, [{w} + 848]",
            "dec {blocks}",
            "jnz 2b",
            abef0 = inout(xmm_reg) s0.abef,
            cdgh0 = inout(xmm_reg) s0.cdgh,
            abef1 = inout(xmm_reg) s1.abef,
            cdgh1 = inout(xmm_reg) s1.cdgh,
            abef2 = inout(xmm_reg) s2.abef,
            cdgh2 = inout(xmm_reg) s2.cdgh,
            last0 = out(xmm_reg) _,
            last1 = out(xmm_reg) _,
            last2 = out(xmm_reg) _,
            t = out(xmm_reg) _,
            u = out(xmm_reg) _,
            out("xmm0") _,
            block0 = inout(reg) stream_0.as_ptr() => _,
            block1 = inout(reg) stream_1.as_ptr() => _,
            block2 = inout(reg) stream_2.as_ptr() => _,
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
