//! Measures a network's layers on a device, and runs a whole net there: the wire protocol and the serving loop.
//!
//! ```text
//!   host                                        device
//!   Request ─▶ encode ─▶ │ UART, RTT, │ ─▶ serve ─▶ Probe   a layer with weights from a pool in flash
//!   Reply ◀── unpack ◀── │ a pipe …   │ ◀──  │   └▶ Runner  a compiled net
//!                                             └ Meter: the board's timer, and a pin that is high meanwhile
//! ```
//!
//! Weights, zero points and input of a measured layer follow from its seed ([`Trial`]), so that the host computes
//! the same output with the same code: every measurement is also a proof that the kernel is exact there.
//!
//! A board brings a link ([`embedded_io::Read`] and [`embedded_io::Write`]), a [`Timer`], a pin and its [`Facts`];
//! everything else is here. Deliberately absent: allocation, `unsafe`, and any knowledge of a chip. With the feature
//! `std` there is also the probe of computers and phones, `host`, which is allowed memory from a heap.

#![no_std]
#![cfg_attr(not(feature = "std"), forbid(unsafe_code))]

#[cfg(any(test, feature = "std"))]
extern crate std;

mod chain;
#[cfg(feature = "std")]
pub mod host;
mod meter;
mod pool;
mod probe;
mod random;
mod runner;
mod serve;
mod tiny;
mod trial;
mod wire;

pub use chain::{Chain, expected_of_chain};
pub use meter::{Meter, NoPin, Timer};
pub use pool::{Pool, fill};
pub use probe::Probe;
pub use runner::Runner;
pub use serve::{Service, serve};
pub use tiny::{Tiny, serve_tiny};
pub use trial::{Trial, expected};
pub use wire::{
    CHUNK, Capacity, FRAME, Facts, Fault, Frame, PROTOCOL, RUNS, Refusal, Reply, Request, STEPS, UNASKED, VERSION,
    encode, parse, unpack,
};
