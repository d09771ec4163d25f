// SPDX-License-Identifier: GPL-2.0-only

//! The digests that `kexec_file_load()` computes, by mainline's loader and by the project's, with
//! the code of `lib/crypto` for processors with SHA-NI, linked into this process.

use std::array;
use std::mem;

use anyhow::{Context as _, Result, ensure};
use block_buffer::EagerBuffer;
use block_buffer::array::Array;
use block_buffer::array::typenum::U64;
use memmap2::Mmap;
use sha2::digest::common::hazmat::SerializableState;

use super::present_memory::PAGE;
use super::program::Program;
use super::segments::Image;
use crate::abi::{Digest, LEAF_SIZE};
use crate::params::region_digest;

/// `struct sha256_block_state`.
type State = [u32; 8];

/// `struct __sha256_ctx`.
#[repr(C)]
struct Context {
    state: State,
    /// Bytes that were hashed before.
    byte_count: u64,
    buffer: [u8; 64],
}

/// Adds blocks to a state.
type Transform = unsafe extern "C" fn(*mut State, *const u8, usize);

/// Hashes two messages of equal length, which is at least one block.
type Finup2x = unsafe extern "C" fn(
    *const Context,
    *const u8,
    *const u8,
    libc::c_int,
    *mut Digest,
    *mut Digest,
);

/// SHA-256 code of `lib/crypto` for one stream.
pub struct Stream {
    pub name: &'static str,
    /// The object's path in a kernel's build directory.
    pub object: &'static str,
    symbol: &'static str,
    /// Whether this processor has the instructions.
    pub is_usable: fn() -> bool,
}

/// The code for SHA-NI, which `lib/crypto` uses where it can, and that for AVX2.
pub const STREAMS: [Stream; 2] = [
    Stream {
        name: "lib/crypto, SHA-NI",
        object: "lib/crypto/x86/sha256-ni-asm.o",
        symbol: "sha256_ni_transform",
        is_usable: KernelSha256::is_usable,
    },
    Stream {
        name: "lib/crypto, AVX2",
        object: "lib/crypto/x86/sha256-avx2-asm.o",
        symbol: "sha256_transform_rorx",
        is_usable: || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2"),
    },
];

/// The kernel's SHA-256 with one of them.
///
/// # Invariants
///
/// The functions are those of their types in `_code`, and this processor has their instructions.
pub struct KernelSha256 {
    pub name: &'static str,
    transform: Transform,
    /// Hashes two messages at once; only with SHA-NI.
    finup_2x: Option<Finup2x>,
    initial: State,
    _code: Mmap,
}

impl KernelSha256 {
    /// Whether this processor has the instructions of the code for SHA-NI; without them, the kernel
    /// uses other code.
    pub fn is_usable() -> bool {
        is_x86_feature_detected!("sha") && is_x86_feature_detected!("sse4.1")
    }

    /// Links the object of a stream. None if the stream is not usable.
    pub fn link(stream: &Stream, object: &[u8]) -> Result<Option<Self>> {
        if !(stream.is_usable)() {
            return Ok(None);
        }
        let program =
            Program::link(object).with_context(|| format!("cannot link {}", stream.object))?;
        let transform = program.symbol(stream.symbol)?.start;
        let finup_2x = program
            .symbol("sha256_ni_finup2x")
            .map(|symbol| symbol.start);
        let serialized = sha2::Sha256::default().serialize();
        let (words, _) = serialized.as_chunks();

        let code = program.memory.make_exec()?;
        // SAFETY: These are the functions' types in C (lib/crypto/x86/sha256.h), and they stay
        // mapped for as long as `code` is. INVARIANT: The same holds for the types; `is_usable` has
        // checked the instructions.
        Ok(Some(unsafe {
            Self {
                name: stream.name,
                transform: mem::transmute::<*const u8, Transform>(code[transform..].as_ptr()),
                finup_2x: finup_2x
                    .ok()
                    .map(|start| mem::transmute::<*const u8, Finup2x>(code[start..].as_ptr())),
                initial: array::from_fn(|i| u32::from_le_bytes(words[i])),
                _code: code,
            }
        }))
    }

    /// Whether there is code for two messages at once.
    pub fn has_finup_2x(&self) -> bool {
        self.finup_2x.is_some()
    }

    /// The digest of the loaded bytes, as one stream.
    pub fn loaded(&self, image: &Image) -> Digest {
        let mut message = Message::new(self);
        for segment in &image.segments {
            message.update(&image.memory[segment.loaded_range()]);
        }
        message.finish()
    }

    /// The digest that mainline's loader records: of all segments, with pages of zeroes as their
    /// tails.
    pub fn mainline(&self, image: &Image) -> Digest {
        let zeroes = [0; PAGE];
        let mut message = Message::new(self);
        for segment in &image.segments {
            message.update(&image.memory[segment.loaded_range()]);
            let mut tail = segment.memory - segment.loaded;
            while tail > 0 {
                let bytes = tail.min(PAGE);
                message.update(&zeroes[..bytes]);
                tail -= bytes;
            }
        }
        message.finish()
    }

    /// The digests that the project's loader records: one of the loaded bytes of each segment.
    pub fn regions(&self, image: &Image) -> Vec<Digest> {
        image
            .segments
            .iter()
            .map(|segment| self.region(&image.memory[segment.loaded_range()]))
            .collect()
    }

    /// Must hash the leaves as `arch/x86/kexec/digest.rs` does: in pairs, and only an odd leaf and
    /// the rest one at a time.
    fn region(&self, region: &[u8]) -> Digest {
        let mut outer = Message::new(self);
        let (leaves, last) = region.as_chunks::<LEAF_SIZE>();
        let (pairs, odd) = leaves.as_chunks();
        for [first, second] in pairs {
            for leaf in self.pair(first, second) {
                outer.update(&leaf);
            }
        }
        let odd = odd.iter().map(<[u8; LEAF_SIZE]>::as_slice);
        let last = (!last.is_empty()).then_some(last);
        for leaf in odd.chain(last) {
            outer.update(&self.leaf(leaf));
        }
        outer.update(&(region.len() as u64).to_le_bytes());
        outer.finish()
    }

    fn leaf(&self, leaf: &[u8]) -> Digest {
        let mut message = Message::new(self);
        message.update(leaf);
        message.finish()
    }

    fn pair(&self, first: &[u8; LEAF_SIZE], second: &[u8; LEAF_SIZE]) -> [Digest; 2] {
        let Some(finup_2x) = self.finup_2x else {
            return [self.leaf(first), self.leaf(second)];
        };
        let start = Context {
            state: self.initial,
            byte_count: 0,
            buffer: [0; 64],
        };
        let mut digests = [Digest::default(); 2];
        let [one, two] = &mut digests;
        // SAFETY: By the type's invariants this is the function. The context, both messages of that
        // length and both digests are borrowed; a leaf is longer than a block.
        unsafe {
            finup_2x(
                &start,
                first.as_ptr(),
                second.as_ptr(),
                LEAF_SIZE as libc::c_int,
                one,
                two,
            );
        }
        digests
    }

    fn transform(&self, state: &mut State, blocks: &[Array<u8, U64>]) {
        // SAFETY: By the type's invariants this is the function. The state is borrowed, and the blocks
        // follow each other.
        unsafe { (self.transform)(state, blocks.as_ptr().cast(), blocks.len()) }
    }

    /// Fails unless other code computes the same digests.
    pub fn check(&self, image: &Image) -> Result<()> {
        let mut expected = image
            .segments
            .iter()
            .map(|segment| region_digest(&image.memory[segment.loaded_range()]));
        ensure!(
            self.mainline(image) == image.mainline_digest()
                && self.regions(image).into_iter().eq(&mut expected),
            "{}: wrong digest",
            self.name
        );
        Ok(())
    }
}

/// A message that comes in pieces, as `sha256_update()` takes them.
struct Message<'a> {
    code: &'a KernelSha256,
    state: State,
    length: u64,
    buffer: EagerBuffer<U64>,
}

impl<'a> Message<'a> {
    fn new(code: &'a KernelSha256) -> Self {
        Self {
            code,
            state: code.initial,
            length: 0,
            buffer: EagerBuffer::default(),
        }
    }

    fn update(&mut self, data: &[u8]) {
        let (code, state) = (self.code, &mut self.state);
        self.length += data.len() as u64;
        self.buffer
            .digest_blocks(data, |blocks| code.transform(state, blocks));
    }

    fn finish(mut self) -> Digest {
        let (code, state) = (self.code, &mut self.state);
        self.buffer.len64_padding_be(8 * self.length, |block| {
            code.transform(state, array::from_ref(block));
        });
        let mut digest = Digest::default();
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }
}
