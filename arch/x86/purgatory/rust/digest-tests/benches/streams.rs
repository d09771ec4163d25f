// SPDX-License-Identifier: GPL-2.0-only

//! Throughput of SHA-NI with one to four streams at once, and of the engine `shani-x4`.
//!
//! Each number of streams has the same code: the states are in registers, the message words in
//! memory. The engine has the same instructions for a block, except that it keeps the constants of
//! four rounds in a register, moves message words between registers once in place of twice, and
//! loads the next block earlier. The runs are interleaved, and in each, every stream hashes 32 KiB.
//! The engine hashes as many bytes as four streams, as leaves of a region, and their digests. The
//! table gives the fastest run and the median, in cycles of the time stamp counter per byte, and
//! how many times as fast as one stream the fastest run is.
//!
//! Argument: the number of rounds.

use openssl::sha::sha256;
use purgatory_digest::{
    abi::LEAF_SIZE,
    engines::EngineKind, //
};
use purgatory_digest_tests::{
    digest as region_digest,
    noise, //
};
use std::{
    arch::{
        asm,
        x86_64::{
            __m128i,
            _mm_set_epi32,
            _rdtsc, //
        },
    },
    hint::black_box,
    mem::transmute, //
};

/// The bytes of a stream, without the block of padding that follows.
const LEN: usize = 32 << 10;

/// The most streams: four take fifteen of the sixteen registers.
const STREAMS_MAX: usize = 4;

/// The state that every stream starts from (FIPS 180-4, section 5.3.3).
const INIT: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The constants of the rounds (FIPS 180-4, section 4.2.2).
#[repr(align(16))]
struct Constants([u32; 64]);

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
fn constants() -> Constants {
    let is_prime = |n: &u64| (2..*n).all(|divisor| !n.is_multiple_of(divisor));
    let mut constants = (2..).filter(is_prime).map(|prime| {
        // The largest integer whose cube is not above the prime, in units of 2^-32.
        let wanted = u128::from(prime) << 96;
        let mut root = 0_u128;

        for bit in (0..36).rev() {
            let more = root | 1 << bit;

            if more * more * more <= wanted {
                root = more;
            }
        }
        root as u32
    });

    Constants([(); 64].map(|()| constants.next().expect("there are enough primes")))
}

/// Memory for the assembler code.
#[repr(C, align(16))]
struct Scratch {
    /// The message words of a block of each stream, four to an element; then the states before the
    /// block.
    words: [u128; STREAMS_MAX * 18],
    /// The mask with which `pshufb` reverses the bytes of each word.
    big_endian: u128,
}

/// A stream's state as `sha256rnds2` expects it, and its next block.
#[derive(Clone, Copy)]
struct Stream {
    abef: __m128i,
    cdgh: __m128i,
    block: *const u8,
}

/// Saves a stream's state and loads its next block.
#[rustfmt::skip] // An instruction a line.
macro_rules! load {
    ($stream:literal) => {
        concat!(
            "movdqa [{w} + 16*{stride} + 32*", $stream, "], {abef", $stream, "}\n",
            "movdqa [{w} + 16*{stride} + 32*", $stream, " + 16], {cdgh", $stream, "}\n",
            "movdqu {t}, [{block", $stream, "}]\n",
            "pshufb {t}, xmm0\n",
            "movdqa [{w} + 16*", $stream, "], {t}\n",
            "movdqu {t}, [{block", $stream, "} + 16]\n",
            "pshufb {t}, xmm0\n",
            "movdqa [{w} + {stride} + 16*", $stream, "], {t}\n",
            "movdqu {t}, [{block", $stream, "} + 32]\n",
            "pshufb {t}, xmm0\n",
            "movdqa [{w} + 2*{stride} + 16*", $stream, "], {t}\n",
            "movdqu {last", $stream, "}, [{block", $stream, "} + 48]\n",
            "pshufb {last", $stream, "}, xmm0\n",
            "movdqa [{w} + 3*{stride} + 16*", $stream, "], {last", $stream, "}\n",
            "add {block", $stream, "}, 64\n",
        )
    };
}

/// Four rounds.
#[rustfmt::skip] // An instruction a line.
macro_rules! rounds_4 {
    ($stream:literal) => {
        concat!(
            "movdqa xmm0, [{k}]\n",
            "paddd xmm0, [{w} + 16*", $stream, "]\n",
            "sha256rnds2 {cdgh", $stream, "}, {abef", $stream, "}, xmm0\n",
            "pshufd xmm0, xmm0, 0x0e\n",
            "sha256rnds2 {abef", $stream, "}, {cdgh", $stream, "}, xmm0\n",
        )
    };
}

/// Computes the message words of 16 rounds later.
#[rustfmt::skip] // An instruction a line.
macro_rules! schedule {
    ($stream:literal) => {
        concat!(
            "movdqa {t}, [{w} + 16*", $stream, "]\n",
            "movdqa {u}, {last", $stream, "}\n",
            "palignr {u}, [{w} + 2*{stride} + 16*", $stream, "], 4\n",
            "sha256msg1 {t}, [{w} + {stride} + 16*", $stream, "]\n",
            "paddd {t}, {u}\n",
            "sha256msg2 {t}, {last", $stream, "}\n",
            "movdqa {last", $stream, "}, {t}\n",
            "movdqa [{w} + 4*{stride} + 16*", $stream, "], {t}\n",
        )
    };
}

/// Adds the state before the block.
#[rustfmt::skip] // An instruction a line.
macro_rules! add {
    ($stream:literal) => {
        concat!(
            "paddd {abef", $stream, "}, [{w} + 16*{stride} + 32*", $stream, "]\n",
            "paddd {cdgh", $stream, "}, [{w} + 16*{stride} + 32*", $stream, " + 16]\n",
        )
    };
}

/// Defines a function that hashes blocks of some streams at once.
macro_rules! streams {
    ($name:ident, $count:literal,
     $($stream:literal: $abef:ident, $cdgh:ident, $last:ident, $block:ident;)*) => {
        /// # Safety
        ///
        /// The CPU has SHA-NI and SSSE3. `blocks` is not 0, and each stream has that many blocks.
        unsafe fn $name(
            streams: &mut [Stream; STREAMS_MAX],
            blocks: usize,
            k: &Constants,
            scratch: &mut Scratch,
        ) {
            // SAFETY: By the safety requirements. Only memory of the arguments is accessed, and
            // what must be aligned is, because `Constants` and `Scratch` are.
            unsafe {
                asm!(
                    "2:",
                    "movdqa xmm0, [{w} + 1152]",
                    $(load!($stream),)*
                    "mov {i:e}, 12",
                    "3:",
                    $(rounds_4!($stream), schedule!($stream),)*
                    "add {w}, {stride}",
                    "add {k}, 16",
                    "dec {i:e}",
                    "jnz 3b",
                    "mov {i:e}, 4",
                    "4:",
                    $(rounds_4!($stream),)*
                    "add {w}, {stride}",
                    "add {k}, 16",
                    "dec {i:e}",
                    "jnz 4b",
                    "sub {w}, 16*{stride}",
                    "sub {k}, 256",
                    $(add!($stream),)*
                    "dec {blocks}",
                    "jnz 2b",
                    $($abef = inout(xmm_reg) streams[$stream].abef,
                      $cdgh = inout(xmm_reg) streams[$stream].cdgh,
                      $block = inout(reg) streams[$stream].block,
                      $last = out(xmm_reg) _,)*
                    t = out(xmm_reg) _,
                    u = out(xmm_reg) _,
                    out("xmm0") _,
                    blocks = inout(reg) blocks => _,
                    i = out(reg) _,
                    k = inout(reg) k.0.as_ptr() => _,
                    w = inout(reg) scratch => _,
                    stride = const 16 * $count,
                    options(nostack),
                );
            }
        }
    };
}

streams!(one, 1, 0: abef0, cdgh0, last0, block0;);
streams!(two, 2,
         0: abef0, cdgh0, last0, block0;
         1: abef1, cdgh1, last1, block1;);
streams!(three, 3,
         0: abef0, cdgh0, last0, block0;
         1: abef1, cdgh1, last1, block1;
         2: abef2, cdgh2, last2, block2;);
streams!(four, 4,
         0: abef0, cdgh0, last0, block0;
         1: abef1, cdgh1, last1, block1;
         2: abef2, cdgh2, last2, block2;
         3: abef3, cdgh3, last3, block3;);

type Compress = unsafe fn(&mut [Stream; STREAMS_MAX], usize, &Constants, &mut Scratch);

const ALL: [Compress; STREAMS_MAX] = [one, two, three, four];

/// The messages of all streams, each with its block of padding.
fn messages() -> Vec<Vec<u8>> {
    (0..STREAMS_MAX)
        .map(|seed| {
            let mut message = noise(seed as u64, LEN);

            message.push(0x80);
            message.resize(LEN + 56, 0);
            message.extend((LEN as u64 * 8).to_be_bytes());
            message
        })
        .collect()
}

/// The streams before their first block.
fn start(messages: &[Vec<u8>]) -> [Stream; STREAMS_MAX] {
    let [a, b, c, d, e, f, g, h] = INIT.map(u32::cast_signed);

    // SAFETY: Every x86-64 CPU has SSE2.
    let (abef, cdgh) = unsafe { (_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h)) };

    [0, 1, 2, 3].map(|stream| Stream {
        abef,
        cdgh,
        block: messages[stream].as_ptr(),
    })
}

/// The digest of a stream after its last block.
fn digest(stream: &Stream) -> Vec<u8> {
    // SAFETY: Every bit pattern is valid for both types.
    let [f, e, b, a]: [u32; 4] = unsafe { transmute(stream.abef) };
    // SAFETY: Every bit pattern is valid for both types.
    let [h, g, d, c]: [u32; 4] = unsafe { transmute(stream.cdgh) };

    [a, b, c, d, e, f, g, h]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect()
}

fn main() {
    if !is_x86_feature_detected!("sha") || !is_x86_feature_detected!("ssse3") {
        println!("this CPU does not have SHA-NI");
        return;
    }

    // Cargo passes `--bench` to every benchmark.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let rounds: usize = args
        .next()
        .map_or(1000, |arg| arg.parse().expect("a number"));
    let messages = messages();
    let k = constants();
    let mut scratch = Scratch {
        words: [0; STREAMS_MAX * 18],
        big_endian: 0x0c0d_0e0f_0809_0a0b_0405_0607_0001_0203,
    };
    let mut cycles: [Vec<f64>; STREAMS_MAX] = Default::default();
    let region = noise(0, STREAMS_MAX * LEN);
    let mut of_engine = Vec::new();

    for _ in 0..rounds {
        for (index, compress) in ALL.iter().enumerate() {
            let mut streams = start(&messages);
            // SAFETY: Every x86-64 CPU has this instruction, and the system permits it.
            let started = unsafe { _rdtsc() };

            // SAFETY: The CPU has the features. Each message has a block for each 64 bytes.
            unsafe { compress(&mut streams, LEN / 64 + 1, &k, &mut scratch) };
            // SAFETY: As above.
            let ended = unsafe { _rdtsc() };

            cycles[index].push((ended - started) as f64 / ((LEN + 64) * (index + 1)) as f64);
            for (stream, message) in black_box(streams).iter().zip(&messages).take(index + 1) {
                assert_eq!(digest(stream), sha256(&message[..LEN]), "a wrong digest");
            }
        }

        // SAFETY: Every x86-64 CPU has this instruction, and the system permits it.
        let started = unsafe { _rdtsc() };

        black_box(region_digest::<LEAF_SIZE>(EngineKind::ShaNiX4, &region));
        // SAFETY: As above.
        let ended = unsafe { _rdtsc() };

        of_engine.push((ended - started) as f64 / region.len() as f64);
    }

    println!("{rounds} rounds, cycles of the time stamp counter per byte");
    println!(
        "{:>8}{:>9}{:>9}{:>8}",
        "streams", "fastest", "median", "ratio"
    );

    let numbers = ["1", "2", "3", "4"].into_iter().zip(cycles);
    let mut of_one = None;

    for (name, mut cycles) in numbers.chain([("shani-x4", of_engine)]) {
        cycles.sort_by(f64::total_cmp);

        let fastest = cycles[0];
        let median = cycles[cycles.len() / 2];
        let ratio = *of_one.get_or_insert(fastest) / fastest;

        println!("{name:>8}{fastest:9.3}{median:9.3}{ratio:8.2}");
    }
}
