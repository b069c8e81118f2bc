//! The addresses, and all that is unsafe.

#![allow(unsafe_code)]

use core::ptr::{read_volatile, write_volatile};

/// A 32-bit register of a peripheral.
#[derive(Debug)]
pub(crate) struct Register(usize);

impl Register {
    pub(crate) fn read(&self) -> u32 {
        // SAFETY: the images below hold all registers there are: aligned addresses of registers, not of memory that
        // Rust knows.
        unsafe { read_volatile(self.0 as *const u32) }
    }

    pub(crate) fn write(&self, value: u32) {
        // SAFETY: as for `read`; none of the registers makes the chip write to memory.
        unsafe { write_volatile(self.0 as *mut u32, value) }
    }
}

/// An image of the FPGA: where its peripherals lie, and how fast its counter is to an instruction.
#[derive(Debug)]
pub struct Image {
    pub(crate) uart_data: Register,
    pub(crate) uart_state: Register,
    pub(crate) uart_control: Register,
    pub(crate) uart_divider: Register,
    pub(crate) leds: Register,
    pub(crate) counter: Register,
    /// So many counts are …
    pub(crate) counts: u32,
    /// … so many instructions of 64 ns.
    pub(crate) instructions: u32,
}

impl Image {
    /// Application notes 385, 386 and 500: Cortex-M3, M4 and M7, and a counter at 25 MHz.
    pub const CORTEX_M_SYSTEM: Self = Self::at(0x4000_4000, 0x4002_8000, [8, 5]);
    /// Application note 505: Cortex-M33 in an IoT Kit, by its secure addresses, and a counter at 20 MHz.
    pub const IOT_KIT: Self = Self::at(0x5020_0000, 0x5030_2000, [32, 25]);

    const fn at(uart: usize, fpga: usize, [counts, instructions]: [u32; 2]) -> Self {
        Self {
            uart_data: Register(uart),
            uart_state: Register(uart + 0x4),
            uart_control: Register(uart + 0x8),
            uart_divider: Register(uart + 0x10),
            leds: Register(fpga),
            counter: Register(fpga + 0x18),
            counts,
            instructions,
        }
    }
}
