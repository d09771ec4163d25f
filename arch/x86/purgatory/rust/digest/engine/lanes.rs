// SPDX-License-Identifier: GPL-2.0-only

//! SHA-256 of as many streams as a vector has elements, word by word as in FIPS 180-4.
//!
//! Everything that handles vectors is inlined into functions that enable the instruction set. No
//! closure and no iterator handles vectors: it would be a separate function, which does not enable
//! it.

use super::{
    constants::K,
    Block,
    States,
    Streams,
    BLOCK_SIZE, //
};
use crate::engines::LANES_MAX;

/// One block of each stream.
///
/// # Invariants
///
/// `number` is less than the number of blocks in each stream.
pub(super) struct Blocks<'a, const LANES: usize> {
    streams: &'a [&'a [Block]; LANES],
    number: usize,
}

impl<const LANES: usize> Blocks<'_, LANES> {
    /// The address of the words `4 * QUARTER` to `4 * QUARTER + 3` of the block of a stream: 16
    /// bytes that are part of the block, at any alignment. `lane` must be less than `LANES`.
    #[inline(always)]
    pub(super) fn quarter<const QUARTER: usize>(&self, lane: usize) -> *const [u8; 16] {
        const { assert!(QUARTER < BLOCK_SIZE / 16) };

        // By the type invariants, nothing wraps, and the address is in the block.
        let block = self.streams[lane].as_ptr().wrapping_add(self.number);

        block.cast::<[u8; 16]>().wrapping_add(QUARTER)
    }
}

/// A vector of one word for each of `LANES` streams.
///
/// # Invariants
///
/// While a value of an implementing type exists, the CPU is ready for the instructions of its
/// methods. Therefore the methods are safe.
pub(super) trait Words<const LANES: usize>: Copy {
    /// Loads a word for each stream. The value of `self` is ignored.
    fn load(self, words: &[u32; LANES]) -> Self;

    /// Loads the words `4 * QUARTER` to `4 * QUARTER + 3` of `LANES / 4` blocks: `FIRST`,
    /// `FIRST + 4` and so on, one block after the other. `FIRST` must be less than 4. Keeps the
    /// order of the bytes. The value of `self` is ignored.
    fn load_quarter<const QUARTER: usize, const FIRST: usize>(
        self,
        blocks: &Blocks<'_, LANES>,
    ) -> Self;

    fn store(self, words: &mut [u32; LANES]);

    /// Reverses the order of the bytes in each word.
    fn swap_bytes(self) -> Self;

    /// For each group of four words in `self` and `other`: `a0 b0 a1 b1`.
    fn interleave_low_words(self, other: Self) -> Self;

    /// For each group of four words in `self` and `other`: `a2 b2 a3 b3`.
    fn interleave_high_words(self, other: Self) -> Self;

    /// For each group of four words in `self` and `other`: `a0 a1 b0 b1`.
    fn interleave_low_pairs(self, other: Self) -> Self;

    /// For each group of four words in `self` and `other`: `a2 a3 b2 b3`.
    fn interleave_high_pairs(self, other: Self) -> Self;

    fn add(self, other: Self) -> Self;

    /// Returns `self`. The compiler does not know that, and therefore adds nothing to it before it
    /// has added what `self` is the sum of.
    fn opaque(self) -> Self;

    /// Adds the same word to the word of every stream.
    fn add_constant(self, word: u32) -> Self;

    fn xor3(self, b: Self, c: Self) -> Self;

    /// Bits of `b` where `self` has ones, and of `c` where it has zeros.
    fn choose(self, b: Self, c: Self) -> Self;

    /// Bits that at least two of the three have.
    fn majority(self, b: Self, c: Self) -> Self;

    /// Rotates to the right by `RIGHT` bits. `LEFT` must be `32 - RIGHT`: a generic function cannot
    /// compute it from a constant parameter.
    fn rotate<const RIGHT: i32, const LEFT: i32>(self) -> Self;

    fn shift_right<const BITS: u32>(self) -> Self;
}

/// [`Engine::compress`](super::Engine::compress) for vectors of type `W`. `any` is any vector.
#[inline(always)]
pub(super) fn compress<W: Words<LANES>, const LANES: usize>(
    any: W,
    states: &mut States,
    streams: &Streams<'_>,
) {
    const { assert!(LANES <= LANES_MAX) };

    let (Some(used), Some((last, others))) =
        (streams.first_chunk(), K.0.as_chunks().0.split_last())
    else {
        return;
    };

    // Word by word, so that one vector holds a word of each stream.
    let mut words = [[0; LANES]; 8];

    for (lane, state) in states.iter().take(LANES).enumerate() {
        for (words, word) in words.iter_mut().zip(state) {
            words[lane] = *word;
        }
    }

    // The message words of the next 16 rounds. Each block overwrites them all.
    let mut w = [any; 16];

    let lengths = used.iter().map(|stream| stream.len());

    for number in 0..lengths.min().unwrap_or(0) {
        // INVARIANT: `number` is less than the number of blocks in the shortest stream.
        let blocks = Blocks {
            streams: used,
            number,
        };
        let mut state = load_state(any, &words);

        load_quarters::<0, W, LANES>(&mut w, &blocks);
        load_quarters::<1, W, LANES>(&mut w, &blocks);
        load_quarters::<2, W, LANES>(&mut w, &blocks);
        load_quarters::<3, W, LANES>(&mut w, &blocks);

        for k in others {
            rounds::<true, W, LANES>(&mut state, &mut w, k);
        }
        rounds::<false, W, LANES>(&mut state, &mut w, last);
        add_state(&mut words, state);
    }

    for (lane, state) in states.iter_mut().take(LANES).enumerate() {
        for (words, word) in words.iter().zip(state) {
            *word = words[lane];
        }
    }
}

/// Loads the states. `any` is any vector.
#[inline(always)]
fn load_state<W: Words<LANES>, const LANES: usize>(any: W, words: &[[u32; LANES]; 8]) -> [W; 8] {
    let [a, b, c, d, e, f, g, h] = words;

    [
        any.load(a),
        any.load(b),
        any.load(c),
        any.load(d),
        any.load(e),
        any.load(f),
        any.load(g),
        any.load(h),
    ]
}

/// Adds `state` to the states, word by word.
#[inline(always)]
fn add_state<W: Words<LANES>, const LANES: usize>(words: &mut [[u32; LANES]; 8], state: [W; 8]) {
    let [a, b, c, d, e, f, g, h] = load_state(state[0], words);

    // Written out, so that `state` stays in registers.
    state[0].add(a).store(&mut words[0]);
    state[1].add(b).store(&mut words[1]);
    state[2].add(c).store(&mut words[2]);
    state[3].add(d).store(&mut words[3]);
    state[4].add(e).store(&mut words[4]);
    state[5].add(f).store(&mut words[5]);
    state[6].add(g).store(&mut words[6]);
    state[7].add(h).store(&mut words[7]);
}

/// Loads the words `4 * QUARTER` to `4 * QUARTER + 3` of each block, and transposes them: `w[i]`
/// gets word `i` of each.
#[inline(always)]
fn load_quarters<const QUARTER: usize, W: Words<LANES>, const LANES: usize>(
    w: &mut [W; 16],
    blocks: &Blocks<'_, LANES>,
) {
    let any = w[0];
    let a = any.load_quarter::<QUARTER, 0>(blocks).swap_bytes();
    let b = any.load_quarter::<QUARTER, 1>(blocks).swap_bytes();
    let c = any.load_quarter::<QUARTER, 2>(blocks).swap_bytes();
    let d = any.load_quarter::<QUARTER, 3>(blocks).swap_bytes();

    // The first two words of two blocks each, and the last two.
    let ab_low = a.interleave_low_words(b);
    let ab_high = a.interleave_high_words(b);
    let cd_low = c.interleave_low_words(d);
    let cd_high = c.interleave_high_words(d);

    w[4 * QUARTER] = ab_low.interleave_low_pairs(cd_low);
    w[4 * QUARTER + 1] = ab_low.interleave_high_pairs(cd_low);
    w[4 * QUARTER + 2] = ab_high.interleave_low_pairs(cd_high);
    w[4 * QUARTER + 3] = ab_high.interleave_high_pairs(cd_high);
}

/// Replaces message word `I` by the one of 16 rounds later (FIPS 180-4, section 6.2.2, step 1).
#[inline(always)]
fn schedule_word<const I: usize, W: Words<LANES>, const LANES: usize>(w: &mut [W; 16]) {
    let w_15 = w[(I + 1) % 16];
    let w_7 = w[(I + 9) % 16];
    let w_2 = w[(I + 14) % 16];
    let sigma_0 = w_15
        .rotate::<7, 25>()
        .xor3(w_15.rotate::<18, 14>(), w_15.shift_right::<3>());
    let sigma_1 = w_2
        .rotate::<17, 15>()
        .xor3(w_2.rotate::<19, 13>(), w_2.shift_right::<10>());

    w[I] = w[I].add(sigma_0).add(w_7).add(sigma_1);
}

/// 16 rounds. With `SCHEDULE`, replaces each message word after its round by the one of 16 rounds
/// later. The CPU computes it while the next round waits for the results of this one.
#[inline(always)]
fn rounds<const SCHEDULE: bool, W: Words<LANES>, const LANES: usize>(
    state: &mut [W; 8],
    w: &mut [W; 16],
    k: &[u32; 16],
) {
    // Written out, since a loop costs more in index arithmetic than in vector instructions.
    round::<0, SCHEDULE, W, LANES>(state, w, k);
    round::<1, SCHEDULE, W, LANES>(state, w, k);
    round::<2, SCHEDULE, W, LANES>(state, w, k);
    round::<3, SCHEDULE, W, LANES>(state, w, k);
    round::<4, SCHEDULE, W, LANES>(state, w, k);
    round::<5, SCHEDULE, W, LANES>(state, w, k);
    round::<6, SCHEDULE, W, LANES>(state, w, k);
    round::<7, SCHEDULE, W, LANES>(state, w, k);
    round::<8, SCHEDULE, W, LANES>(state, w, k);
    round::<9, SCHEDULE, W, LANES>(state, w, k);
    round::<10, SCHEDULE, W, LANES>(state, w, k);
    round::<11, SCHEDULE, W, LANES>(state, w, k);
    round::<12, SCHEDULE, W, LANES>(state, w, k);
    round::<13, SCHEDULE, W, LANES>(state, w, k);
    round::<14, SCHEDULE, W, LANES>(state, w, k);
    round::<15, SCHEDULE, W, LANES>(state, w, k);
}

/// Round `I` of 16 (FIPS 180-4, section 6.2.2, step 3), and with `SCHEDULE` the message word that
/// replaces word `I`.
///
/// The elements of `state` change their roles from round to round, so that nothing needs to be
/// copied: before round `I`, A is the element `-I` modulo 8, and the others follow. After eight
/// rounds they are back in place.
#[inline(always)]
fn round<const I: usize, const SCHEDULE: bool, W: Words<LANES>, const LANES: usize>(
    state: &mut [W; 8],
    w: &mut [W; 16],
    k: &[u32; 16],
) {
    let index = |variable: usize| (16 - I + variable) % 8;
    let a = state[index(0)];
    let b = state[index(1)];
    let c = state[index(2)];
    let d = state[index(3)];
    let e = state[index(4)];
    let f = state[index(5)];
    let g = state[index(6)];
    let h = state[index(7)];

    let sigma_0 = a
        .rotate::<2, 30>()
        .xor3(a.rotate::<13, 19>(), a.rotate::<22, 10>());
    let sigma_1 = e
        .rotate::<6, 26>()
        .xor3(e.rotate::<11, 21>(), e.rotate::<25, 7>());

    // T1 without `sigma_1`, which of all its terms is known last: its input E is the last result of
    // the round before, and it takes more instructions than `choose`. Where a vector instruction
    // takes two cycles, every addition between `sigma_1` and the new E delays all rounds. Therefore
    // E is not the sum of D and T1, although that would be one addition less. The compiler must not
    // change the order of the additions.
    let early = h.add(w[I].add_constant(k[I])).opaque().add(e.choose(f, g));

    // The new E and the new A.
    state[index(3)] = d.add(early).opaque().add(sigma_1);
    state[index(7)] = early
        .add(a.majority(b, c))
        .opaque()
        .add(sigma_1)
        .opaque()
        .add(sigma_0);

    if SCHEDULE {
        schedule_word::<I, W, LANES>(w);
    }
}
