//! Runs a compiled net: the runner of every board.

#![no_std]
#![no_main]

use board::{FACTS, entry, link, meter};
use latency_probe::{FRAME, Frame, Runner, serve};
use runtime::Arena;
use static_cell::ConstStaticCell;

use model::{ARENA_BYTES, MODEL};

#[allow(dead_code, unused_imports)]
mod model {
    include!(env!("OFA_MODEL_RS"));
}

const _: () = Runner::assert_fits(&MODEL, &FACTS);

static ARENA: ConstStaticCell<Arena<ARENA_BYTES>> = ConstStaticCell::new(Arena::new());
static BUFFER: ConstStaticCell<Frame> = ConstStaticCell::new([0; FRAME]);

#[allow(unsafe_code)] // in what `entry` makes of it
#[entry]
fn main() -> ! {
    stack::paint();
    let buffer = BUFFER.take();
    let mut runner = Runner::new(&MODEL, ARENA.take(), stack::depth);
    loop {
        let Ok(()) = serve(&mut link(), &FACTS, &mut meter(), &mut runner, buffer);
    }
}
