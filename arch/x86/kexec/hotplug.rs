// SPDX-License-Identifier: GPL-2.0-only

//! The ELF core header of a crash image, which follows the hotplug of memory.

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

/// Takes the digest of `elfcorehdr`, which was just written to the memory of a crash image that was
/// loaded, and has the image's purgatory verify it.
///
/// # Errors
///
/// [`Refusal::Foreign`] if the purgatory in the image's memory is not what was loaded. It is left
/// as it is, so that the purgatory refuses the image.
pub(crate) fn reseal(image: &mut CrashImage, elfcorehdr: &[u8]) -> Result<(), Refusal> {
    if image.decision() != Some(Decision::VerifiedCrash) {
        return Ok(());
    }

    let header = params::header(kexec::blob())?;
    let purgatory = image.entry() - u64::from(header.entry);
    let size = header.file_size as usize;
    let start = image.elfcorehdr();
    let digest = region_digest(elfcorehdr);

    image.set_digest(start, elfcorehdr.len(), digest);

    let loaded = image.digest(purgatory);
    let memory = image.segment_mut(purgatory, size).ok_or(Refusal::Foreign)?;

    // Digests over what was damaged since would hide that.
    if loaded != Some(region_digest(memory)) {
        return Err(Refusal::Foreign);
    }

    let (_, params) = params::split(memory, &header)?;
    update(params, start, elfcorehdr.len(), digest).ok_or(Refusal::Foreign)?;

    let digest = region_digest(memory);
    image.set_digest(purgatory, size, digest);
    Ok(())
}

/// Records the digest of the ELF core header at `start`; `None` if it is not verified.
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
