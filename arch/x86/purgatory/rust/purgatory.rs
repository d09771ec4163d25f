// SPDX-License-Identifier: GPL-2.0-only

//! The purgatory: verifies the next kernel between two kernels.
//!
//! `relocate_kernel` of the previous kernel enters the purgatory when every segment is in place.
//! The purgatory computes the digest of every region that the loader recorded, and enters the next
//! kernel only if each digest is the one recorded when the image was loaded.

#![no_std]

mod console;
mod cpu;
mod entry;
mod fallback;
mod stop;

use console::Console;
use core::{
    mem::{
        self,
        MaybeUninit, //
    },
    ptr,
    slice, //
};
use cpu::EmptyIdt;
use fallback::Fallback;
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
    record::{
        self,
        Record, //
    },
    region_digests,
    sha256, //
};

/// What to enter: the next kernel if the image is sound, or the purgatory of the crash image.
#[repr(C)]
struct Next {
    /// `%rsi` at the entry point: the physical address of the next kernel's `struct boot_params`,
    /// or a [`Handoff`] for the purgatory. Returned in `%rax`.
    rsi: u64,
    /// Physical address of the entry point. Returned in `%rdx`.
    entry: u64,
}

/// Verifies the image. Returns what to enter: the next kernel, or after a mismatch the crash image.
/// If neither can be entered, stops or resets the machine and does not return.
///
/// # Safety
///
/// For `entry.rs` only: `header` must be the start of this program and `params` its parameters,
/// which the loader must have filled; `handoff`, `left` and `crash_entry` must be what
/// `relocate_kernel` left in `%rsi`, `%rdx` and `%rcx`; `own_entry` must be the first instruction
/// of this program. The page tables must be those that `init_pgtable()` of
/// `arch/x86/kernel/machine_kexec_64.c` made for this image, or for the normal image whose
/// purgatory has entered this one.
#[unsafe(no_mangle)]
unsafe extern "C" fn purgatory_main(
    header: *const Header,
    handoff: u64,
    params: *const Params,
    left: u64,
    crash_entry: u64,
    own_entry: u64,
) -> Next {
    let handoff = Handoff::from_raw(handoff);
    let entered = cycles(handoff);
    let no_handlers = handoff.ends_machine().then(|| {
        // SAFETY: This program handles no exceptions. `relocate_kernel` has handlers that print the
        // registers and halt, also for an NMI. Nothing relies on them: `panic=` asked for a reset
        // instead of a halt, and in a guest without I/O the handlers would raise further
        // exceptions. They stay in the control page, which is mapped.
        unsafe { EmptyIdt::load() }
    });

    let code = params.addr() - header.addr();
    let start = header.addr() as u64;
    // SAFETY: By the safety requirements of this function.
    let mut params = unsafe { read_once(params) };
    // SAFETY: The linker script puts the parameters after the code and constants of this program,
    // and the header before these. The bytes from the header up to the parameters are initialized,
    // and never written.
    let (own, mem_size) = unsafe {
        (
            slice::from_raw_parts(header.cast(), code),
            (*header).mem_size,
        )
    };
    let own_digest = sha256(own);
    let params_digest = params_digest(&mut params);

    // SAFETY: By the safety requirements of this function, the register holds what the previous
    // kernel knew of its console.
    let mut console = unsafe { Console::port(handoff.console_port()) };
    let extent = start..start + u64::from(mem_size);
    // SAFETY: By the safety requirements of this function, `crash_entry` is what the previous
    // kernel passed: `kexec_mismatch_entry` of `arch/x86/kexec/images.c`, which is 0 or
    // `kimage::start` of a crash image that is verified, so that this is the entry point of its
    // purgatory. That kernel loaded both purgatories, from one file. `init_pgtable()` maps the
    // memory that is reserved for crash images, as it does all memory in `pfn_mapped`. The other
    // arguments are about this program.
    let fallback =
        unsafe { Fallback::new(handoff, crash_entry, own_entry, start, code, own_digest) };

    let checked = match check::check(&params, extent, &own_digest, &params_digest) {
        Ok(checked) => checked,
        Err(fault) => {
            console
                .str("purgatory: not entering the next kernel: ")
                .str(fault.describe())
                .str("\n");
            if let Some(next) = fallback.next(&mut console, record::MISMATCH_PURGATORY) {
                return next;
            }
            // The reset register and the frequency in the parameters are not used: the parameters
            // may be damaged.
            stop::stop(&mut console, handoff, &Reset::default(), 0)
        }
    };

    if matches!(console, Console::None) {
        // SAFETY: The loader filled the parameters. The address is that of the console that the
        // previous kernel used.
        console = unsafe { Console::mmio32(params.console_mmio32) };
    }
    // SAFETY: `checked` is about parameters of the loader, which took the regions from the segments
    // of the image. The page tables are as this function requires. There are no other extended
    // states.
    if let Some(damaged) = unsafe { verify(&mut console, &checked) } {
        let damaged = u64::from(damaged.kind) + 1;

        if let Some(next) = fallback.next(&mut console, damaged) {
            return next;
        }
        stop::stop(&mut console, handoff, &params.reset, params.tsc_khz);
    }

    let verified = cycles(handoff);
    if params.flags & abi::FLAG_DEBUG != 0 {
        let cycles = verified.unwrap_or(0).wrapping_sub(entered.unwrap_or(0));

        report(&mut console, &checked, cycles);
    }
    if let Some(record) = checked.record() {
        let record: *mut Record = ptr::with_exposed_provenance_mut(record as usize);
        // SAFETY: By the invariants of `Checked`, the address is aligned and nothing else that this
        // program uses lies there. The loader reserved the record after `boot_params`, in the same
        // segment, which is mapped. The fields of the record are integers, of which every bit
        // pattern is a value.
        let record = unsafe { &mut *record };

        record.left = (left != 0).then_some(left).into();
        record.entered = entered.into();
        record.verified = verified.into();
        record.mismatch = handoff.mismatch().into();
        record.handed_off = cycles(handoff).into();
    }
    drop(no_handlers);
    Next {
        rsi: params.boot_params,
        entry: params.entry,
    }
}

/// The time stamp counter; `None` where a hypervisor may intercept the read and nothing handles the
/// exception that this raises, as in a guest with SEV-ES.
fn cycles(handoff: Handoff) -> Option<u64> {
    (!handoff.no_io()).then(cpu::cycles)
}

/// Copies the parameters and reads each byte once. The copy is checked and then used, so that a
/// later write to the memory of the parameters has no effect.
///
/// # Safety
///
/// `params` must be aligned and valid for reads.
unsafe fn read_once(params: *const Params) -> Params {
    let mut copy = MaybeUninit::<Params>::uninit();
    let (from, to) = (params.cast::<u64>(), copy.as_mut_ptr().cast::<u64>());

    // SAFETY: `i` is within both structures, which are aligned to words. A volatile read is not
    // repeated. Every word is written, as `abi.rs` asserts that the size is a multiple of a word's.
    // The fields are integers, of which every bit pattern is a value.
    unsafe {
        for i in 0..size_of::<Params>() / size_of::<u64>() {
            to.add(i).write(from.add(i).read_volatile());
        }
        copy.assume_init()
    }
}

/// The digest of the parameters as [`Params::params_digest`] defines it.
fn params_digest(params: &mut Params) -> abi::Digest {
    let recorded = mem::take(&mut params.params_digest);
    // SAFETY: `params` is an initialized value without padding, and `bytes` is not used after the
    // next statement, before `params` is written.
    let bytes = unsafe { slice::from_raw_parts(ptr::from_ref(params).cast(), size_of::<Params>()) };
    let found = sha256(bytes);

    params.params_digest = recorded;
    found
}

/// Verifies all regions, and prints each mismatch. Returns the first region whose digest is not the
/// recorded one, if there is one.
///
/// # Safety
///
/// - Each region must lie in a segment of the image that is being entered. The page tables must be
///   those that `init_pgtable()` made for this image or, for a crash image, those that it made for
///   the normal image whose purgatory has entered this one.
/// - No [`cpu::ExtendedStates`] may exist.
unsafe fn verify<'a>(console: &mut Console, checked: &Checked<'a>) -> Option<&'a Region> {
    // SAFETY: The loader chose an engine whose bits the CPU allows according to CPUID, and
    // `check()` compared the bits in the parameters with those of the engine. By the safety
    // requirements of this function, this is the only value.
    let states = unsafe { cpu::ExtendedStates::enable(checked.engine().xcr0()) };
    let mut found = [[0; DIGEST_SIZE]; REGIONS_MAX];
    let mut damaged = None;

    // SAFETY:
    // - By the invariants of `Checked`, no region begins at address 0, each ends below 2^52, so
    //   that its length is less than `isize::MAX`, and lies apart from this program.
    // - `init_pgtable()` maps every segment of its image one to one, `kexec_segment::memsz` bytes
    //   from `kexec_segment::mem`, and all memory in `pfn_mapped`, in which the segments of a crash
    //   image lie. The loader refuses an image with a region that is longer than the `memsz` of
    //   its segment. So every byte of a region is mapped.
    // - Memory is initialized to whatever it holds. This CPU is the only one that runs, and this
    //   program writes to its own memory only. A device that still writes to a region changes the
    //   digest, and cannot make the engines access other memory.
    // - The loader chose an engine that this CPU supports; `entry.rs` and `states` made the CPU
    //   ready for it.
    unsafe { region_digests(checked.engine(), checked.regions(), &mut found) };

    for (region, found) in checked.regions().iter().zip(&found) {
        if *found != region.digest {
            damaged = damaged.or(Some(region));
            report_mismatch(console, region, found);
        }
    }

    drop(states);
    damaged
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

/// The first 8 bytes of a digest, which suffice to tell two digests apart in a message.
fn shortened(digest: &abi::Digest) -> &[u8] {
    digest.first_chunk::<8>().map_or(digest, |chunk| chunk)
}
