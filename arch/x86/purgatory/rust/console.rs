// SPDX-License-Identifier: GPL-2.0-only

//! The 8250 that `earlyprintk` of the previous kernel set up.

use crate::cpu;
use core::ptr;

/// Transmit register.
const TXR: u16 = 0;
/// Line status register.
const LSR: u16 = 5;
/// [`LSR`]: the transmit register can be written to.
const XMTRDY: u8 = 0x20;

/// Number of status reads after which the console is given up for good. They take about a second
/// on a PC, and several seconds where a hypervisor emulates each. A stuck UART then costs the
/// messages, but does not hang the machine.
const ATTEMPTS: u32 = 1 << 20;

/// Where messages go.
pub(crate) enum Console {
    /// Nowhere.
    None,
    /// To an 8250 at this I/O port.
    Port(u16),
    /// To an 8250 at this physical address, its registers 32 bits apart and 32 bits wide. Some
    /// ignore an access to a part of a register.
    Mmio32(u64),
}

impl Console {
    /// An 8250 at an I/O port; none if the port is 0.
    ///
    /// # Safety
    ///
    /// `port` must be the first of the eight ports of an 8250, or 0.
    pub(crate) unsafe fn port(port: u16) -> Console {
        match port {
            0 => Console::None,
            port => Console::Port(port),
        }
    }

    /// An 8250 whose registers lie in memory, 32 bits apart; none if the address is 0.
    ///
    /// # Safety
    ///
    /// `base` must be the physical address of the registers of an 8250, which must be mapped one to
    /// one, or 0.
    pub(crate) unsafe fn mmio32(base: u64) -> Console {
        match base {
            0 => Console::None,
            base => Console::Mmio32(base),
        }
    }

    /// Prints a string.
    pub(crate) fn str(&mut self, s: &str) -> &mut Console {
        for byte in s.bytes() {
            self.byte(byte);
        }
        self
    }

    /// Prints the digits of a number in hexadecimal.
    pub(crate) fn hex(&mut self, value: u64) -> &mut Console {
        let digits = 16 - (value | 1).leading_zeros() / 4;

        self.hex_digits(value, digits)
    }

    /// Prints bytes in hexadecimal, in their order.
    pub(crate) fn hex_bytes(&mut self, bytes: &[u8]) -> &mut Console {
        for byte in bytes {
            self.hex_digits((*byte).into(), 2);
        }
        self
    }

    /// Prints a number in decimal.
    pub(crate) fn dec(&mut self, value: u64) -> &mut Console {
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

    fn hex_digits(&mut self, value: u64, digits: u32) -> &mut Console {
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

    fn byte(&mut self, byte: u8) {
        if byte == b'\n' {
            self.raw(b'\r');
        }
        self.raw(byte);
    }

    fn raw(&mut self, byte: u8) {
        for _ in 0..ATTEMPTS {
            if self.read(LSR) & XMTRDY != 0 {
                self.write(TXR, byte);
                return;
            }
            core::hint::spin_loop();
        }
        *self = Console::None;
    }

    fn read(&self, register: u16) -> u8 {
        // SAFETY: The caller of `Console::port()` or `Console::mmio32()` vouched for the registers.
        unsafe {
            match *self {
                Console::None => XMTRDY,
                Console::Port(port) => cpu::inb(port.wrapping_add(register)),
                Console::Mmio32(base) => ptr::read_volatile(register_at(base, register)) as u8,
            }
        }
    }

    fn write(&self, register: u16, byte: u8) {
        // SAFETY: The caller of `Console::port()` or `Console::mmio32()` vouched for the registers.
        unsafe {
            match *self {
                Console::None => {}
                Console::Port(port) => cpu::outb(port.wrapping_add(register), byte),
                Console::Mmio32(base) => {
                    ptr::write_volatile(register_at(base, register), byte.into())
                }
            }
        }
    }
}

fn register_at(base: u64, register: u16) -> *mut u32 {
    ptr::with_exposed_provenance_mut(base.wrapping_add(4 * u64::from(register)) as usize)
}
