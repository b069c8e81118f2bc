//! The addresses, and all that is unsafe.

#![allow(unsafe_code)]

use core::ptr::{read_volatile, write_volatile};

/// An 8-bit register of a peripheral.
pub(crate) struct Register(usize);

pub(crate) const UART_DATA: Register = Register(0x1000_0000);
pub(crate) const UART_STATE: Register = Register(0x1000_0005);

impl Register {
    pub(crate) fn read(&self) -> u8 {
        // SAFETY: the constants above are all there are: addresses of registers, not of memory that Rust knows.
        unsafe { read_volatile(self.0 as *const u8) }
    }

    pub(crate) fn write(&self, value: u8) {
        // SAFETY: as for `read`; no register above makes the machine write to memory.
        unsafe { write_volatile(self.0 as *mut u8, value) }
    }
}
