//! ST's STM32F746G-DISCO: a link through the debug probe, the counter of cycles, a pin.

#![no_std]

mod chip;

use latency_probe::Meter;
use rtt::{Cycles, Rtt};

pub use chip::Pin;
pub use rtt::{CHANNELS, TAPS, entry};

include!(env!("OFA_FACTS"));

/// Memory that the probe has for one layer. The stack gets what is left.
pub const ARENA_BYTES: usize = 192 << 10;

/// The link to the host. Starts the chip.
pub fn link() -> Rtt {
    chip::start();
    Rtt::start()
}

/// What times a piece of work, once the chip has started.
pub fn meter() -> Meter<Cycles, Pin> {
    Meter { timer: Cycles::get(), pin: Pin }
}
