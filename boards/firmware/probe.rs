//! Measures layers: the probe of every board.

#![no_std]
#![no_main]

use board::{ARENA_BYTES, CHANNELS, FACTS, TAPS, entry, link, meter};
use latency_probe::{FRAME, Frame, Pool, Probe, serve};
use runtime::Arena;
use static_cell::ConstStaticCell;

#[allow(long_running_const_eval)]
static POOL: Pool<TAPS, CHANNELS> = Pool::new();

static ARENA: ConstStaticCell<Arena<ARENA_BYTES>> = ConstStaticCell::new(Arena::new());
static BUFFER: ConstStaticCell<Frame> = ConstStaticCell::new([0; FRAME]);

#[allow(unsafe_code)] // in what `entry` makes of it
#[entry]
fn main() -> ! {
    let buffer = BUFFER.take();
    let mut probe = Probe::new(ARENA.take().words(), POOL.weights());
    loop {
        let Ok(()) = serve(&mut link(), &FACTS, &mut meter(), &mut probe, buffer);
    }
}
