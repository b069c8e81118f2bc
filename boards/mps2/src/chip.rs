//! The addresses, and all that is unsafe.

#![allow(unsafe_code)]

use core::ptr::{read_volatile, write_volatile};

use cortex_m::interrupt::{self, InterruptNumber};
use cortex_m::peripheral::NVIC;

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

/// An interrupt of a peripheral.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupt(u16);

// SAFETY: the images below hold all interrupts there are: numbers that their cores have.
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

/// An image of the FPGA: where its peripherals lie, and how fast its timer is to an instruction.
#[derive(Debug)]
pub struct Image {
    pub(crate) uart_data: Register,
    pub(crate) uart_state: Register,
    pub(crate) uart_control: Register,
    pub(crate) uart_interrupt: Register,
    pub(crate) uart_divider: Register,
    /// Of its receiver and of its transmitter, in an order that differs between versions of QEMU.
    pub(crate) uart_interrupts: [Interrupt; 2],
    pub(crate) leds: Register,
    pub(crate) timer_control: Register,
    pub(crate) timer_value: Register,
    pub(crate) timer_reload: Register,
    /// So many counts are …
    pub(crate) counts: u32,
    /// … so many instructions of 64 ns.
    pub(crate) instructions: u32,
}

impl Image {
    /// Application notes 385, 386 and 500: Cortex-M3, M4 and M7, and timers at 25 MHz.
    pub const CORTEX_M_SYSTEM: Self = Self::at(0x4000_4000, 0, 0x4002_8000, 0x4000_0000, [8, 5]);
    /// Application note 505: Cortex-M33 in an IoT Kit, by its secure addresses, and timers at 20 MHz.
    pub const IOT_KIT: Self = Self::at(0x5020_0000, 32, 0x5030_2000, 0x5000_0000, [32, 25]);

    const fn at(uart: usize, interrupt: u16, leds: usize, timer: usize, [counts, instructions]: [u32; 2]) -> Self {
        Self {
            uart_data: Register(uart),
            uart_state: Register(uart + 0x4),
            uart_control: Register(uart + 0x8),
            uart_interrupt: Register(uart + 0xC),
            uart_divider: Register(uart + 0x10),
            uart_interrupts: [Interrupt(interrupt), Interrupt(interrupt + 1)],
            leds: Register(leds),
            timer_control: Register(timer),
            timer_value: Register(timer + 0x4),
            timer_reload: Register(timer + 0x8),
            counts,
            instructions,
        }
    }
}
