// SPDX-License-Identifier: GPL-2.0-only

//! Privileged instructions.

use core::arch::{
    asm,
    x86_64::_rdtsc, //
};

/// `CR4`: enables `XGETBV`, `XSETBV` and the states in `XCR0`.
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

macro_rules! port_writer {
    ($name:ident, $type:ty, $instruction:literal, $register:tt) => {
        /// Writes an I/O port.
        ///
        /// # Safety
        ///
        /// Writing `value` to `port` must have no effect on memory that this program uses.
        pub(crate) unsafe fn $name(port: u16, value: $type) {
            // SAFETY: By the safety requirements of this function.
            unsafe {
                asm!(
                    $instruction,
                    in("dx") port,
                    in($register) value,
                    options(att_syntax, nomem, nostack, preserves_flags),
                )
            };
        }
    };
}

port_writer!(outb, u8, "outb %al, %dx", "al");
port_writer!(outl, u32, "outl %eax, %dx", "eax");

/// An empty IDT, loaded while this value lives: any exception or NMI resets the CPU.
pub(crate) struct EmptyIdt {
    previous: IdtPointer,
}

/// What `SIDT` stores and `LIDT` loads: a limit and a base, ten bytes.
type IdtPointer = [u16; 5];

impl EmptyIdt {
    /// Replaces the IDT that is in force.
    ///
    /// # Safety
    ///
    /// Nothing may rely on the handlers of that IDT while this value lives. That IDT must be empty,
    /// or its handlers must be able to run when the value is dropped.
    pub(crate) unsafe fn load() -> EmptyIdt {
        EmptyIdt {
            // SAFETY: The table is empty. By the safety requirements of this function, nothing
            // relies on the handlers of the other one.
            previous: unsafe { replace_idt(&[0; 5]) },
        }
    }
}

impl Drop for EmptyIdt {
    fn drop(&mut self) {
        // SAFETY: By the safety requirements of `load()`, this table is as good as before.
        unsafe { replace_idt(&self.previous) };
    }
}

/// Loads an IDT. Returns the one that was in force.
///
/// # Safety
///
/// `idt` must name a table that is empty, or whose handlers can run.
unsafe fn replace_idt(idt: &IdtPointer) -> IdtPointer {
    let mut previous: IdtPointer = [0; 5];

    // SAFETY: The CPU writes ten bytes to one array and reads ten from the other. The caller
    // vouches for the table.
    unsafe {
        asm!(
            "sidt ({})",
            "lidt ({})",
            in(reg) previous.as_mut_ptr(),
            in(reg) idt.as_ptr(),
            options(att_syntax, nostack, preserves_flags),
        )
    };
    previous
}

/// Resets the CPU by a triple fault. In a guest, this ends the guest.
pub(crate) fn triple_fault() -> ! {
    // SAFETY: The table is empty: there is no handler for `int3`, nor for the exceptions that
    // follow from it.
    unsafe {
        replace_idt(&[0; 5]);
        asm!("int3", options(nomem, nostack));
    }
    halt()
}

/// Reads the time stamp counter. Only for a machine where I/O is possible: elsewhere the read may
/// raise an exception, as I/O does.
pub(crate) fn cycles() -> u64 {
    // SAFETY: Every CPU with 64-bit mode has it, and `CR4.TSD` has no effect in ring 0.
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

/// States beyond SSE, enabled in `XCR0` while this value lives.
///
/// # Invariants
///
/// - `CR4` differs from `cr4` in OSXSAVE at most, which is set. `cr4` is what it held before.
/// - `xcr0` is what `XCR0` held before, or `None` if it was not written.
pub(crate) struct ExtendedStates {
    cr4: u64,
    xcr0: Option<u64>,
}

impl ExtendedStates {
    /// Enables the states in `bits`. Returns `None` if `bits` is 0.
    ///
    /// # Safety
    ///
    /// The CPU must allow these bits in `XCR0` (CPUID leaf 0xd), unless there are none. No other
    /// value of this type may exist.
    pub(crate) unsafe fn enable(bits: u64) -> Option<ExtendedStates> {
        if bits == 0 {
            return None;
        }

        let cr4: u64;
        let (low, high): (u32, u32);

        // SAFETY: A CPU with states to enable has `CR4.OSXSAVE`, and register 0, which is `XCR0`,
        // once that is set. No other bit of `CR4` changes. The caller vouches for the bits that are
        // added to those in force.
        let xcr0 = unsafe {
            asm!(
                "movq %cr4, %rax",
                "movq %rax, {cr4}",
                "orq ${osxsave}, %rax",
                "movq %rax, %cr4",
                "xgetbv",
                cr4 = out(reg) cr4,
                osxsave = const CR4_OSXSAVE,
                in("ecx") 0,
                out("eax") low,
                out("edx") high,
                options(att_syntax, nostack),
            );

            let xcr0 = u64::from(high) << 32 | u64::from(low);
            let lacks = xcr0 & bits != bits;
            if lacks {
                write_xcr0(xcr0 | bits);
            }
            lacks.then_some(xcr0)
        };

        // INVARIANT: OSXSAVE was set above. Only this type writes `CR4`, and there is no other
        // value of it.
        Some(ExtendedStates { cr4, xcr0 })
    }
}

impl Drop for ExtendedStates {
    fn drop(&mut self) {
        // SAFETY: By the type invariants, OSXSAVE is set, the registers held both values before, if
        // there are two, and no other bit of `CR4` changes.
        unsafe {
            if let Some(xcr0) = self.xcr0 {
                write_xcr0(xcr0);
            }
            asm!("movq {}, %cr4", in(reg) self.cr4, options(att_syntax, nostack));
        }
    }
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
