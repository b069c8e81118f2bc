//! The end of a firmware that fails in an emulator: over semihosting it says why on the host's stderr, and ends the
//! machine, so that nobody waits for its answer. A chip's crate links this by `use halt as _`.

#![no_std]

mod fault;

use core::panic::PanicInfo;

use semihosting::io::{Write, stderr};
use semihosting::process;

/// The message of a panic is left out: to format it would cost more flash than the smallest chips have to spare.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    halt("the firmware panicked in ", info.location().map_or("an unknown place", |location| location.file()))
}

fn halt(why: &str, place: &str) -> ! {
    if let Ok(mut stderr) = stderr() {
        for text in [why, place, "\n"] {
            let _ = stderr.write_all(text.as_bytes());
        }
    }
    process::exit(1)
}
