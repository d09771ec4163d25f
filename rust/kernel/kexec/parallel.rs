// SPDX-License-Identifier: GPL-2.0-only

//! Work on several CPUs.

use crate::{
    bindings,
    prelude::*, //
};

/// Number of parts into which work for [`run_on_cpus`] is best split: the online CPUs, but no more
/// than it takes.
pub fn cpu_count() -> usize {
    // SAFETY: The function has no preconditions.
    unsafe { bindings::kexec_purgatory_run_cpus() as usize }
}

/// Lets another task run on this CPU, if one waits for it. May sleep.
pub fn cond_resched() {
    // SAFETY: The function has no preconditions for memory safety.
    unsafe { bindings::cond_resched() };
}

/// The data of one [`run_on_cpus`].
struct Run<T, F> {
    parts: *mut T,
    call: F,
}

/// Calls `call` once with each of `parts`, in parallel if there are enough CPUs. Returns when all
/// calls have returned.
///
/// # Errors
///
/// `EINVAL` if there are more than `KEXEC_PURGATORY_CPUS` parts, the most that [`cpu_count`]
/// returns. `call` is not called then.
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
/// `run` must point to a `Run<T, F>` whose maker borrows the parts mutably. `number` must be the
/// index of a part, and no other call may have the same number.
unsafe extern "C" fn run_part<T: Send, F: Fn(&mut T) + Sync>(run: *mut c_void, number: c_uint) {
    // SAFETY: By the safety requirements. `F` may be shared between CPUs.
    let run = unsafe { &*run.cast::<Run<T, F>>() };
    // SAFETY: By the safety requirements. `T` may be sent to this CPU.
    let part = unsafe { &mut *run.parts.add(number as usize) };

    (run.call)(part);
}
