// SPDX-License-Identifier: GPL-2.0-only

//! The project for machines that run Debian: packages of the grafted kernel, and patches for the
//! source package of Debian's own.

pub mod agent;
pub mod disk;
pub mod guide;
pub mod packages;
pub mod patches;
pub mod vm;
