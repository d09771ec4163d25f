// SPDX-License-Identifier: GPL-2.0-only

//! Stops or resets the machine when the next kernel is not entered.

use crate::{
    console::Console,
    cpu, //
};
use purgatory_digest::abi::{
    self,
    Handoff,
    Reset, //
};

/// I/O port whose write takes about a microsecond and has no other effect.
const DELAY_PORT: u16 = 0x80;

/// Reset control register of Intel chipsets and compatible ones.
const RESET_CONTROL: u16 = 0xcf9;
/// [`RESET_CONTROL`]: makes the next reset a hard one.
const RESET_CONTROL_HARD: u8 = 0x02;
/// [`RESET_CONTROL`]: does a hard reset.
const RESET_CONTROL_NOW: u8 = 0x06;

/// Command register of the keyboard controller, and its command to pulse the reset line.
const KEYBOARD_COMMAND: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;

/// Address and data register of PCI configuration space.
const PCI_ADDRESS: u16 = 0xcf8;
const PCI_DATA: u16 = 0xcfc;

/// More cycles than a second has: no time stamp counter counts 6 GHz.
const CYCLES_MAX: u64 = 6_000_000_000;

/// Does what `panic()` would do with [`Handoff::panic_timeout`]: resets the machine after that many
/// seconds, resets it at once if the number is negative, or halts if it is 0.
///
/// Where I/O raises exceptions, it prints nothing and ends the guest at once, whatever
/// `panic_timeout` is. A reset would take a call to the hypervisor, and a guest that halts might
/// hang forever without a trace.
///
/// `reset` is the machine's reset register. `tsc_khz` is the frequency of the time stamp counter,
/// or 0 if it is not known.
pub(crate) fn stop(console: &mut Console, handoff: Handoff, reset: &Reset, tsc_khz: u32) -> ! {
    let panic_timeout = handoff.panic_timeout();

    if handoff.no_io() {
        cpu::triple_fault();
    }
    match panic_timeout {
        0 => console.str("purgatory: stopped\n"),
        ..0 => console.str("purgatory: resetting the machine\n"),
        _ => console
            .str("purgatory: resetting the machine in ")
            .dec(panic_timeout.unsigned_abs().into())
            .str(" seconds\n"),
    };
    if panic_timeout == 0 {
        cpu::halt();
    }
    for _ in 0..panic_timeout {
        wait_a_second(tsc_khz);
    }
    reset_machine(reset)
}

/// Waits about `microseconds` us, by writes to [`DELAY_PORT`].
fn delay(microseconds: u32) {
    for _ in 0..microseconds {
        // SAFETY: The port has no effect on memory.
        unsafe { cpu::outb(DELAY_PORT, 0) };
    }
}

/// Waits about a second. If `tsc_khz` is 0, it waits by writes to [`DELAY_PORT`]. Under a
/// hypervisor these can take several times as long as on a PC, so that it stops after the cycles of
/// a second on the fastest processor.
fn wait_a_second(tsc_khz: u32) {
    let start = cpu::cycles();
    let passed = || cpu::cycles().wrapping_sub(start);

    if tsc_khz == 0 {
        for _ in 0..1_000_000 {
            if passed() >= CYCLES_MAX {
                break;
            }
            delay(1);
        }
        return;
    }
    while passed() < u64::from(tsc_khz) * 1000 {
        core::hint::spin_loop();
    }
}

/// Tries each way to reset the machine, the least violent one first, and gives each about 0.1 s to
/// take effect.
fn reset_machine(reset: &Reset) -> ! {
    let pause = || delay(100_000);

    // SAFETY: These either reset the machine or have no effect on memory.
    unsafe {
        acpi_reset(reset);
        pause();
        cpu::outb(RESET_CONTROL, RESET_CONTROL_HARD);
        pause();
        cpu::outb(RESET_CONTROL, RESET_CONTROL_NOW);
        pause();
        cpu::outb(KEYBOARD_COMMAND, KEYBOARD_RESET);
        pause();
    }
    cpu::triple_fault()
}

/// # Safety
///
/// `reset` must be the machine's reset register, or none.
unsafe fn acpi_reset(reset: &Reset) {
    // SAFETY: By the safety requirements of this function.
    unsafe {
        match reset.space {
            abi::RESET_IO => cpu::outb(reset.address as u16, reset.value as u8),
            abi::RESET_PCI => {
                let device = (reset.address >> 32 & 0x1f) as u32;
                let function = (reset.address >> 16 & 0x7) as u32;
                let register = (reset.address & 0xff) as u32;
                let address = 1 << 31 | device << 11 | function << 8 | register & !3;

                cpu::outl(PCI_ADDRESS, address);
                cpu::outb(PCI_DATA + (register & 3) as u16, reset.value as u8);
            }
            _ => {}
        }
    }
}
