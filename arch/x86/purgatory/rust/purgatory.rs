// SPDX-License-Identifier: GPL-2.0-only

//! The purgatory: verifies the next kernel between two kernels.
//!
//! `relocate_kernel` of the previous kernel enters it when every segment is in its place. It
//! computes a digest of every region that the loader recorded, and enters the next kernel only if
//! each is what it was when the image was loaded.

#![no_std]

mod console;
mod cpu;
mod entry;
mod stop;

use console::Console;
use core::ptr;
use purgatory_digest::{
    abi::{
        self,
        EngineKind,
        Header,
        Params,
        Region,
        RegionKind,
        Reset, //
    },
    check::{
        self,
        Checked, //
    },
    region_digest,
    sha256, //
};

/// Verifies the image. Returns only if the next kernel is to be entered.
///
/// # Safety
///
/// For `entry.rs` only: `header` must be the start of this program and `params` its parameters,
/// which the loader must have filled; all regions must be mapped one to one.
#[unsafe(no_mangle)]
unsafe extern "C" fn purgatory_main(
    header: *const Header,
    panic_timeout: i32,
    params: *const Params,
) {
    let start = cpu::cycles();
    // SAFETY: By the safety requirements of this function; nothing writes to them.
    let params = unsafe { &*params };
    let code = ptr::from_ref(params).addr() - header.addr();
    // SAFETY: The linker script puts the parameters behind code and constants of this program, and
    // the header before these.
    let own_digest = unsafe { sha256(header.cast(), code) };
    let params_digest = params_digest(params);

    // SAFETY: Until the parameters are checked this may be a console that does not exist. Writing
    // to it is the best that can be done about bad parameters.
    let console = unsafe { Console::new(params) };
    let extent = header.addr() as u64;
    // SAFETY: The header is constant.
    let extent = extent..extent + u64::from(unsafe { (*header).mem_size });

    let checked = match check::check(params, extent, &own_digest, &params_digest) {
        Ok(checked) => checked,
        Err(fault) => {
            console
                .str("purgatory: not entering the next kernel: ")
                .str(fault.describe())
                .str("\n");
            // The parameters are not to be trusted, so neither is what they say about the machine.
            stop::stop(console, panic_timeout, &Reset::default(), 0)
        }
    };

    if !verify(console, &checked) {
        stop::stop(console, panic_timeout, &params.reset, params.tsc_khz);
    }
    if params.flags & abi::FLAG_DEBUG != 0 {
        report(console, &checked, cpu::cycles().wrapping_sub(start));
    }
}

/// Computes the digest of a region, see [`Header::digest`].
///
/// # Safety
///
/// `out` must be valid for writes; the rest as for [`region_digest`].
#[unsafe(no_mangle)]
unsafe extern "C" fn purgatory_region_digest(
    engine: u32,
    start: *const u8,
    len: usize,
    out: *mut abi::Digest,
) {
    if let Some(engine) = EngineKind::from_raw(engine) {
        // SAFETY: By the safety requirements of this function.
        unsafe { out.write(region_digest(engine, start, len)) };
    }
}

/// The digest of the parameters as [`Params::params_digest`] defines it.
fn params_digest(params: &Params) -> abi::Digest {
    let mut copy = *params;

    copy.params_digest = [0; abi::DIGEST_SIZE];
    // SAFETY: `copy` is an initialized value without padding.
    unsafe { sha256(ptr::from_ref(&copy).cast(), size_of::<Params>()) }
}

/// Whether every region has the digest that it must have.
fn verify(console: Console, checked: &Checked<'_>) -> bool {
    // SAFETY: The loader chose the engine by what CPUID says, and `check()` held the bits against
    // the engine.
    let states = unsafe { cpu::ExtendedStates::enable(checked.engine.xcr0()) };
    let mut sound = true;

    for region in checked.regions {
        // SAFETY: The region is mapped, and nothing else runs. The loader chose an engine that this
        // CPU supports; `entry.rs` and `states` made the CPU ready for it.
        let found = unsafe {
            region_digest(
                checked.engine,
                ptr::with_exposed_provenance(region.start as usize),
                region.len as usize,
            )
        };

        if found != region.digest {
            sound = false;
            report_mismatch(console, region, &found);
        }
    }

    drop(states);
    sound
}

fn report_mismatch(console: Console, region: &Region, found: &abi::Digest) {
    let kind = RegionKind::from_raw(region.kind).unwrap_or(RegionKind::Segment);

    console
        .str("purgatory: MISMATCH in ")
        .str(kind.name())
        .str(" 0x")
        .hex(region.start)
        .str("-0x")
        .hex(region.start.wrapping_add(region.len).wrapping_sub(1))
        .str(": expected ")
        .hex_bytes(shortened(&region.digest))
        .str(", found ")
        .hex_bytes(shortened(found))
        .str("\n");
}

fn report(console: Console, checked: &Checked<'_>, cycles: u64) {
    let bytes = checked.regions.iter().map(|region| region.len).sum();

    console
        .str("purgatory: verified ")
        .dec(checked.regions.len() as u64)
        .str(" regions, ")
        .dec(bytes)
        .str(" bytes, engine ")
        .str(checked.engine.name())
        .str(", ")
        .dec(cycles)
        .str(" cycles\n");
}

/// As much of a digest as tells two of them apart in a message.
fn shortened(digest: &abi::Digest) -> &[u8] {
    digest.first_chunk::<8>().map_or(digest, |chunk| chunk)
}
