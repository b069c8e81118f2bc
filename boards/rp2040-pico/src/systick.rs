//! Cycles by the system timer, as Armv6-M has no counter of its own: 24 bits that count down, and an interrupt that counts
//! how often they come round. It takes some tens of cycles, once in 16 million.

#![allow(unsafe_code)] // in what `exception` makes of it

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use latency_probe::Timer;

const BITS: u32 = 24;
const LAST: u32 = (1 << BITS) - 1;

static ROUNDS: AtomicU32 = AtomicU32::new(0);

/// Counts cycles of the core; together 32 bits, so a layer may take 34 seconds at 125 MHz.
#[derive(Debug)]
pub struct Cycles(());

impl Cycles {
    pub(crate) fn start(core: &mut Peripherals) {
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(LAST);
        core.SYST.clear_current();
        core.SYST.enable_interrupt();
        core.SYST.enable_counter();
    }

    pub(crate) const fn get() -> Self {
        Self(())
    }
}

impl Timer for Cycles {
    fn now(&self) -> u32 {
        loop {
            let rounds = ROUNDS.load(Ordering::Relaxed);
            let left = SYST::get_current();
            if ROUNDS.load(Ordering::Relaxed) == rounds {
                return (rounds << BITS) + (LAST - left);
            }
        }
    }

    fn since(&self, start: u32) -> u32 {
        self.now().wrapping_sub(start)
    }
}

#[exception]
fn SysTick() {
    // No other code writes it.
    ROUNDS.store(ROUNDS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}
