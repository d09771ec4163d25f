// SPDX-License-Identifier: GPL-2.0-only

//! The purgatory on a machine in QEMU, or in Bochs, without any kernel.
//!
//! A few instructions of ours stand for the previous kernel, some more for the next one, so that a
//! run takes a second where one with real kernels takes half a minute, and everything that the
//! purgatory is told and finds can be chosen. What stands for the loader is [`image::Image`], which
//! computes digests with a third implementation.

mod blob;
mod bochs;
mod cases;
mod expect;
mod image;
mod machine;
pub(crate) mod run;
mod state;

pub use self::blob::{Blob, SOURCES};
pub use self::cases::cases;
pub use self::machine::Bare;
use self::state::State;
