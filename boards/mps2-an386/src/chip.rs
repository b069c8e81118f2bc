//! The addresses, and all that is unsafe.

#![allow(unsafe_code)]

use core::ptr::{read_volatile, write_volatile};

use cortex_m_rt::{ExceptionFrame, exception};

/// A 32-bit register of a peripheral.
pub(crate) struct Register(usize);

pub(crate) const UART_DATA: Register = Register(0x4000_4000);
pub(crate) const UART_STATE: Register = Register(0x4000_4004);
pub(crate) const UART_CTRL: Register = Register(0x4000_4008);
pub(crate) const UART_BAUDDIV: Register = Register(0x4000_4010);
pub(crate) const LEDS: Register = Register(0x4002_8000);
pub(crate) const COUNTER: Register = Register(0x4002_8018);

impl Register {
    pub(crate) fn read(&self) -> u32 {
        // SAFETY: the constants above are all there are: aligned addresses of registers, not of memory that Rust
        // knows.
        unsafe { read_volatile(self.0 as *const u32) }
    }

    pub(crate) fn write(&self, value: u32) {
        // SAFETY: as for `read`; no register above makes the chip write to memory.
        unsafe { write_volatile(self.0 as *mut u32, value) }
    }
}

// SAFETY: it never returns and touches no memory.
#[exception]
unsafe fn HardFault(_: &ExceptionFrame) -> ! {
    crate::halt("the firmware met a hard fault", "")
}
