//! The addresses, and all that is unsafe.

#![allow(unsafe_code)]

use core::ptr::{read_volatile, write_volatile};

use riscv::register::{mie, mstatus};

/// A register of a peripheral.
pub(crate) struct Register<T>(*mut T);

pub(crate) const UART_DATA: Register<u8> = at(0x1000_0000);
pub(crate) const UART_INTERRUPTS: Register<u8> = at(0x1000_0001);
pub(crate) const UART_STATE: Register<u8> = at(0x1000_0005);

/// The number of the UART's interrupt.
pub(crate) const UART: u32 = 10;

pub(crate) const PRIORITY: Register<u32> = at(0x0C00_0000 + 4 * UART as usize);
pub(crate) const ENABLED: Register<u32> = at(0x0C00_2000);
pub(crate) const CLAIMED: Register<u32> = at(0x0C20_0004);

const fn at<T>(address: usize) -> Register<T> {
    Register(address as *mut T)
}

impl<T: Copy> Register<T> {
    pub(crate) fn read(&self) -> T {
        // SAFETY: the constants above are all there are: aligned addresses of registers, not of memory that Rust
        // knows.
        unsafe { read_volatile(self.0) }
    }

    pub(crate) fn write(&self, value: T) {
        // SAFETY: as for `read`; no register above makes the machine write to memory.
        unsafe { write_volatile(self.0, value) }
    }
}

/// Lets interrupts of peripherals end a `wfi`, and do no more: all are masked, and none has a handler.
pub(crate) fn wake_by_interrupts() {
    // SAFETY: what is masked breaks no critical section.
    unsafe {
        mstatus::clear_mie();
        mie::set_mext();
    }
}
