// SPDX-License-Identifier: GPL-2.0-only

//! The digests of the segments of an image, which are recorded when it is loaded.
//!
//! They are the digests that the purgatory compares, and a digest of the purgatory itself. They are
//! in `struct kimage`, so that images that are entered directly have them too.

use crate::{
    abi::{
        Digest,
        RegionKind, //
    },
    digest::region_digest, //
};
use kernel::kexec::{
    Kind,
    LoadingImage,
    Role, //
};

/// [`Kind`] of the purgatory. [`kind_of`] gives the kind of every other region.
const PURGATORY: Kind = Kind::MAX;

/// The [`Kind`] of a region. It is never 0, which stands for no digest.
pub(crate) fn kind_of(kind: RegionKind) -> Kind {
    kind as Kind + 1
}

/// What a segment with this [`Kind`] holds; `None` for the purgatory and for 0.
pub(crate) fn region_kind(kind: Kind) -> Option<RegionKind> {
    RegionKind::from_raw(u32::from(kind).checked_sub(1)?)
}

/// The name of what a segment with this [`Kind`] holds.
pub(crate) fn name(kind: Kind) -> &'static str {
    region_kind(kind).map_or("purgatory", RegionKind::name)
}

/// Records the digest of every segment whose contents are final, except the purgatory's.
/// `boot_params_len` is the number of final bytes in the segment with `boot_params`; with `None`,
/// all of them are.
pub(crate) fn record(image: &mut LoadingImage, boot_params_len: Option<usize>) {
    image.take_digests(|segment| {
        let kind = match segment.role {
            Role::Kernel => RegionKind::Kernel,
            Role::Initramfs => RegionKind::Initramfs,
            Role::ElfCoreHdr => RegionKind::ElfCoreHdr,
            Role::DmCryptKeys => RegionKind::DmCryptKeys,
            Role::BootParams => RegionKind::BootParams,
            Role::Other => RegionKind::Segment,
            Role::Ima | Role::Purgatory => return None,
        };
        let len = match boot_params_len {
            Some(len) if kind == RegionKind::BootParams => len,
            _ => segment.data.len(),
        };

        Some(taken(kind_of(kind), segment.data.get(..len)?))
    });
}

/// Records the digest of the purgatory, whose parameters must be complete.
pub(crate) fn record_purgatory(image: &mut LoadingImage) {
    image.take_digests(|segment| match segment.role {
        Role::Purgatory => Some(taken(PURGATORY, segment.data)),
        _ => None,
    });
}

fn taken(kind: Kind, bytes: &[u8]) -> (Kind, usize, Digest) {
    (kind, bytes.len(), region_digest(bytes))
}
