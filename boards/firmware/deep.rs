//! Goes down the stack by a known number of bytes, and prints how deep it found that to be: what `stack` is tested by.

#![no_std]
#![no_main]

use core::hint::black_box;

use board::entry;
use semihosting::{println, process};

const BYTES: usize = 10_000;

#[allow(unsafe_code)] // in what `entry` makes of it
#[entry]
fn main() -> ! {
    stack::paint();
    let before = stack::depth();
    go_down();
    println!("{} of {BYTES}", stack::depth() - before);
    process::exit(0)
}

#[inline(never)]
fn go_down() {
    black_box([1_u8; BYTES]);
}
