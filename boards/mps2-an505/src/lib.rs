//! Arm's MPS2 with the Cortex-M33 of application note 505.

#![no_std]

use latency_probe::Meter;
use mps2::{Counter, Image, Led, Uart};

pub use mps2::entry;

include!(env!("OFA_FACTS"));

/// Memory that the probe has for one layer.
pub const ARENA_BYTES: usize = 3 << 20;
/// Taps in the probe's pool of weights.
pub const TAPS: usize = 512 << 10;
/// Channels in the probe's pool of weights.
pub const CHANNELS: usize = 4096;

/// The serial line to the host.
pub fn link() -> Uart {
    Uart::start(&Image::IOT_KIT)
}

/// What times a piece of work.
pub fn meter() -> Meter<Counter, Led> {
    mps2::meter(&Image::IOT_KIT)
}
