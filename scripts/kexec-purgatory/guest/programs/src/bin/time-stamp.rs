// SPDX-License-Identifier: GPL-2.0-only

//! Prints the time stamp counter, which keeps counting from one kernel to the next.

use std::arch::x86_64::_rdtsc;

fn main() {
    // SAFETY: Every 64-bit processor has the instruction, and Linux lets user space have it.
    println!("{}", unsafe { _rdtsc() });
}
