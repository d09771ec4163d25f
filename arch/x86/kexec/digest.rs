// SPDX-License-Identifier: GPL-2.0-only

//! The digest of a region, computed with `lib/crypto`.
//!
//! The purgatory computes the same digest with its own code, so that two implementations must agree
//! at every boot.

use crate::abi::{
    Digest,
    LEAF_SIZE, //
};
use kernel::crypto::sha256::{
    digest,
    digest_pair,
    Sha256, //
};

/// The digest of `region` as [`LEAF_SIZE`] defines it.
pub(crate) fn region_digest(region: &[u8]) -> Digest {
    let mut outer = Sha256::new();

    for_each_leaf(region, |leaf| outer.update(&leaf));
    finish(outer, region.len())
}

/// The digest of a region of `len` bytes whose leaves have these digests.
pub(crate) fn digest_of_leaves(leaves: impl Iterator<Item = Digest>, len: usize) -> Digest {
    let mut outer = Sha256::new();

    leaves.for_each(|leaf| outer.update(&leaf));
    finish(outer, len)
}

fn finish(mut outer: Sha256, len: usize) -> Digest {
    outer.update(&(len as u64).to_le_bytes());
    outer.finish()
}

/// Calls `each` with the digest of each leaf of `data`, in their order. Only the last one may be
/// shorter than [`LEAF_SIZE`].
pub(crate) fn for_each_leaf(data: &[u8], mut each: impl FnMut(Digest)) {
    let mut rest = data;

    while let Some((first, after)) = rest.split_first_chunk::<LEAF_SIZE>() {
        if let Some((second, after)) = after.split_first_chunk::<LEAF_SIZE>() {
            digest_pair(first, second).into_iter().for_each(&mut each);
            rest = after;
        } else {
            each(digest(first));
            rest = after;
        }
    }
    if !rest.is_empty() {
        each(digest(rest));
    }
}
