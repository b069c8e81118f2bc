//! The addresses, and all that is unsafe.

#![allow(unsafe_code)]

use core::ptr::{read_volatile, write_volatile};

use cortex_m::interrupt::{self, InterruptNumber};
use cortex_m::peripheral::NVIC;

/// A 32-bit register of a peripheral.
pub(crate) struct Register(usize);

pub(crate) const UART_START_RECEIVER: Register = Register(0x4000_2000);
pub(crate) const UART_START_TRANSMITTER: Register = Register(0x4000_2008);
pub(crate) const UART_RECEIVED: Register = Register(0x4000_2108);
pub(crate) const UART_SENT: Register = Register(0x4000_211C);
pub(crate) const UART_INTERRUPTS: Register = Register(0x4000_2304);
pub(crate) const UART_ENABLE: Register = Register(0x4000_2500);
pub(crate) const UART_TRANSMIT_PIN: Register = Register(0x4000_250C);
pub(crate) const UART_RECEIVE_PIN: Register = Register(0x4000_2514);
pub(crate) const UART_RECEIVE: Register = Register(0x4000_2518);
pub(crate) const UART_TRANSMIT: Register = Register(0x4000_251C);
pub(crate) const UART_RATE: Register = Register(0x4000_2524);

pub(crate) const TIMER_START: Register = Register(0x4000_8000);
pub(crate) const TIMER_STOP: Register = Register(0x4000_8004);
pub(crate) const TIMER_CLEAR: Register = Register(0x4000_800C);
pub(crate) const TIMER_CAPTURE: Register = Register(0x4000_8040);
pub(crate) const TIMER_WIDTH: Register = Register(0x4000_8508);
pub(crate) const TIMER_PRESCALER: Register = Register(0x4000_8510);
pub(crate) const TIMER_CAPTURED: Register = Register(0x4000_8540);

pub(crate) const PORT_SET: Register = Register(0x5000_0508);
pub(crate) const PORT_CLEAR: Register = Register(0x5000_050C);
pub(crate) const PORT_TO_OUTPUT: Register = Register(0x5000_0518);

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

/// An interrupt of a peripheral.
#[derive(Clone, Copy)]
pub(crate) struct Interrupt(u16);

pub(crate) const UART: Interrupt = Interrupt(2);

// SAFETY: the constant above is all there are: a number that the chip has.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

impl Interrupt {
    /// Lets it end a `wfi`, and do no more: all are masked, and none has a handler.
    pub(crate) fn wake(&self) {
        interrupt::disable();
        // SAFETY: what is masked breaks no critical section.
        unsafe { NVIC::unmask(*self) };
    }

    /// Lets it be as if it had not come.
    pub(crate) fn forget(&self) {
        NVIC::unpend(*self);
    }
}
