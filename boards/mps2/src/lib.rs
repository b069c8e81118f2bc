//! What Arm's MPS2 boards share: a serial link, a timer, a pin. A board is one of the FPGA's [`Image`]s with its core.

#![no_std]

mod chip;

use core::convert::Infallible;
use core::hint::black_box;

use embedded_hal::digital::{self, OutputPin};
use embedded_io::{ErrorType, Read, Write};
use halt as _;
use latency_probe::{Meter, Timer};

pub use chip::Image;
pub use cortex_m_rt::entry;

/// Memory that the probe has for one layer.
pub const ARENA_BYTES: usize = 3 << 20;
/// Taps in the probe's pool of weights.
pub const TAPS: usize = 512 << 10;
/// Channels in the probe's pool of weights.
pub const CHANNELS: usize = 4096;

/// The CMSDK UART 0, polled.
#[derive(Debug)]
pub struct Uart(&'static Image);

impl Uart {
    const TRANSMITTER_FULL: u32 = 1;
    const RECEIVER_FULL: u32 = 1 << 1;
    const ENABLE_BOTH: u32 = 0b11;

    /// Turns it on, at the fastest that it can.
    pub fn start(image: &'static Image) -> Self {
        image.uart_divider.write(16);
        image.uart_control.write(Self::ENABLE_BOTH);
        Self(image)
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        while self.0.uart_state.read() & Self::RECEIVER_FULL == 0 {}
        *first = self.0.uart_data.read() as u8;
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            while self.0.uart_state.read() & Self::TRANSMITTER_FULL != 0 {}
            self.0.uart_data.write(byte.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The FPGA's free-running counter, which QEMU lets advance by more than one for each instruction.
#[derive(Debug)]
pub struct Counter(&'static Image);

impl Counter {
    /// After `n` instructions the counter shows as many counts rounded down, so it says exactly how many there were.
    const fn instructions(&self, counter: u64) -> u64 {
        (counter * self.0.instructions as u64).div_ceil(self.0.counts as u64)
    }
}

impl Timer for Counter {
    fn now(&self) -> u32 {
        self.0.counter.read()
    }

    fn since(&self, start: u32) -> u32 {
        // Together, so that nothing is computed of the start while the work is timed.
        let (start, end) = black_box((start, self.0.counter.read()));
        let round = if start <= end { 0 } else { 1 << 32 };
        (self.instructions(round + u64::from(end)) - self.instructions(start.into())) as u32
    }
}

/// The user LED 0.
#[derive(Debug)]
pub struct Led(&'static Image);

impl digital::ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.leds.write(0);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.leds.write(1);
        Ok(())
    }
}

/// What times a piece of work there.
pub fn meter(image: &'static Image) -> Meter<Counter, Led> {
    Meter { timer: Counter(image), pin: Led(image) }
}
