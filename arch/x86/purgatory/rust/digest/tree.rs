// SPDX-License-Identifier: GPL-2.0-only

//! Padding, leaves and the digest over them, the same for every engine.

use crate::{
    abi::{
        Digest, //
        DIGEST_SIZE,
    },
    engine::{
        Block,
        Engine,
        State,
        States,
        Streams, //
        BLOCK_SIZE,
        INIT,
    },
    engines::LANES_MAX,
};
use core::iter;
use sha2::{
    Digest as _,
    Sha256, //
};

/// Size in bytes of the message length at the end of the padding.
const LENGTH_SIZE: usize = size_of::<u64>();

/// Computes the digests of regions that are cut in leaves of `LEAF` bytes, and writes them to
/// `digests`, as many as there is room for.
///
/// Leaves of several regions are hashed together, so that small regions leave few lanes idle.
pub(crate) fn region_digests<'a, const LEAF: usize>(
    engine: Engine,
    regions: impl Iterator<Item = &'a [u8]>,
    digests: impl Iterator<Item = &'a mut Digest>,
) {
    const { assert!(LEAF > 0 && LEAF.is_multiple_of(BLOCK_SIZE)) };

    let mut batch = Batch::new(engine);
    let mut outer = Outer {
        stream: Sha256::new(),
        digests,
    };

    for region in regions {
        let mut rest = region;

        // A region of length 0 has no leaf, but a digest.
        loop {
            let (leaf, after) = rest.split_at_checked(LEAF).unwrap_or((rest, &[]));

            rest = after;
            batch.push(leaf, rest.is_empty().then_some(region.len()));
            if batch.is_full() {
                batch.hash(&mut outer);
            }
            if rest.is_empty() {
                break;
            }
        }
    }
    batch.hash(&mut outer);
}

/// Computes the SHA-256 of `data`.
// Not inlined, since the code is large.
#[inline(never)]
pub fn sha256(data: &[u8]) -> Digest {
    Sha256::digest(data).into()
}

/// Leaves in their order, one for each lane.
struct Batch<'a> {
    engine: Engine,
    /// Number of leaves, at most [`LANES_MAX`].
    len: usize,
    leaves: [&'a [u8]; LANES_MAX],
    /// For the last leaf of a region, the length of the region.
    ends: [Option<usize>; LANES_MAX],
}

impl<'a> Batch<'a> {
    fn new(engine: Engine) -> Self {
        Batch {
            engine,
            len: 0,
            leaves: [&[]; LANES_MAX],
            ends: [None; LANES_MAX],
        }
    }

    /// Adds a leaf. The batch must not be full.
    fn push(&mut self, leaf: &'a [u8], end: Option<usize>) {
        // No panic path: indexing would have one.
        if let (Some(slot), Some(slot_end)) =
            (self.leaves.get_mut(self.len), self.ends.get_mut(self.len))
        {
            *slot = leaf;
            *slot_end = end;
        }
        self.len += 1;
    }

    fn is_full(&self) -> bool {
        self.len == self.engine.lanes()
    }

    /// Hashes the leaves, adds their digests to `outer`, and empties the batch.
    #[inline(never)]
    fn hash<'b>(&mut self, outer: &mut Outer<impl Iterator<Item = &'b mut Digest>>) {
        let mut states = [INIT; LANES_MAX];
        let mut streams: Streams<'_> = [&[]; LANES_MAX];
        let mut tails = [[[0; BLOCK_SIZE]; 2]; LANES_MAX];
        let lanes = || iter::zip(&self.leaves, &self.ends).take(self.len);

        for (stream, (leaf, _)) in streams.iter_mut().zip(lanes()) {
            *stream = leaf.as_chunks().0;
        }
        feed(self.engine, &mut states, &streams);

        for ((stream, tail), (leaf, _)) in streams.iter_mut().zip(&mut tails).zip(lanes()) {
            *stream = pad(tail, leaf);
        }
        feed(self.engine, &mut states, &streams);

        for (state, (leaf, end)) in states.iter().zip(lanes()) {
            if !leaf.is_empty() {
                outer.add(&to_digest(state));
            }
            if let Some(region_len) = *end {
                outer.finish(region_len);
            }
        }
        self.len = 0;
    }
}

/// Hashes each stream into its state. The streams may differ in length.
fn feed(engine: Engine, states: &mut States, streams: &Streams<'_>) {
    let longest = streams.iter().max_by_key(|stream| stream.len());
    let longest = longest.copied().unwrap_or_default();
    let mut at = 0;

    // All lanes advance to the end of the shortest stream that has not ended. A lane whose stream
    // has ended hashes the longest stream, and its result is discarded.
    while let Some(next) = streams
        .iter()
        .map(|stream| stream.len())
        .filter(|&len| len > at)
        .min()
    {
        let mut running = *states;
        let mut part: Streams<'_> = [longest.get(at..next).unwrap_or_default(); LANES_MAX];

        for (part, stream) in part.iter_mut().zip(streams) {
            *part = stream.get(at..next).unwrap_or(part);
        }
        engine.compress(&mut running, &part);
        for ((state, running), stream) in states.iter_mut().zip(&running).zip(streams) {
            if stream.len() >= next {
                *state = *running;
            }
        }
        at = next;
    }
}

/// Writes the end of a message to `blocks`, which must be zero: the bytes after its last whole
/// block, and the padding (FIPS 180-4, section 5.1.1). Returns the one or two blocks that this
/// takes.
fn pad<'a>(blocks: &'a mut [Block; 2], message: &[u8]) -> &'a [Block] {
    let (_, tail) = message.as_chunks::<BLOCK_SIZE>();
    let bytes = blocks.as_flattened_mut();

    for (to, from) in bytes.iter_mut().zip(tail.iter().chain(iter::once(&0x80))) {
        *to = *from;
    }

    // If the length does not fit after the data, it goes into a second block.
    let [first, second] = blocks;
    let fits = tail.len() + 1 + LENGTH_SIZE <= BLOCK_SIZE;
    let last = if fits { first } else { second };

    if let Some(length) = last.last_chunk_mut() {
        *length = (message.len() as u64 * 8).to_be_bytes();
    }
    if fits {
        &blocks[..1]
    } else {
        blocks
    }
}

/// A final state as bytes.
fn to_digest(state: &State) -> Digest {
    let mut digest = [0; DIGEST_SIZE];

    for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// The SHA-256 over the leaf digests and the length of a region, for one region after the other.
struct Outer<D> {
    stream: Sha256,
    /// Where to write the digests of the regions.
    digests: D,
}

impl<'a, D: Iterator<Item = &'a mut Digest>> Outer<D> {
    /// Adds the digest of the next leaf.
    fn add(&mut self, digest: &Digest) {
        self.stream.update(digest);
    }

    /// Adds the length of the region, and writes the digest of the region.
    fn finish(&mut self, region_len: usize) {
        self.stream.update((region_len as u64).to_le_bytes());

        let digest = self.stream.finalize_reset();

        if let Some(to) = self.digests.next() {
            *to = digest.into();
        }
    }
}
