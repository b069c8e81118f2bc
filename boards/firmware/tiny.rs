//! Runs a compiled net for the harness of MLPerf Tiny, over the board's link: see `latency_probe::serve_tiny`. OFA_TINY names
//! the net for it, such as `ic01`.

#![no_std]
#![no_main]

use board::{FACTS, entry, link, meter};
use latency_probe::{Runner, Tiny, serve_tiny};
use runtime::Arena;
use static_cell::ConstStaticCell;

use model::{ARENA_BYTES, IMAGE_BYTES, MODEL, SCORES};

#[allow(dead_code, unused_imports)]
mod model {
    include!(env!("OFA_MODEL_RS"));
}

const NAME: &str = match option_env!("OFA_TINY") {
    Some(name) => name,
    None => "ofa",
};

const _: () = Runner::assert_fits(&MODEL, &FACTS);

static ARENA: ConstStaticCell<Arena<ARENA_BYTES>> = ConstStaticCell::new(Arena::new());
static IMAGE: ConstStaticCell<[u8; IMAGE_BYTES]> = ConstStaticCell::new([0; IMAGE_BYTES]);

#[allow(unsafe_code)] // in what `entry` makes of it
#[entry]
fn main() -> ! {
    let (arena, image) = (ARENA.take(), IMAGE.take());
    let mut tiny = Tiny { model: &MODEL, scale: SCORES, name: NAME, arena, image };
    loop {
        let Ok(()) = serve_tiny(&mut link(), &FACTS, &mut meter(), &mut tiny);
    }
}
