// SPDX-License-Identifier: GPL-2.0-only

//! Cryptographic algorithms of `lib/crypto`.

pub mod sha256;
