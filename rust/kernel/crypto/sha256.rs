// SPDX-License-Identifier: GPL-2.0-only

//! SHA-256 of `lib/crypto`.
//!
//! C header: [`include/crypto/sha2.h`](srctree/include/crypto/sha2.h)

use crate::{
    bindings,
    types::Opaque, //
};

/// Size of a digest in bytes.
pub const DIGEST_SIZE: usize = bindings::SHA256_DIGEST_SIZE as usize;

/// A SHA-256 digest.
pub type Digest = [u8; DIGEST_SIZE];

/// A SHA-256 computation over a message that comes in pieces.
///
/// # Examples
///
/// ```
/// use kernel::crypto::sha256::{
///     digest,
///     Sha256, //
/// };
///
/// let mut pieces = Sha256::new();
///
/// pieces.update(b"a");
/// pieces.update(b"bc");
/// assert_eq!(pieces.finish(), digest(b"abc"));
/// ```
///
/// # Invariants
///
/// The context was set up by `sha256_init()`.
pub struct Sha256(Opaque<bindings::sha256_ctx>);

impl Sha256 {
    /// Starts with an empty message.
    pub fn new() -> Sha256 {
        let ctx = Opaque::uninit();

        // SAFETY: `ctx` is valid for writes.
        unsafe { bindings::sha256_init(ctx.get()) };
        // INVARIANT: `sha256_init()` was called above.
        Sha256(ctx)
    }

    /// Appends `data` to the message.
    pub fn update(&mut self, data: &[u8]) {
        // SAFETY: By the type invariant the context was set up, `data` is valid for reads of its
        // length.
        unsafe { bindings::sha256_update(self.0.get(), data.as_ptr(), data.len()) };
    }

    /// Ends the message and returns its digest.
    pub fn finish(self) -> Digest {
        let mut digest = [0; DIGEST_SIZE];

        // SAFETY: By the type invariant the context was set up, `digest` has room for a digest.
        unsafe { bindings::sha256_final(self.0.get(), digest.as_mut_ptr()) };
        digest
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// The digest of `data`.
pub fn digest(data: &[u8]) -> Digest {
    let mut digest = [0; DIGEST_SIZE];

    // SAFETY: `data` is valid for reads of its length, `digest` has room for a digest.
    unsafe { bindings::sha256(data.as_ptr(), data.len(), digest.as_mut_ptr()) };
    digest
}

/// The digests of two messages of the same length. Faster than two calls of [`digest()`] if the
/// kernel has code that interleaves them.
pub fn digest_pair<const LEN: usize>(first: &[u8; LEN], second: &[u8; LEN]) -> [Digest; 2] {
    let start = Sha256::new();
    let mut digests = [[0; DIGEST_SIZE]; 2];
    let [out1, out2] = &mut digests;

    // SAFETY: By the type invariant the context was set up. Both messages are valid for reads of
    // `LEN` bytes, and both outputs have room for a digest.
    unsafe {
        bindings::sha256_finup_2x(
            start.0.get(),
            first.as_ptr(),
            second.as_ptr(),
            LEN,
            out1.as_mut_ptr(),
            out2.as_mut_ptr(),
        )
    };
    digests
}
