// SPDX-License-Identifier: GPL-2.0-only

//! Images that `kexec_file_load()` loads.
//!
//! Abstractions for the loader of a purgatory: the image being loaded as a list of segments, with
//! functions to add a segment and to set the entry point; images that are loaded; the decision
//! whether an image is verified; and what can be used of the machine between two kernels.
//!
//! C header: [`include/linux/kexec.h`](srctree/include/linux/kexec.h)

use crate::bindings;

mod crash;
mod decision;
mod image;
mod loaded;
mod machine;
mod parallel;
mod policy;

pub use crash::CrashImage;
pub use decision::{
    current_state,
    decide,
    Circumstances,
    Decision,
    Spared,
    State, //
};
pub use image::{
    LoadingImage,
    RawImage,
    Role,
    Segment,
    SEGMENT_MAX, //
};
pub use loaded::{
    pin_ends,
    read_physical,
    Kind,
    LoadedImage,
    PinnedImage,
    Region, //
};
pub use machine::{
    has_xfeatures,
    release,
    CpuFeature,
    Machine,
    ResetRegister, //
};
pub use parallel::{
    cond_resched,
    cpu_count,
    run_on_cpus, //
};
pub use policy::ask_policy;
#[cfg(CONFIG_KEXEC_PURGATORY_VERIFY = "m")]
pub use policy::{
    Policy,
    Registration, //
};

/// Whether `KEXEC_FILE_DEBUG` was given for the image that was loaded last, or is being loaded.
pub fn debug_requested() -> bool {
    // SAFETY: The variable is always valid for reads. A load may write it meanwhile. It is one
    // byte, so that this reads the old or the new value, and each is 0 or 1.
    unsafe { (&raw const bindings::kexec_file_dbg_print).read_volatile() }
}

/// Whether kexec handover (KHO) is on. If it is, the destinations of normal images lie in KHO
/// scratch memory, which this kernel only uses for movable pages.
pub fn handover_is_on() -> bool {
    // SAFETY: `kho_is_enabled` has no preconditions.
    unsafe { bindings::kho_is_enabled() }
}

/// The purgatory as it was linked, see `arch/x86/purgatory/rust/abi.rs`.
pub fn purgatory() -> &'static [u8] {
    let start = (&raw const bindings::kexec_purgatory_start).cast::<u8>();
    let end = (&raw const bindings::kexec_purgatory_end).cast::<u8>();
    let len = end.addr() - start.addr();

    // SAFETY: The two symbols enclose the bytes that `arch/x86/purgatory/rust/purgatory_bin.S`
    // includes, which are constant and live as long as the kernel.
    unsafe { core::slice::from_raw_parts(start, len) }
}
