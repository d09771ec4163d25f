// SPDX-License-Identifier: GPL-2.0-only

//! Runs the purgatory on a machine in QEMU or Bochs, without any kernel.
//!
//! A few instructions stand in for the previous kernel and for the next one. A run therefore takes
//! a second, where one with real kernels takes half a minute, and a test chooses everything that
//! the purgatory is told and finds. [`image::Image`] stands in for the loader. It computes digests
//! with a third implementation.

mod bare_bochs;
mod bare_machine;
mod built;
mod cases;
mod expect;
mod image;
mod probe;
pub(crate) mod run_result;

pub use self::bare_machine::Bare;
pub use self::built::{Purgatory, SOURCES};
pub use self::cases::cases;
use self::probe::State;
