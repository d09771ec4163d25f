// SPDX-License-Identifier: GPL-2.0-only

//! Generic code, one stream.

use super::{
    Block,
    Engine,
    State,
    States, //
};
use sha2::block_api::compress256;

// Otherwise `sha2` brings SHA-NI code of its own and runs it where CPUID has it, and this engine
// would not be what its name says.
#[cfg(not(sha2_backend = "soft"))]
compile_error!("sha2 must be built with --cfg sha2_backend=\"soft\"");

/// The engine for every CPU.
#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Engine<1> for Scalar {
    fn compress(self, states: &mut States<1>, data: &[&[Block]; 1]) {
        let mut state = states.map(|[word]| word);

        compress(&mut state, data[0]);
        *states = state.map(|word| [word]);
    }
}

/// Feeds blocks into a stream.
pub(super) fn compress(state: &mut State, data: &[Block]) {
    compress256(state, data);
}
