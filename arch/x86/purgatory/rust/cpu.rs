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

/// An empty IDT, loaded while this value lives: any exception or NMI resets the CPU.
pub(crate) struct EmptyIdt {
    previous: IdtPointer,
}

/// What `SIDT` stores and `LIDT` loads: a limit and a base, ten bytes.
type IdtPointer = [u16; 5];

impl EmptyIdt {
    /// Loads an empty IDT.
    ///
    /// # Safety
    ///
    /// Nothing may rely on the handlers of the previous IDT while this value lives.
    pub(crate) unsafe fn load() -> EmptyIdt {
        let mut previous: IdtPointer = [0; 5];

        // SAFETY: The CPU writes ten bytes to the array.
        unsafe {
            asm!(
                "sidt ({})",
                in(reg) previous.as_mut_ptr(),
                options(att_syntax, nostack, preserves_flags),
            )
        };
        // SAFETY: The table is empty. By the safety requirements of this function, nothing relies
        // on the handlers.
        unsafe { load_idt(&[0; 5]) };
        EmptyIdt { previous }
    }
}

impl Drop for EmptyIdt {
    fn drop(&mut self) {
        // SAFETY: This is the table that was in force before.
        unsafe { load_idt(&self.previous) };
    }
}

/// # Safety
///
/// `idt` must name a table that is empty, or whose handlers can run.
unsafe fn load_idt(idt: &IdtPointer) {
    // SAFETY: The CPU reads ten bytes from the array. The caller vouches for the table.
    unsafe {
        asm!(
            "lidt ({})",
            in(reg) idt.as_ptr(),
            options(att_syntax, nostack, preserves_flags),
        )
    };
}

/// Resets the CPU by a triple fault. In a guest, this ends the guest.
pub(crate) fn triple_fault() -> ! {
    // SAFETY: The table is empty.
    unsafe { load_idt(&[0; 5]) };
    // SAFETY: There is no handler for this exception, nor for the ones that follow from it.
    unsafe { asm!("int3", options(nomem, nostack)) };
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
pub(crate) struct ExtendedStates {
    /// What `XCR0` held before.
    xcr0: u64,
    // Dropped after `drop()` has used `XCR0`.
    xsave: Xsave,
}

impl ExtendedStates {
    /// Enables the states in `bits`. Returns `None` if `bits` is 0.
    ///
    /// # Safety
    ///
    /// The CPU must allow these bits in `XCR0` (CPUID leaf 0xd), unless there are none.
    pub(crate) unsafe fn enable(bits: u64) -> Option<ExtendedStates> {
        if bits == 0 {
            return None;
        }

        // SAFETY: A CPU with states to enable has `CR4.OSXSAVE`.
        let xsave = unsafe { Xsave::enable() };
        let xcr0 = xsave.xcr0();
        if xcr0 & bits != bits {
            // SAFETY: The caller vouches for the bits that are added to those in force.
            unsafe { xsave.set_xcr0(xcr0 | bits) };
        }
        Some(ExtendedStates { xcr0, xsave })
    }
}

impl Drop for ExtendedStates {
    fn drop(&mut self) {
        if self.xsave.xcr0() != self.xcr0 {
            // SAFETY: This is the value that was found.
            unsafe { self.xsave.set_xcr0(self.xcr0) };
        }
    }
}

/// Access to `XCR0`.
///
/// # Invariants
///
/// `CR4.OSXSAVE` is set while the value lives.
struct Xsave {
    /// What `CR4` held before.
    cr4: u64,
}

impl Xsave {
    /// Sets `CR4.OSXSAVE`.
    ///
    /// # Safety
    ///
    /// The CPU must have `CR4.OSXSAVE` (CPUID leaf 1, XSAVE).
    unsafe fn enable() -> Xsave {
        let cr4 = read_cr4();

        // SAFETY: By the safety requirements of this function. The other bits do not change.
        unsafe { write_cr4(cr4 | CR4_OSXSAVE) };
        // INVARIANT: The bit was just set, and nothing but `drop()` writes `CR4`.
        Xsave { cr4 }
    }

    fn xcr0(&self) -> u64 {
        let (low, high): (u32, u32);

        // SAFETY: By the type's invariants, `CR4.OSXSAVE` is set. Register 0 exists then.
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
    /// The CPU must accept the value.
    unsafe fn set_xcr0(&self, xcr0: u64) {
        // SAFETY: By the type's invariants, `CR4.OSXSAVE` is set. The caller vouches for the value.
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
}

impl Drop for Xsave {
    fn drop(&mut self) {
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
