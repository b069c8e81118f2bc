//! How deep the stack gets: what is free of it is painted, and later one looks where the paint begins to be gone.
//!
//! ```text
//!   variables │ paint paint paint paint paint │ gone: the deepest use │
//!         end of variables                                       start of the stack
//! ```

#![no_std]
#![allow(unsafe_code)]

use core::arch::asm;

const PAINT: u32 = 0x5A5A_A5A5;

// Of the link scripts of `cortex-m-rt` and `riscv-rt`: what lies between the two is the stack's.
unsafe extern "C" {
    #[cfg_attr(target_arch = "riscv32", link_name = "__estack")]
    static _stack_end: u32;
    static _stack_start: u32;
}

/// Paints all memory between the variables and the caller's frame.
#[inline(always)]
pub fn paint() {
    for address in (end()..stack_pointer()).step_by(size_of::<u32>()) {
        // SAFETY: aligned and below the stack pointer, where nothing lives: neither core keeps anything there, and
        // interrupts leave what is below them as they find it or write to it what nobody reads.
        unsafe { (address as *mut u32).write_volatile(PAINT) }
    }
}

/// Bytes that the stack has had at its deepest since it was painted, `main` and all that it called included. What a
/// function reserves there and never writes to, at the very end, is not seen.
pub fn depth() -> u32 {
    // SAFETY: aligned, and memory of the stack: volatile, as whatever wrote there is none of Rust's business.
    let painted = |address: &usize| unsafe { (*address as *const u32).read_volatile() == PAINT };
    let paint = (end()..start()).step_by(size_of::<u32>()).take_while(painted).count();
    (start() - end() - paint * size_of::<u32>()) as u32
}

fn end() -> usize {
    (&raw const _stack_end).addr()
}

fn start() -> usize {
    (&raw const _stack_start).addr()
}

#[inline(always)]
fn stack_pointer() -> usize {
    let pointer;
    // SAFETY: it reads a register.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "riscv32")]
        asm!("mv {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}
