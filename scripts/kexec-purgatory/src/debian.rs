// SPDX-License-Identifier: GPL-2.0-only

//! Support for machines that run Debian: packages of the grafted kernel, and patches for Debian's
//! own source package.

pub mod agent;
mod debian_config;
pub mod disk;
pub mod guide;
pub mod packages;
pub mod source_patches;
pub mod vm;

use clap::Args;

use self::packages::Profile;

/// Options of the group debian.
#[derive(Clone, Copy, Args)]
pub struct DebianOptions {
    /// How many kexecs in a row the guest of the group debian must survive
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..))]
    pub kexecs: u16,
    /// Which packages the guest of the group debian installs
    #[arg(long, value_enum, default_value = "guest")]
    pub profile: Profile,
}
