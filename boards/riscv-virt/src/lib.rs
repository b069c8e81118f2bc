//! QEMU's RISC-V machine `virt`: a serial link and a timer. It has no pin.

#![no_std]

mod chip;

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use halt as _;
use latency_probe::{Meter, NoPin, Timer};
use riscv::asm::wfi;
use riscv::register::minstret;

use chip::{CLAIMED, ENABLED, PRIORITY, UART, UART_DATA, UART_INTERRUPTS, UART_STATE, wake_by_interrupts};

pub use riscv_rt::entry;

include!(env!("OFA_FACTS"));

/// Memory that the probe has for one layer.
pub const ARENA_BYTES: usize = 3 << 20;
/// Taps in the probe's pool of weights.
pub const TAPS: usize = 512 << 10;
/// Channels in the probe's pool of weights.
pub const CHANNELS: usize = 4096;

/// The 16550 UART, which is on from the start. The core sleeps until it has received a byte.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    const RECEIVED: u8 = 1;
    const TRANSMITTER_EMPTY: u8 = 1 << 5;
    const INTERRUPT_RECEIVED: u8 = 1;

    fn start() -> Self {
        UART_INTERRUPTS.write(Self::INTERRUPT_RECEIVED);
        PRIORITY.write(1);
        ENABLED.write(1 << UART);
        wake_by_interrupts();
        Self(())
    }

    fn is_empty(&self) -> bool {
        UART_STATE.read() & Self::RECEIVED == 0
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        while self.is_empty() {
            // Claimed and done before the second look, so that a byte that comes after it ends the sleep.
            CLAIMED.write(CLAIMED.read());
            if self.is_empty() {
                wfi();
            }
        }
        *first = UART_DATA.read();
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            while UART_STATE.read() & Self::TRANSMITTER_EMPTY == 0 {}
            UART_DATA.write(byte);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The core's counter of the instructions that it has done.
#[derive(Debug)]
pub struct Counter;

impl Timer for Counter {
    fn now(&self) -> u32 {
        minstret::read() as u32
    }

    fn since(&self, start: u32) -> u32 {
        (minstret::read() as u32).wrapping_sub(start)
    }
}

/// The serial line to the host.
pub fn link() -> Uart {
    Uart::start()
}

/// What times a piece of work.
pub fn meter() -> Meter<Counter, NoPin> {
    Meter { timer: Counter, pin: NoPin }
}
