//! Arm's MPS2 with the Cortex-M3 of application note 385.

#![no_std]

use latency_probe::Meter;
use mps2::{Countdown, Image, Led, Uart};

pub use mps2::{ARENA_BYTES, CHANNELS, TAPS, entry};

include!(env!("OFA_FACTS"));

/// The serial line to the host.
pub fn link() -> Uart {
    Uart::start(&Image::CORTEX_M_SYSTEM)
}

/// What times a piece of work.
pub fn meter() -> Meter<Countdown, Led> {
    mps2::meter(&Image::CORTEX_M_SYSTEM)
}
