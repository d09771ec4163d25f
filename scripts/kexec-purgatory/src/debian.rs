// SPDX-License-Identifier: GPL-2.0-only

//! Support for machines that run Debian: packages of the grafted kernel, and patches for Debian's
//! own source package.

pub mod agent;
pub mod disk;
pub mod guide;
pub mod packages;
pub mod patches;
pub mod vm;
