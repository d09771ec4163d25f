// SPDX-License-Identifier: GPL-2.0-only

//! The purgatory's parameters and their bytes in memory.

use std::mem;

use sha2::{Digest as _, Sha256};

use crate::abi::{DIGEST_SIZE, Params};

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
