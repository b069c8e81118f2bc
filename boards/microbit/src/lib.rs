//! The BBC micro:bit of 2016, with an nRF51822: a serial link, a timer, a pin.

#![no_std]

mod chip;

use core::convert::Infallible;

use cortex_m::asm::wfi;
use embedded_hal::digital::{self, OutputPin};
use embedded_io::{ErrorType, Read, Write};
use halt as _;
use latency_probe::{Meter, Timer};

use chip::{
    PORT_CLEAR, PORT_SET, PORT_TO_OUTPUT, TIMER_CAPTURE, TIMER_CAPTURED, TIMER_CLEAR, TIMER_PRESCALER, TIMER_START,
    TIMER_STOP, TIMER_WIDTH, UART, UART_ENABLE, UART_INTERRUPTS, UART_RATE, UART_RECEIVE, UART_RECEIVE_PIN,
    UART_RECEIVED, UART_SENT, UART_START_RECEIVER, UART_START_TRANSMITTER, UART_TRANSMIT, UART_TRANSMIT_PIN,
};

pub use cortex_m_rt::entry;

include!(env!("OFA_FACTS"));

/// Memory that the probe has for one layer. The stack gets what is left of 16 KiB.
pub const ARENA_BYTES: usize = 10 << 10;
/// Taps in the probe's pool of weights.
pub const TAPS: usize = 128 << 10;
/// Channels in the probe's pool of weights.
pub const CHANNELS: usize = 1024;

/// The UART. The core sleeps until it has received a byte.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    /// To the USB interface: P0.24 and P0.25.
    const PINS: [u32; 2] = [24, 25];
    const RATE_115200: u32 = 0x01D7_E000;
    const ENABLE: u32 = 4;
    const INTERRUPT_RECEIVED: u32 = 1 << 2;
    const NOT_YET: u32 = 0;
    const GO: u32 = 1;

    fn start() -> Self {
        let [transmit, receive] = Self::PINS;
        UART_TRANSMIT_PIN.write(transmit);
        UART_RECEIVE_PIN.write(receive);
        UART_RATE.write(Self::RATE_115200);
        UART_ENABLE.write(Self::ENABLE);
        UART_INTERRUPTS.write(Self::INTERRUPT_RECEIVED);
        UART.wake();
        UART_START_RECEIVER.write(Self::GO);
        UART_START_TRANSMITTER.write(Self::GO);
        Self(())
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let Some(first) = buffer.first_mut() else { return Ok(0) };
        while UART_RECEIVED.read() == Self::NOT_YET {
            // Forgotten before the second look, so that a byte that comes after it ends the sleep.
            UART.forget();
            if UART_RECEIVED.read() == Self::NOT_YET {
                wfi();
            }
        }
        // Before the byte is taken, which makes the next one's event possible.
        UART_RECEIVED.write(Self::NOT_YET);
        *first = UART_RECEIVE.read() as u8;
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for &byte in bytes {
            UART_SENT.write(Self::NOT_YET);
            UART_TRANSMIT.write(byte.into());
            while UART_SENT.read() == Self::NOT_YET {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// TIMER0 at 16 MHz of the machine's time: 1.024 for each instruction of 64 ns. It starts anew with each
/// measurement, because QEMU rounds whenever it is read; and stops after it, because the time of a core that sleeps
/// would jump to where the timer comes round.
#[derive(Debug)]
pub struct Counter(());

impl Counter {
    const BITS_32: u32 = 3;
    const GO: u32 = 1;

    fn start() -> Self {
        TIMER_WIDTH.write(Self::BITS_32);
        TIMER_PRESCALER.write(0);
        Self(())
    }
}

impl Timer for Counter {
    fn now(&self) -> u32 {
        TIMER_CLEAR.write(Self::GO);
        TIMER_START.write(Self::GO);
        0
    }

    fn since(&self, _: u32) -> u32 {
        TIMER_CAPTURE.write(Self::GO);
        TIMER_STOP.write(Self::GO);
        instructions(TIMER_CAPTURED.read())
    }
}

/// After `n` instructions the counter shows 1.024 n rounded down, so it says exactly how many there were.
const fn instructions(counter: u32) -> u32 {
    (counter as u64 * 125).div_ceil(128) as u32
}

/// Pin 0 of the edge connector: P0.03.
#[derive(Debug)]
pub struct Pin0(());

impl Pin0 {
    const MASK: u32 = 1 << 3;

    fn start() -> Self {
        PORT_TO_OUTPUT.write(Self::MASK);
        Self(())
    }
}

impl digital::ErrorType for Pin0 {
    type Error = Infallible;
}

impl OutputPin for Pin0 {
    fn set_low(&mut self) -> Result<(), Infallible> {
        PORT_CLEAR.write(Self::MASK);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        PORT_SET.write(Self::MASK);
        Ok(())
    }
}

/// The serial line to the host.
pub fn link() -> Uart {
    Uart::start()
}

/// What times a piece of work.
pub fn meter() -> Meter<Counter, Pin0> {
    Meter { timer: Counter::start(), pin: Pin0::start() }
}
