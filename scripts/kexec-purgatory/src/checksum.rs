// SPDX-License-Identifier: GPL-2.0-only

//! SHA-256 of files and texts, in hexadecimal.

use std::path::Path;

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::files;

/// The checksum of a byte string.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The checksum of a file.
pub fn of_file(path: &Path) -> Result<String> {
    Ok(of_bytes(&files::read(path)?))
}
