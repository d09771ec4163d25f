// SPDX-License-Identifier: GPL-2.0-only

//! Padding, leaves and the digest over them, for every engine alike.

use crate::{
    abi::{
        Digest, //
        DIGEST_SIZE,
    },
    engine::{
        Block,
        Engine,
        Single,
        State,
        States, //
        BLOCK_SIZE,
        INIT,
    },
};
use core::{
    array,
    iter, //
};
use sha2::{
    Digest as _,
    Sha256, //
};

/// Size in bytes of the message length at the end of the padding.
const LENGTH_SIZE: usize = size_of::<u64>();

/// Computes the digest of a region that is cut in leaves of `LEAF` bytes.
pub(crate) fn region_digest<E: Engine<LANES>, const LANES: usize, const LEAF: usize>(
    engine: E,
    region: &[u8],
) -> Digest {
    const { assert!(LEAF > 0 && LEAF.is_multiple_of(BLOCK_SIZE)) };

    let mut outer = Outer::new();

    for batch in region.chunks(LANES * LEAF) {
        hash_batch::<E, LANES, LEAF>(engine, batch, &mut outer);
    }
    outer.finish(region.len())
}

/// Computes the digest of a region that is cut in leaves of `LEAF` bytes, one leaf after the other.
pub(crate) fn region_digest_scalar<const LEAF: usize>(region: &[u8]) -> Digest {
    let mut outer = Outer::new();

    for leaf in region.chunks(LEAF) {
        outer.add(&sha256(leaf));
    }
    outer.finish(region.len())
}

/// Computes the SHA-256 of `data`.
// Once for all callers: the code is large.
#[inline(never)]
pub(crate) fn sha256(data: &[u8]) -> Digest {
    Sha256::digest(data).into()
}

/// Computes the SHA-256 of one leaf.
fn hash_leaf(engine: Single, leaf: &[u8]) -> Digest {
    let (blocks, tail) = leaf.as_chunks();
    let mut state = INIT;

    engine.compress(&mut state, blocks);
    finish(engine, state, tail, leaf.len())
}

/// Hashes up to `LANES` leaves at once and feeds their digests to `outer`. Only the last leaf may
/// be shorter than `LEAF`.
fn hash_batch<E: Engine<LANES>, const LANES: usize, const LEAF: usize>(
    engine: E,
    batch: &[u8],
    outer: &mut Outer,
) {
    let (full, tail) = batch.as_chunks::<LEAF>();
    let first = match full {
        [first, ..] if batch.len() > LEAF => first,
        // A single leaf would leave all other lanes idle.
        _ => return outer.add(&hash_leaf(engine.single(), batch)),
    };

    let (tail_blocks, tail_bytes) = tail.as_chunks();
    let mut states: States<LANES> = INIT.map(|word| [word; LANES]);

    // A short leaf runs in the lane behind the full ones, and all lanes go as far as its whole
    // blocks do. Lanes without a leaf repeat the first one.
    engine.compress(
        &mut states,
        &array::from_fn(|lane| match full.get(lane) {
            None if lane == full.len() => tail_blocks,
            leaf => split(leaf.unwrap_or(first), tail_blocks.len()).0,
        }),
    );
    let tail_state = lane_state(&states, full.len());

    // The full leaves go on to their ends. The short one's lane is idle from here on.
    engine.compress(
        &mut states,
        &array::from_fn(|lane| split(full.get(lane).unwrap_or(first), tail_blocks.len()).1),
    );

    // Full leaves all have the same padding, a block of its own.
    let padding = [const { padding_block(LEAF) }];
    engine.compress(&mut states, &[&padding; LANES]);

    for lane in 0..full.len() {
        outer.add(&to_digest(&lane_state(&states, lane)));
    }
    if !tail.is_empty() {
        outer.add(&finish(engine.single(), tail_state, tail_bytes, tail.len()));
    }
}

/// The blocks of a full leaf before and after block `at`, which is not behind its end.
fn split<const LEAF: usize>(leaf: &[u8; LEAF], at: usize) -> (&[Block], &[Block]) {
    let (blocks, _) = leaf.as_chunks();

    blocks.split_at_checked(at).unwrap_or((blocks, &[]))
}

/// The state of one stream. Lane numbers wrap, so that none is out of bounds.
fn lane_state<const LANES: usize>(states: &States<LANES>, lane: usize) -> State {
    states.map(|words| words[lane % LANES])
}

/// The padding of a message of `len` bytes, a multiple of the block size.
const fn padding_block(len: usize) -> Block {
    let mut block = [0; BLOCK_SIZE];
    let (start, length) = block.split_at_mut(BLOCK_SIZE - LENGTH_SIZE);

    start[0] = 0x80;
    length.copy_from_slice(&length_field(len));
    block
}

/// A message length as it stands at the end of the padding: in bits, big endian.
const fn length_field(len: usize) -> [u8; LENGTH_SIZE] {
    (len as u64 * 8).to_be_bytes()
}

/// Ends a stream of `len` bytes: feeds the last of them, `tail`, less than a block, and the
/// padding.
fn finish(engine: Single, mut state: State, tail: &[u8], len: usize) -> Digest {
    let mut block = [0; BLOCK_SIZE];

    for (to, from) in block.iter_mut().zip(tail.iter().chain(iter::once(&0x80))) {
        *to = *from;
    }

    // If the length has no room behind the data, it goes into a block of its own.
    if tail.len() + 1 + LENGTH_SIZE > BLOCK_SIZE {
        engine.compress(&mut state, &[block]);
        block = [0; BLOCK_SIZE];
    }

    let (_, length) = block.split_at_mut(BLOCK_SIZE - LENGTH_SIZE);

    length.copy_from_slice(&length_field(len));
    engine.compress(&mut state, &[block]);
    to_digest(&state)
}

/// A final state as bytes.
fn to_digest(state: &State) -> Digest {
    let mut digest = [0; DIGEST_SIZE];

    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// The SHA-256 over a region's leaf digests and its length.
// The methods exist once, not once in the code of each engine.
struct Outer(Sha256);

impl Outer {
    #[inline(never)]
    fn new() -> Self {
        Outer(Sha256::new())
    }

    /// Feeds the digest of the next leaf.
    #[inline(never)]
    fn add(&mut self, digest: &Digest) {
        self.0.update(digest);
    }

    /// Feeds the length of the region, and ends the stream.
    #[inline(never)]
    fn finish(mut self, region_len: usize) -> Digest {
        self.0.update((region_len as u64).to_le_bytes());
        self.0.finalize().into()
    }
}
