// SPDX-License-Identifier: GPL-2.0-only

//! The digest of a region, computed with `lib/crypto`.
//!
//! The purgatory computes the same digest with code of its own, so that two implementations have to
//! agree at every boot.

use crate::abi::{
    Digest,
    LEAF_SIZE, //
};
use kernel::kexec::sha256::{
    digest,
    digest_pair,
    Sha256, //
};

/// The digest of `region` as [`LEAF_SIZE`] defines it.
pub(crate) fn region_digest(region: &[u8]) -> Digest {
    let mut outer = Sha256::new();
    let mut rest = region;

    while let Some((first, after)) = rest.split_first_chunk::<LEAF_SIZE>() {
        if let Some((second, after)) = after.split_first_chunk::<LEAF_SIZE>() {
            for leaf in digest_pair(first, second) {
                outer.update(&leaf);
            }
            rest = after;
        } else {
            outer.update(&digest(first));
            rest = after;
        }
    }
    if !rest.is_empty() {
        outer.update(&digest(rest));
    }
    outer.update(&(region.len() as u64).to_le_bytes());
    outer.finish()
}
