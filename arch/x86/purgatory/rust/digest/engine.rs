// SPDX-License-Identifier: GPL-2.0-only

//! The SHA-256 compression function for whole blocks of several independent streams, implemented
//! once for each instruction set.

mod avx2_x8;
mod avx512_x16;
mod intrinsics;
mod lanes;
mod shani_x3;

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

/// Data that is aligned to a cache line.
#[repr(align(64))]
pub(crate) struct Aligned<T>(pub(crate) T);

/// The constants of the rounds (FIPS 180-4, section 4.2.2).
#[rustfmt::skip]
pub(crate) static K: Aligned<[u32; 64]> = Aligned([
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5,
    0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3,
    0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc,
    0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7,
    0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13,
    0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3,
    0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5,
    0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208,
    0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
]);

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
                EngineKind::ShaNiX3 => shani_x3::compress(states, streams),
                EngineKind::Avx2X8 => avx2_x8::compress(states, streams),
                EngineKind::Avx512X16 => avx512_x16::compress(states, streams),
            }
        }
    }
}
