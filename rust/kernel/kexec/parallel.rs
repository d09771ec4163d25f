// SPDX-License-Identifier: GPL-2.0-only

//! Work on several CPUs.

use crate::{
    bindings,
    prelude::*, //
};

/// The most parts that [`run_on_cpus`] takes, at least 1.
pub fn cpu_count() -> usize {
    // SAFETY: The function has no preconditions.
    unsafe { bindings::kexec_purgatory_run_cpus() as usize }
}

/// Lets another task have the CPU, if one waits for it. May sleep.
pub fn cond_resched() {
    // SAFETY: The callers may sleep.
    unsafe { bindings::cond_resched() };
}

/// The data of one [`run_on_cpus`].
struct Run<T, F> {
    parts: *mut T,
    call: F,
}

/// Calls `call` with each of `parts`, at once if there are as many CPUs. Returns when all calls
/// have returned.
///
/// # Errors
///
/// `EINVAL` if there are more parts than [`cpu_count`] ever returns: nothing is called.
pub fn run_on_cpus<T: Send, F: Fn(&mut T) + Sync>(parts: &mut [T], call: F) -> Result {
    if parts.len() > bindings::KEXEC_PURGATORY_CPUS as usize {
        return Err(EINVAL);
    }

    let count = parts.len() as c_uint;
    let mut run = Run {
        parts: parts.as_mut_ptr(),
        call,
    };

    // SAFETY: `run_part` takes this `run`, which lives until the function returns, and numbers
    // below `count`, each once.
    unsafe { bindings::kexec_purgatory_run(Some(run_part::<T, F>), (&raw mut run).cast(), count) };
    Ok(())
}

/// # Safety
///
/// `run` must be a `Run<T, F>` whose parts are borrowed mutably by its maker, `number` must be one
/// of them, and no other call may have that.
unsafe extern "C" fn run_part<T: Send, F: Fn(&mut T) + Sync>(run: *mut c_void, number: c_uint) {
    // SAFETY: By the safety requirements. `F` may be shared between CPUs.
    let run = unsafe { &*run.cast::<Run<T, F>>() };
    // SAFETY: By the safety requirements. `T` may be sent to this CPU.
    let part = unsafe { &mut *run.parts.add(number as usize) };

    (run.call)(part);
}
