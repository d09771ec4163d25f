// SPDX-License-Identifier: GPL-2.0-only

//! The texts that the purgatory and the kernel must print, and the size of the record. They are
//! repeated here instead of taken from the sources, so that tests notice a change there.

use crate::abi::RegionKind;

/// Bytes of the record for the next kernel, by the documentation of its format.
pub const RECORD_SIZE: usize = 336;

/// What sysfs shows for an image that `kexec_load()` loaded.
pub const UNKNOWN: &str = "unknown: loaded with kexec_load()";

/// The beginning of the next kernel's line on how it was entered.
pub const ENTERED: &str = "kexec: entered by ";

/// Why the next kernel is not entered.
pub mod reason {
    pub const MAGIC: &str = "its parameters have a bad magic number";
    pub const VERSION: &str = "its parameters are of another version";
    pub const SIZE: &str = "its parameters have a bad size";
    pub const PARAMS_DIGEST: &str = "the parameters of the purgatory are damaged";
    pub const OWN_DIGEST: &str = "the purgatory itself is damaged";
    pub const ADDRESS: &str = "the purgatory is not where it was placed";
    pub const ENGINE: &str = "there is no such engine";
    pub const REGION_COUNT: &str = "there are no regions, or too many";
    pub const REGION: &str = "a region wraps or overlaps another one";
    pub const ENTRY: &str = "its entry point or boot_params lie outside of what is verified";
    pub const RECORD: &str = "the record for the next kernel lies in another place";
}

/// The name of a region in messages.
pub fn region(kind: RegionKind) -> &'static str {
    match kind {
        RegionKind::Segment => "segment",
        RegionKind::Kernel => "kernel",
        RegionKind::Initramfs => "initramfs",
        RegionKind::BootParams => "boot_params",
        RegionKind::ElfCoreHdr => "elfcorehdr",
        RegionKind::DmCryptKeys => "dm_crypt_keys",
    }
}
