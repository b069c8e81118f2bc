//! How a board times a piece of work.

use core::convert::Infallible;

use embedded_hal::digital::{self, OutputPin};

/// A board's timer, in the board's own unit.
///
/// ```
/// use latency_probe::Timer;
///
/// /// Cortex-M's SysTick counts down from 2²⁴ − 1.
/// struct SysTick;
///
/// impl Timer for SysTick {
///     fn now(&self) -> u32 {
///         # const fn current() -> u32 { 0xFF_FFF0 }
///         current()
///     }
///
///     fn since(&self, start: u32) -> u32 {
///         start.wrapping_sub(self.now()) & 0xFF_FFFF
///     }
/// }
///
/// assert_eq!(SysTick.since(5), 21, "it came round");
/// ```
pub trait Timer {
    /// The counter, which wraps.
    fn now(&self) -> u32;

    /// Ticks from `start`, an earlier [`Timer::now`], until now. Right as long as the counter has not come round.
    fn since(&self, start: u32) -> u32;
}

/// A timer, and a pin that is high while it runs, for a power meter or an oscilloscope.
#[derive(Debug)]
pub struct Meter<T, P> {
    /// What counts.
    pub timer: T,
    /// What shows it.
    pub pin: P,
}

/// Where there is no pin, or nothing is connected to it.
#[derive(Clone, Copy, Debug)]
pub struct NoPin;

impl digital::ErrorType for NoPin {
    type Error = Infallible;
}

impl OutputPin for NoPin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<T: Timer, P: OutputPin> Meter<T, P> {
    /// Does the work; the ticks that it took, and what it gave. That the pin fails spoils no measurement, so it
    /// is not told.
    ///
    /// ```
    /// # mod board { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/board.rs")); }
    /// use latency_probe::{Meter, NoPin};
    ///
    /// let mut meter = Meter { timer: board::Calls(u32::MAX.into()), pin: NoPin };
    /// assert_eq!(meter.time(|| 6 * 7), (1, 42), "the counter came round meanwhile");
    /// ```
    #[inline(always)]
    pub fn time<R>(&mut self, work: impl FnOnce() -> R) -> (u32, R) {
        let _ = self.pin.set_high();
        let start = self.timer.now();
        let result = work();
        let ticks = self.timer.since(start);
        let _ = self.pin.set_low();
        (ticks, result)
    }
}
