// SPDX-License-Identifier: GPL-2.0-only

//! The ELF core header of a crash image, which follows the hotplug of memory.

use crate::{
    abi::{
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

/// Has the purgatory of a crash image that was loaded verify `elfcorehdr`, which was just written
/// to the image's memory.
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
    let start = image.elfcorehdr();
    let memory = image
        .segment_mut(purgatory, header.file_size as usize)
        .ok_or(Refusal::Foreign)?;
    let (_, params) = params::split(memory, &header)?;

    // Digests over what was damaged since would hide that.
    if params::digest_of(params) != params.params_digest {
        return Err(Refusal::Foreign);
    }
    update(params, start, elfcorehdr).ok_or(Refusal::Foreign)
}

/// Records the digest of the ELF core header at `start`; `None` if it is not verified.
fn update(params: &mut Params, start: u64, elfcorehdr: &[u8]) -> Option<()> {
    let region = params
        .regions
        .iter_mut()
        .take(params.nr_regions as usize)
        .find(|region| region.kind == RegionKind::ElfCoreHdr as u32 && region.start == start)?;

    region.len = elfcorehdr.len() as u64;
    region.digest = region_digest(elfcorehdr);
    params.params_digest = params::digest_of(params);
    Some(())
}
