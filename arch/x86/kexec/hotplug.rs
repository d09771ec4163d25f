// SPDX-License-Identifier: GPL-2.0-only

//! Updates the digest of a crash image's ELF core header after memory hotplug.

use crate::{
    abi::{
        Digest,
        Params,
        RegionKind, //
    },
    digest::region_digest,
    params::{
        self,
        Refusal, //
    }, //
};
use kernel::{
    kexec::{
        self,
        CrashImage,
        Decision, //
    },
    prelude::*, //
};

/// Records the digest of `elfcorehdr`, which was just written to the memory of a loaded crash
/// image, in the image and in its purgatory. Does nothing for an image that is not verified.
///
/// # Errors
///
/// [`Refusal::Damaged`] if the purgatory in the image's memory is not the one that was loaded, or
/// if it cannot be read. Both records stay unchanged, so that the purgatory refuses the image, and
/// a check finds what the purgatory would find.
pub(crate) fn reseal(image: &mut CrashImage, elfcorehdr: &[u8]) -> Result<(), Refusal> {
    if image.decision() != Some(Decision::VerifiedCrash) {
        return Ok(());
    }

    let header = params::header(kexec::purgatory())?;
    let purgatory = image.entry() - u64::from(header.entry);
    let size = header.file_size as usize;
    let start = image.elfcorehdr();

    // Ordinary loads of memory with an error would end this kernel.
    if !is_readable(purgatory, size) {
        return Err(Refusal::Damaged);
    }

    let loaded = image.digest(purgatory);
    let memory = image.segment_mut(purgatory, size).ok_or(Refusal::Damaged)?;

    // A new digest of a damaged purgatory would hide the damage.
    if loaded != Some(region_digest(memory)) {
        return Err(Refusal::Damaged);
    }

    let (_, params) = params::split(memory, &header)?;
    let digest = region_digest(elfcorehdr);
    update(params, start, elfcorehdr.len(), digest).ok_or(Refusal::Damaged)?;

    let purgatory_digest = region_digest(memory);
    image.set_digest(start, elfcorehdr.len(), digest);
    image.set_digest(purgatory, size, purgatory_digest);
    Ok(())
}

/// Whether [`kexec::read_physical()`] can read `size` bytes at the physical address `start`, which
/// is page-aligned. Reads up to 255 bytes after them, in the same page.
fn is_readable(start: u64, size: usize) -> bool {
    let mut bytes = [0; 256];

    (0..size)
        .step_by(bytes.len())
        .all(|offset| kexec::read_physical(start + offset as u64, &mut bytes).is_ok())
}

/// Records the digest of the ELF core header at the physical address `start` in `params`. Returns
/// `None` if the purgatory does not verify it.
fn update(params: &mut Params, start: u64, len: usize, digest: Digest) -> Option<()> {
    let region = params
        .regions
        .iter_mut()
        .take(params.nr_regions as usize)
        .find(|region| region.kind == RegionKind::ElfCoreHdr as u32 && region.start == start)?;

    region.len = len as u64;
    region.digest = digest;
    params.params_digest = params::digest_of(params);
    Some(())
}
