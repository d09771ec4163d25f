// SPDX-License-Identifier: GPL-2.0-only

//! The 8250 that `earlyprintk` of the previous kernel set up.

use crate::cpu;
use core::ptr;
use purgatory_digest::abi::Params;

/// Transmit register.
const TXR: u16 = 0;
/// Line status register.
const LSR: u16 = 5;
/// [`LSR`]: the transmit register can be written to.
const XMTRDY: u8 = 0x20;

/// How often the status is read before a character is written all the same, so that a UART that is
/// gone costs the message and not the machine.
const ATTEMPTS: u32 = 1 << 20;

/// Where messages go.
#[derive(Clone, Copy)]
pub(crate) enum Console {
    /// Nowhere.
    None,
    /// To an 8250 at this I/O port.
    Port(u16),
    /// To an 8250 at this physical address, its registers 32 bits apart.
    Mmio32(u64),
}

impl Console {
    /// The console that `params` names.
    ///
    /// # Safety
    ///
    /// `params` must come from the loader: the registers that it names must be those of an 8250,
    /// and mapped if they are in memory.
    pub(crate) unsafe fn new(params: &Params) -> Console {
        if params.console_port != 0 {
            Console::Port(params.console_port)
        } else if params.console_mmio32 != 0 {
            Console::Mmio32(params.console_mmio32)
        } else {
            Console::None
        }
    }

    /// Prints a string.
    pub(crate) fn str(self, s: &str) -> Console {
        for byte in s.bytes() {
            self.byte(byte);
        }
        self
    }

    /// Prints the digits of a number in hexadecimal.
    pub(crate) fn hex(self, value: u64) -> Console {
        let digits = 16 - (value | 1).leading_zeros() / 4;

        self.hex_digits(value, digits)
    }

    /// Prints bytes in hexadecimal, in their order.
    pub(crate) fn hex_bytes(self, bytes: &[u8]) -> Console {
        for byte in bytes {
            self.hex_digits((*byte).into(), 2);
        }
        self
    }

    /// Prints a number in decimal.
    pub(crate) fn dec(self, value: u64) -> Console {
        // 10^19 is the largest power of ten in 64 bits.
        let mut power = 10_000_000_000_000_000_000;

        while power > 1 && value < power {
            power /= 10;
        }
        while power > 0 {
            self.byte(b'0' + (value / power % 10) as u8);
            power /= 10;
        }
        self
    }

    fn hex_digits(self, value: u64, digits: u32) -> Console {
        for i in (0..digits).rev() {
            let digit = (value >> (4 * i) & 0xf) as u8;

            self.byte(if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            });
        }
        self
    }

    fn byte(self, byte: u8) {
        if byte == b'\n' {
            self.raw(b'\r');
        }
        self.raw(byte);
    }

    fn raw(self, byte: u8) {
        for _ in 0..ATTEMPTS {
            if self.read(LSR) & XMTRDY != 0 {
                break;
            }
            core::hint::spin_loop();
        }
        self.write(TXR, byte);
    }

    fn read(self, register: u16) -> u8 {
        match self {
            Console::None => XMTRDY,
            // SAFETY: `Console::new`'s caller vouched for the port.
            Console::Port(port) => unsafe { cpu::inb(port.wrapping_add(register)) },
            Console::Mmio32(base) => {
                // SAFETY: `Console::new`'s caller vouched for the registers.
                unsafe { ptr::read_volatile(register_at(base, register)) }
            }
        }
    }

    fn write(self, register: u16, byte: u8) {
        match self {
            Console::None => {}
            // SAFETY: `Console::new`'s caller vouched for the port.
            Console::Port(port) => unsafe { cpu::outb(port.wrapping_add(register), byte) },
            Console::Mmio32(base) => {
                // SAFETY: `Console::new`'s caller vouched for the registers.
                unsafe { ptr::write_volatile(register_at(base, register), byte) }
            }
        }
    }
}

fn register_at(base: u64, register: u16) -> *mut u8 {
    ptr::with_exposed_provenance_mut(base.wrapping_add(4 * u64::from(register)) as usize)
}
