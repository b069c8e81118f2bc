//! What RTIC asks of a chip's crate. Of this machine there is none, so here is the least of one: a single interrupt,
//! which no peripheral raises and RTIC starts tasks by.

#![allow(unsafe_code, non_camel_case_types)]

use cortex_m::interrupt::InterruptNumber;

pub use Interrupt as interrupt;

/// Of the eight that the machine has.
pub const NVIC_PRIO_BITS: u8 = 3;

#[derive(Clone, Copy)]
pub enum Interrupt {
    UART0_RX = 0,
}

// SAFETY: these are the machine's own numbers.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

unsafe extern "C" {
    fn UART0_RX();
}

// SAFETY: `cortex-m-rt` puts the handlers there, and looks for them by this name.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
pub static __INTERRUPTS: [unsafe extern "C" fn(); 1] = [UART0_RX];
