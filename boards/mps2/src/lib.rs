//! What Arm's MPS2 boards share: a serial link, a timer, a pin. A board is one of the FPGA's [`Image`]s with its core.

#![no_std]

mod chip;

use core::convert::Infallible;
use core::hint::black_box;

use cortex_m::asm::wfi;
use embedded_hal::digital::{self, OutputPin};
use embedded_io::{ErrorType, Read, Write};
use halt as _;
use latency_probe::{Meter, Timer};

use chip::Interrupt;

pub use chip::Image;
pub use cortex_m_rt::entry;

/// Memory that the probe has for one layer.
pub const ARENA_BYTES: usize = 3 << 20;
/// Taps in the probe's pool of weights.
pub const TAPS: usize = 512 << 10;
/// Channels in the probe's pool of weights.
pub const CHANNELS: usize = 4096;

/// The CMSDK UART 0. The core sleeps until it has received a byte.
#[derive(Debug)]
pub struct Uart(&'static Image);

impl Uart {
    const TRANSMITTER_FULL: u32 = 1;
    const RECEIVER_FULL: u32 = 1 << 1;
    const ENABLE_BOTH: u32 = 0b11;
    const INTERRUPT_RECEIVED: u32 = 1 << 3;
    const RECEIVED: u32 = 1 << 1;

    /// Turns it on, at the fastest that it can.
    pub fn start(image: &'static Image) -> Self {
        image.uart_divider.write(16);
        image.uart_control.write(Self::ENABLE_BOTH | Self::INTERRUPT_RECEIVED);
        image.uart_interrupts.iter().for_each(Interrupt::wake);
        Self(image)
    }

    fn is_empty(&self) -> bool {
        self.0.uart_state.read() & Self::RECEIVER_FULL == 0
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        while self.is_empty() {
            // Forgotten before the second look, so that a byte that comes after it ends the sleep.
            self.0.uart_interrupt.write(Self::RECEIVED);
            self.0.uart_interrupts.iter().for_each(Interrupt::forget);
            if self.is_empty() {
                wfi();
            }
        }
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

/// The CMSDK timer 0, which counts down, in QEMU by more than one for each instruction. It starts anew with each
/// measurement, because the time of a core that has slept is no multiple of an instruction's any more; and stops after
/// it, because the time of a core that sleeps would jump to where the timer comes round.
#[derive(Debug)]
pub struct Countdown(&'static Image);

impl Countdown {
    const FROM: u32 = u32::MAX;
    const STOP: u32 = 0;
    const GO: u32 = 1;

    fn start(image: &'static Image) -> Self {
        image.timer_reload.write(Self::FROM);
        Self(image)
    }

    /// After `n` instructions it has counted as many counts rounded down, so they say exactly how many there were.
    const fn instructions(&self, counts: u32) -> u32 {
        (counts as u64 * self.0.instructions as u64).div_ceil(self.0.counts as u64) as u32
    }
}

impl Timer for Countdown {
    fn now(&self) -> u32 {
        self.0.timer_value.write(Self::FROM);
        self.0.timer_control.write(Self::GO);
        self.0.timer_value.read()
    }

    fn since(&self, start: u32) -> u32 {
        // Together, so that nothing is computed of the start while the work is timed.
        let (start, end) = black_box((start, self.0.timer_value.read()));
        self.0.timer_control.write(Self::STOP);
        self.instructions(Self::FROM - end) - self.instructions(Self::FROM - start)
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
pub fn meter(image: &'static Image) -> Meter<Countdown, Led> {
    Meter { timer: Countdown::start(image), pin: Led(image) }
}
