//! The chip: a serial link, a timer, a pin, and what becomes of a panic.

#![no_std]

mod chip;

use core::convert::Infallible;
use core::panic::PanicInfo;

use cortex_m_semihosting::{debug, hio};
use embedded_hal::digital::{self, OutputPin};
use embedded_io::{ErrorType, Read, Write};
use latency_probe::{Meter, Timer};

use chip::{COUNTER, LEDS, UART_BAUDDIV, UART_CTRL, UART_DATA, UART_STATE};

include!(env!("OFA_FACTS"));

/// The CMSDK UART 0, polled.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    const TRANSMITTER_FULL: u32 = 1;
    const RECEIVER_FULL: u32 = 1 << 1;
    const ENABLE_BOTH: u32 = 0b11;

    /// Turns it on, at the fastest that it can.
    pub fn start() -> Self {
        UART_BAUDDIV.write(16);
        UART_CTRL.write(Self::ENABLE_BOTH);
        Self(())
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        while UART_STATE.read() & Self::RECEIVER_FULL == 0 {}
        *first = UART_DATA.read() as u8;
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            while UART_STATE.read() & Self::TRANSMITTER_FULL != 0 {}
            UART_DATA.write(byte.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The FPGA's free-running counter, at 25 MHz of the machine's time: 1.6 for each instruction of 64 ns.
#[derive(Debug)]
pub struct Counter;

impl Counter {
    /// Instructions in which its 32 bits come round: 5 for every 8 counts.
    const ROUND: u32 = 5 << 29;
}

impl Timer for Counter {
    fn now(&self) -> u32 {
        COUNTER.read()
    }

    fn since(&self, start: u32) -> u32 {
        let (start, end) = (instructions(start), instructions(COUNTER.read()));
        if start <= end { end - start } else { Counter::ROUND - start + end }
    }
}

/// After `n` instructions the counter shows 1.6 n rounded down, so it says exactly how many there were.
const fn instructions(counter: u32) -> u32 {
    (counter as u64 * 5).div_ceil(8) as u32
}

/// The user LED 0.
#[derive(Debug)]
pub struct Led;

impl digital::ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        LEDS.write(0);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        LEDS.write(1);
        Ok(())
    }
}

/// What times a piece of work here.
pub fn meter() -> Meter<Counter, Led> {
    Meter { timer: Counter, pin: Led }
}

/// Says why over semihosting, and ends the machine.
pub(crate) fn halt(why: &str, place: &str) -> ! {
    if let Ok(mut stderr) = hio::hstderr() {
        for text in [why, place, "\n"] {
            let _ = stderr.write_all(text.as_bytes());
        }
    }
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    halt("the firmware panicked in ", info.location().map_or("an unknown place", |location| location.file()))
}
