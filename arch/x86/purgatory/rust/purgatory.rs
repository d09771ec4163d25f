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
use core::{
    mem::{
        self,
        MaybeUninit, //
    },
    ptr, //
};
use cpu::EmptyIdt;
use purgatory_digest::{
    abi::{
        self,
        Handoff,
        Header,
        Params,
        Region,
        RegionKind,
        Reset,
        DIGEST_SIZE,
        REGIONS_MAX, //
    },
    check::{
        self,
        Checked, //
    },
    region_digests,
    sha256, //
};

/// Where to go on when the image is sound.
#[repr(C)]
struct Next {
    /// `struct boot_params` of the next kernel, physical address. Returned in `%rax`.
    boot_params: u64,
    /// Its entry point, physical address. Returned in `%rdx`.
    entry: u64,
}

/// Verifies the image. Returns only if the next kernel is to be entered.
///
/// # Safety
///
/// For `entry.rs` only: `header` must be the start of this program and `params` its parameters,
/// which the loader must have filled; `handoff` must be what `relocate_kernel` left in `%rsi`. The
/// page tables must be those that `init_pgtable()` of `arch/x86/kernel/machine_kexec_64.c` made for
/// this image.
#[unsafe(no_mangle)]
unsafe extern "C" fn purgatory_main(
    header: *const Header,
    handoff: u64,
    params: *const Params,
) -> Next {
    let handoff = Handoff::from_raw(handoff);
    let no_handlers = handoff.ends_machine().then(|| {
        // SAFETY: This program handles no exception. `relocate_kernel` of a kernel with
        // CONFIG_KEXEC_DEBUG has handlers that print the registers and halt, an NMI included.
        // `panic=` asked for a reset in place of a halt, and in a guest without I/O they would
        // raise further exceptions.
        unsafe { EmptyIdt::load() }
    });

    let code = params.addr() - header.addr();
    // SAFETY: By the safety requirements of this function.
    let mut params = unsafe { read_once(params) };
    // SAFETY: The linker script puts the parameters behind code and constants of this program, and
    // the header before these.
    let own_digest = unsafe { sha256(header.cast(), code) };
    let params_digest = params_digest(&mut params);

    // SAFETY: By the safety requirements of this function, the register holds what the previous
    // kernel knew of its console.
    let mut console = unsafe { Console::port(handoff.console_port()) };
    let extent = header.addr() as u64;
    // SAFETY: The header is constant.
    let extent = extent..extent + u64::from(unsafe { (*header).mem_size });

    let checked = match check::check(&params, extent, &own_digest, &params_digest) {
        Ok(checked) => checked,
        Err(fault) => {
            console
                .str("purgatory: not entering the next kernel: ")
                .str(fault.describe())
                .str("\n");
            // Nothing that the parameters say of the machine is used.
            stop::stop(&mut console, handoff, &Reset::default(), 0)
        }
    };
    // A hypervisor may intercept RDTSC, and nobody handles what it raises in a guest with SEV-ES.
    // The loader sets the flag only where there is a console, which such a guest does not have.
    let start = (params.flags & abi::FLAG_DEBUG != 0).then(cpu::cycles);

    if matches!(console, Console::None) {
        // SAFETY: The parameters are those that the loader filled. The address is that of the
        // console which the previous kernel used.
        console = unsafe { Console::mmio32(params.console_mmio32) };
    }
    // SAFETY: `checked` is about parameters of the loader, which took the regions from the segments
    // of the image, and by the safety requirements of this function the page tables are those that
    // `init_pgtable()` made for them.
    if !unsafe { verify(&mut console, &checked) } {
        stop::stop(&mut console, handoff, &params.reset, params.tsc_khz);
    }
    if let Some(start) = start {
        report(&mut console, &checked, cpu::cycles().wrapping_sub(start));
    }
    drop(no_handlers);
    Next {
        boot_params: params.boot_params,
        entry: params.entry,
    }
}

/// Copies the parameters and reads each byte once, so that what is checked is what is used,
/// whatever writes to their memory meanwhile.
///
/// # Safety
///
/// `params` must be aligned and valid for reads.
unsafe fn read_once(params: *const Params) -> Params {
    let mut copy = MaybeUninit::<Params>::uninit();
    let (from, to) = (params.cast::<u64>(), copy.as_mut_ptr().cast::<u64>());

    for i in 0..size_of::<Params>() / size_of::<u64>() {
        // SAFETY: `i` is within both structures, which are aligned to words. A volatile read is not
        // repeated.
        unsafe { to.add(i).write(from.add(i).read_volatile()) };
    }
    // SAFETY: Every word was written, as `abi.rs` asserts that the size is a multiple of a word's.
    // The fields are integers, of which every bit pattern is a value.
    unsafe { copy.assume_init() }
}

/// The digest of the parameters as [`Params::params_digest`] defines it.
fn params_digest(params: &mut Params) -> abi::Digest {
    let recorded = mem::take(&mut params.params_digest);
    // SAFETY: `params` is an initialized value without padding.
    let found = unsafe { sha256(ptr::from_ref(params).cast(), size_of::<Params>()) };

    params.params_digest = recorded;
    found
}

/// Whether every region has the digest that it must have.
///
/// # Safety
///
/// Each region must lie in a segment of the image that is being entered, and the page tables must
/// be those that `init_pgtable()` made for this image.
unsafe fn verify(console: &mut Console, checked: &Checked<'_>) -> bool {
    // SAFETY: The loader chose the engine by what CPUID says, and `check()` held the bits against
    // the engine.
    let states = unsafe { cpu::ExtendedStates::enable(checked.engine().xcr0()) };
    let mut found = [[0; DIGEST_SIZE]; REGIONS_MAX];
    let mut sound = true;

    // SAFETY:
    // - By the invariants of `Checked`, no region begins at address 0, each ends below 2^52, so
    //   that its length is less than `isize::MAX`, and lies apart from this program.
    // - `init_pgtable()` maps every segment one to one, `kexec_segment::memsz` bytes from
    //   `kexec_segment::mem`. The loader refuses an image with a region that is longer than the
    //   `memsz` of its segment. So every byte of a region is mapped.
    // - Memory is initialized to whatever it holds. This CPU is the only one that runs, and this
    //   program writes to its own memory only. A device that still writes to a region changes the
    //   digest, and cannot make the engines access other memory.
    // - The loader chose an engine that this CPU supports; `entry.rs` and `states` made the CPU
    //   ready for it.
    unsafe { region_digests(checked.engine(), checked.regions(), &mut found) };

    for (region, found) in checked.regions().iter().zip(&found) {
        if *found != region.digest {
            sound = false;
            report_mismatch(console, region, found);
        }
    }

    drop(states);
    sound
}

fn report_mismatch(console: &mut Console, region: &Region, found: &abi::Digest) {
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

fn report(console: &mut Console, checked: &Checked<'_>, cycles: u64) {
    let bytes = checked.regions().iter().map(|region| region.len).sum();

    console
        .str("purgatory: verified ")
        .dec(checked.regions().len() as u64)
        .str(" regions, ")
        .dec(bytes)
        .str(" bytes, engine ")
        .str(checked.engine().name())
        .str(", ")
        .dec(cycles)
        .str(" cycles\n");
}

/// As much of a digest as tells two of them apart in a message.
fn shortened(digest: &abi::Digest) -> &[u8] {
    digest.first_chunk::<8>().map_or(digest, |chunk| chunk)
}
