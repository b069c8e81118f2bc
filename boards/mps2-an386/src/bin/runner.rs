//! Runs a compiled net.

#![no_std]
#![no_main]

use board::{FACTS, Uart, meter};
use cortex_m_rt::entry;
use latency_probe::{FRAME, Frame, Runner, serve};
use runtime::Arena;

use model::{ARENA_BYTES, MODEL};

#[allow(dead_code, unused_imports)]
mod model {
    include!(env!("OFA_MODEL_RS"));
}

const _: () = Runner::assert_fits(&MODEL, &FACTS);

#[allow(unsafe_code)] // in what `entry` makes of it
#[entry]
fn main() -> ! {
    static mut ARENA: Arena<ARENA_BYTES> = Arena::new();
    static mut BUFFER: Frame = [0; FRAME];
    let mut runner = Runner::new(&MODEL, ARENA);
    loop {
        let Ok(()) = serve(&mut Uart::start(), &FACTS, &mut meter(), &mut runner, BUFFER);
    }
}
