// SPDX-License-Identifier: GPL-2.0-only

//! Privileged instructions.

use core::arch::{
    asm,
    x86_64::_rdtsc, //
};

/// `CR4`: `XGETBV`, `XSETBV` and the states that they enable can be used.
const CR4_OSXSAVE: u64 = 1 << 18;

/// Reads an I/O port.
///
/// # Safety
///
/// Reading `port` must have no effect on memory.
pub(crate) unsafe fn inb(port: u16) -> u8 {
    let byte;

    // SAFETY: By the safety requirements of this function.
    unsafe {
        asm!(
            "inb %dx, %al",
            in("dx") port,
            out("al") byte,
            options(att_syntax, nomem, nostack, preserves_flags),
        )
    };
    byte
}

/// Writes an I/O port.
///
/// # Safety
///
/// Writing `byte` to `port` must have no effect on memory that this program uses.
pub(crate) unsafe fn outb(port: u16, byte: u8) {
    // SAFETY: By the safety requirements of this function.
    unsafe {
        asm!(
            "outb %al, %dx",
            in("dx") port,
            in("al") byte,
            options(att_syntax, nomem, nostack, preserves_flags),
        )
    };
}

/// Writes an I/O port.
///
/// # Safety
///
/// As for [`outb`].
pub(crate) unsafe fn outl(port: u16, value: u32) {
    // SAFETY: By the safety requirements of this function.
    unsafe {
        asm!(
            "outl %eax, %dx",
            in("dx") port,
            in("eax") value,
            options(att_syntax, nomem, nostack, preserves_flags),
        )
    };
}

/// Has every exception and NMI from now on reset the CPU.
///
/// # Safety
///
/// Nothing may be expected of the IDT any more.
pub(crate) unsafe fn drop_idt() {
    let no_idt = [0u16; 5];

    // SAFETY: The CPU reads ten bytes, a limit and a base, both 0.
    unsafe { asm!("lidt ({})", in(reg) no_idt.as_ptr(), options(att_syntax, nostack)) };
}

/// Resets the CPU by an exception that nobody handles.
///
/// # Safety
///
/// As for [`drop_idt`].
pub(crate) unsafe fn triple_fault() {
    // SAFETY: By the safety requirements of this function.
    unsafe { drop_idt() };
    // SAFETY: There is no handler that would run.
    unsafe { asm!("int3", options(nostack)) };
}

/// Cycles of the time stamp counter.
pub(crate) fn cycles() -> u64 {
    // SAFETY: Every CPU with 64-bit mode has it, and `CR4.TSD` does not matter in ring 0.
    unsafe { _rdtsc() }
}

/// Stops this CPU.
pub(crate) fn halt() -> ! {
    loop {
        // SAFETY: Stops the CPU. An NMI goes to a handler of `relocate_kernel`, which prints and
        // halts, or resets the CPU if there is no IDT.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// States beyond SSE, enabled in `XCR0` for as long as this value lives.
pub(crate) struct ExtendedStates {
    cr4: u64,
    xcr0: u64,
}

impl ExtendedStates {
    /// Enables the states in `bits`; none if it is 0.
    ///
    /// # Safety
    ///
    /// The CPU must allow these bits in `XCR0` (CPUID leaf 0xd), unless there are none.
    pub(crate) unsafe fn enable(bits: u64) -> Option<ExtendedStates> {
        if bits == 0 {
            return None;
        }

        let cr4 = read_cr4();
        // SAFETY: A CPU with states to enable has `CR4.OSXSAVE`. All else stays as it is.
        unsafe { write_cr4(cr4 | CR4_OSXSAVE) };
        let xcr0 = read_xcr0();
        if xcr0 & bits != bits {
            // SAFETY: `CR4.OSXSAVE` is set, and the caller vouches for the bits.
            unsafe { write_xcr0(xcr0 | bits) };
        }
        Some(ExtendedStates { cr4, xcr0 })
    }
}

impl Drop for ExtendedStates {
    fn drop(&mut self) {
        if read_xcr0() != self.xcr0 {
            // SAFETY: `CR4.OSXSAVE` is set, and this is the value that was found.
            unsafe { write_xcr0(self.xcr0) };
        }
        // SAFETY: This is the value that was found.
        unsafe { write_cr4(self.cr4) };
    }
}

fn read_cr4() -> u64 {
    let cr4;

    // SAFETY: Reads a register; this program runs in ring 0.
    unsafe {
        asm!("movq %cr4, {}", out(reg) cr4, options(att_syntax, nomem, nostack, preserves_flags))
    };
    cr4
}

/// # Safety
///
/// The CPU must accept the value, and paging must stay as it is.
unsafe fn write_cr4(cr4: u64) {
    // SAFETY: By the safety requirements of this function.
    unsafe { asm!("movq {}, %cr4", in(reg) cr4, options(att_syntax, nostack, preserves_flags)) };
}

/// `CR4.OSXSAVE` must be set.
fn read_xcr0() -> u64 {
    let (low, high): (u32, u32);

    // SAFETY: `ExtendedStates`, the only user, has set `CR4.OSXSAVE`.
    unsafe {
        asm!(
            "xgetbv",
            in("ecx") 0,
            out("eax") low,
            out("edx") high,
            options(nomem, nostack, preserves_flags),
        )
    };
    u64::from(high) << 32 | u64::from(low)
}

/// # Safety
///
/// `CR4.OSXSAVE` must be set, and the CPU must accept the value.
unsafe fn write_xcr0(xcr0: u64) {
    // SAFETY: By the safety requirements of this function.
    unsafe {
        asm!(
            "xsetbv",
            in("ecx") 0,
            in("eax") xcr0 as u32,
            in("edx") (xcr0 >> 32) as u32,
            options(nostack, preserves_flags),
        )
    };
}
