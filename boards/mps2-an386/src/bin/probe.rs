//! Measures layers.

#![no_std]
#![no_main]

use board::{FACTS, Uart, meter};
use cortex_m_rt::entry;
use latency_probe::{FRAME, Frame, Pool, Probe, serve};
use runtime::Arena;

const ARENA_BYTES: usize = 3 << 20;

#[allow(long_running_const_eval)]
static POOL: Pool<{ 512 << 10 }, 4096> = Pool::new();

#[allow(unsafe_code)] // in what `entry` makes of it
#[entry]
fn main() -> ! {
    static mut ARENA: Arena<ARENA_BYTES> = Arena::new();
    static mut BUFFER: Frame = [0; FRAME];
    let mut probe = Probe { arena: ARENA.words(), pool: POOL.weights() };
    loop {
        let Ok(()) = serve(&mut Uart::start(), &FACTS, &mut meter(), &mut probe, BUFFER);
    }
}
