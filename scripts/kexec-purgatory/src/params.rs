// SPDX-License-Identifier: GPL-2.0-only

//! What the purgatory is told and computes: its header, its parameters, and digests of regions.

use std::mem;

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

use crate::abi::{DIGEST_SIZE, Digest, Header, LEAF_SIZE, Params};

/// The bytes of parameters.
pub type Bytes = [u8; size_of::<Params>()];

pub fn to_bytes(params: Params) -> Bytes {
    // SAFETY: `Params` has no padding: the sizes of its fields add up to the size that abi.rs
    // asserts.
    unsafe { mem::transmute::<Params, Bytes>(params) }
}

pub fn from_bytes(bytes: Bytes) -> Params {
    // SAFETY: Every bit pattern is a valid value: all fields are integers, or arrays or structures
    // of integers.
    unsafe { mem::transmute::<Bytes, Params>(bytes) }
}

/// The header of a purgatory, from the bytes that the purgatory begins with. Fails if there are too
/// few. The header may have any contents.
pub fn header(purgatory: &[u8]) -> Result<Header> {
    let bytes: [u8; size_of::<Header>()] = *purgatory
        .first_chunk()
        .context("the purgatory is cut off")?;
    // SAFETY: Every bit pattern is a valid value: all fields are integers.
    Ok(unsafe { mem::transmute::<[u8; size_of::<Header>()], Header>(bytes) })
}

/// The digest of a region as [`LEAF_SIZE`] defines it, computed by code other than the purgatory's.
pub fn region_digest(region: &[u8]) -> Digest {
    let mut outer = Sha256::new();
    for leaf in region.chunks(LEAF_SIZE) {
        outer.update(Sha256::digest(leaf));
    }
    outer.update((region.len() as u64).to_le_bytes());
    outer.finalize().into()
}

/// The parameters with the digest that fits them.
pub fn sealed(params: Params) -> Params {
    let unsealed = Params {
        params_digest: [0; DIGEST_SIZE],
        ..params
    };
    Params {
        params_digest: Sha256::digest(to_bytes(unsealed)).into(),
        ..params
    }
}
