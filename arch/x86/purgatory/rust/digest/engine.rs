// SPDX-License-Identifier: GPL-2.0-only

//! The SHA-256 compression function for whole blocks of several independent streams, implemented
//! once for each instruction set.

mod avx2_x8;
mod avx512_x16;
mod constants;
mod intrinsics;
mod lanes;
mod shani_x4;

use crate::engines::{
    EngineKind,
    LANES_MAX, //
};
use sha2::block_api::compress256;

// Without this option, `sha2` executes CPUID to find SHA-NI. Between two kernels, nothing handles
// the exception that CPUID raises in an SEV-ES or TDX guest.
#[cfg(not(sha2_backend = "soft"))]
compile_error!("this crate and sha2 must be built with --cfg sha2_backend=\"soft\"");

/// Size of a block in bytes.
pub(crate) const BLOCK_SIZE: usize = 64;

/// A block of a stream.
pub(crate) type Block = [u8; BLOCK_SIZE];

/// The eight words of a stream's state.
pub(crate) type State = [u32; 8];

/// The states of all streams. An engine with `n` lanes uses the first `n`.
pub(crate) type States = [State; LANES_MAX];

/// The blocks to hash in each stream.
pub(crate) type Streams<'a> = [&'a [Block]; LANES_MAX];

/// The state that every stream starts from (FIPS 180-4, section 5.3.3).
pub(crate) const INIT: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// An engine that this CPU can run.
///
/// # Invariants
///
/// While a value exists, the CPU is ready for the engine; see
/// [`region_digests`](crate::region_digests).
#[derive(Clone, Copy)]
pub(crate) struct Engine(EngineKind);

impl Engine {
    /// # Safety
    ///
    /// While the value exists, the CPU is ready for the engine as
    /// [`region_digests`](crate::region_digests) requires.
    pub(crate) unsafe fn new(kind: EngineKind) -> Self {
        // INVARIANT: By the safety requirements.
        Engine(kind)
    }

    /// The number of streams, at most [`LANES_MAX`].
    pub(crate) fn lanes(self) -> usize {
        self.0.lanes()
    }

    /// Hashes blocks of the first [`Engine::lanes`] streams: of each, as many as the shortest of
    /// them has. The other states do not change.
    pub(crate) fn compress(self, states: &mut States, streams: &Streams<'_>) {
        // SAFETY: By the type invariants, the CPU has the instructions that the functions enable.
        unsafe {
            match self.0 {
                EngineKind::Scalar => compress256(&mut states[0], streams[0]),
                EngineKind::ShaNiX4 => shani_x4::compress(states, streams),
                EngineKind::Avx2X8 => avx2_x8::compress(states, streams),
                EngineKind::Avx512X16 => avx512_x16::compress(states, streams),
            }
        }
    }
}
