//! The counter of cycles (DWT_CYCCNT of the Armv7-M Architecture Reference Manual, C1.8).

use core::hint::black_box;

use cortex_m::Peripherals;
use cortex_m::peripheral::DWT;
use latency_probe::Timer;

/// Counts cycles of the core; 32 bits, so a layer may take ten seconds at 400 MHz.
#[derive(Debug)]
pub struct Cycles(());

impl Cycles {
    /// Lets it run.
    pub fn start(core: &mut Peripherals) {
        core.DCB.enable_trace();
        DWT::unlock();
        core.DWT.enable_cycle_counter();
    }

    /// The counter, which [`Cycles::start`] has started.
    pub const fn get() -> Self {
        Self(())
    }
}

impl Timer for Cycles {
    fn now(&self) -> u32 {
        black_box(DWT::cycle_count())
    }

    fn since(&self, start: u32) -> u32 {
        DWT::cycle_count().wrapping_sub(start)
    }
}
