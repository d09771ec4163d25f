// SPDX-License-Identifier: GPL-2.0-only

//! Loader of the x86 purgatory.
//!
//! `kexec_file_load()` calls the loader twice. [`kexec_purgatory_place`] runs when the segments of
//! an image are known: it decides whether the image is verified, and adds the purgatory if it is.
//! [`kexec_purgatory_seal`] runs when the contents of the segments are final: it records the
//! digests. When memory is plugged in or out, [`kexec_purgatory_reseal`] records the digest of
//! the crash image's ELF core header again.

use kernel::{
    error::from_result,
    kexec::{
        self,
        CrashImage,
        Decision,
        LoadingImage,
        Machine,
        RawImage, //
    },
    prelude::*, //
};

#[path = "../purgatory/rust/abi.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the purgatory")]
mod abi;
#[path = "../purgatory/rust/digest/check.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the purgatory")]
mod check;
mod check_loaded;
mod digest;
#[path = "../purgatory/rust/digest/engines.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the purgatory and its tests"
)]
mod engines;
mod entered;
mod handoff_record;
mod hotplug;
mod params;
#[path = "../purgatory/rust/record.rs"]
#[expect(unreachable_pub, reason = "shared with the purgatory")]
mod record;
mod regions;

use abi::Handoff;
use params::{
    Purgatory,
    Refusal, //
};

/// Prefix of `pr_*` messages.
const __LOG_PREFIX: &[u8] = b"kexec\0";

/// Lowest physical address of the purgatory, as in `kexec-bzimage64.c`.
const MIN_PURGATORY_ADDR: u64 = 0x3000;

/// C declaration and contract: `arch/x86/include/asm/kexec-purgatory.h`.
///
/// # Safety
///
/// As for [`LoadingImage::from_raw_mut`].
#[export]
unsafe extern "C" fn kexec_purgatory_place(
    image: *mut RawImage,
    entry: usize,
    boot_params: usize,
) -> c_int {
    // SAFETY: By the safety requirements of this function.
    let image = unsafe { LoadingImage::from_raw_mut(image) };

    from_result(|| {
        place(image, entry as u64, boot_params as u64)
            .inspect_err(|refusal| pr_err!("cannot place the purgatory: {refusal}\n"))?;
        Ok(0)
    })
}

/// C declaration and contract: `arch/x86/include/asm/kexec-purgatory.h`.
///
/// # Safety
///
/// As for [`LoadingImage::from_raw_mut`].
#[export]
unsafe extern "C" fn kexec_purgatory_seal(image: *mut RawImage) -> c_int {
    // SAFETY: By the safety requirements of this function.
    let image = unsafe { LoadingImage::from_raw_mut(image) };

    from_result(|| {
        seal(image).inspect_err(|refusal| pr_err!("cannot record the digests: {refusal}\n"))?;
        Ok(0)
    })
}

/// C declaration and contract: `arch/x86/include/asm/kexec-loader.h`.
///
/// # Safety
///
/// As for [`CrashImage::from_raw_mut`]; `elfcorehdr` must be valid for reads of `size` bytes, and
/// `size` must not be 0.
#[export]
unsafe extern "C" fn kexec_purgatory_reseal(
    image: *mut RawImage,
    elfcorehdr: *const c_void,
    size: usize,
) -> c_int {
    // SAFETY: By the safety requirements of this function.
    let (image, elfcorehdr) = unsafe {
        (
            CrashImage::from_raw_mut(image),
            core::slice::from_raw_parts(elfcorehdr.cast(), size),
        )
    };

    from_result(|| {
        hotplug::reseal(image, elfcorehdr)
            .inspect_err(|refusal| pr_err!("cannot verify the new ELF core header: {refusal}\n"))?;
        Ok(0)
    })
}

/// C declaration and contract: `arch/x86/include/asm/kexec-loader.h`.
///
/// # Safety
///
/// Any call is sound. The C declaration makes it an unsafe function.
#[export]
unsafe extern "C" fn kexec_purgatory_decision(decision: u8) -> *const c_char {
    Decision::from_raw(decision)
        .map_or(c"none", Decision::as_c_str)
        .as_char_ptr()
}

/// C declaration and contract: `arch/x86/include/asm/kexec-loader.h`.
///
/// # Safety
///
/// Any call is sound. The C declaration makes it an unsafe function.
#[export]
unsafe extern "C" fn kexec_purgatory_policy() -> *const c_char {
    let normal = kexec::Circumstances {
        crash: false,
        kho: kexec::handover_is_on(),
        all_cma: false,
        state: kexec::current_state(),
    };

    kexec::decide(normal, || None).as_c_str().as_char_ptr()
}

fn place(image: &mut LoadingImage, entry: u64, boot_params: u64) -> Result<(), Refusal> {
    // A policy sees which segment holds them.
    image.set_boot_params(boot_params);
    let decision = kexec::decide(image.circumstances(), || kexec::ask_policy(image));

    let machine = Machine::current();
    image.leave_kernel_tail();
    image.set_no_io(machine.no_io);
    if !decision.is_verified() {
        image.set_handoff(decision, entry, boot_params);
        return Ok(());
    }

    let mut purgatory = Purgatory::new(kexec::purgatory())?;
    let params = purgatory.params_mut()?;
    params.entry = entry;
    params.boot_params = boot_params;

    let (offset, mem_size) = (purgatory.entry(), purgatory.mem_size());
    let start = image.add_purgatory(purgatory.into_bytes(), mem_size, MIN_PURGATORY_ADDR)?;
    let handoff = Handoff::new(machine.console_port, machine.no_io);
    image.set_handoff(decision, start + offset, handoff.into_raw());
    Ok(())
}

fn seal(image: &mut LoadingImage) -> Result<(), Refusal> {
    let decision = image.decision().ok_or(EINVAL)?;
    let kind = if image.is_crash() { "crash" } else { "normal" };

    let machine = Machine::current();
    let place = handoff_record::link(image);
    let mut facts = handoff_record::load_facts(image, decision, &machine);

    regions::record(image, place.as_ref().map(|place| place.offset));
    if decision.is_verified() {
        let address = place.as_ref().map(|place| place.address);
        let sealed = params::seal(image, machine, kexec::debug_requested(), address)?;
        pr_info!(
            "{kind} image: {} regions, {} bytes to verify, engine {}\n",
            sealed.regions,
            sealed.bytes,
            sealed.engine.name()
        );
        image.set_verification(sealed.engine.c_name(), sealed.regions, sealed.bytes);
        regions::record_purgatory(image);
        facts.engine = record::text(sealed.engine.name());
        facts.regions = sealed.regions as u32;
        facts.bytes = sealed.bytes as u64;
    }
    if let Some(place) = place {
        handoff_record::fill(image, &place, facts)?;
    }
    pr_info!("{kind} image: {}\n", image.decision_text());
    Ok(())
}
