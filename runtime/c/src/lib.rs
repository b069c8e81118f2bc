//! The net of the folder `OFA_MODEL` for firmware in C. The build makes `ofa.h` of this file and of the net's sizes.
//!
//! The one place outside of memory and instructions where code is unsafe: C's pointers become slices here.

#![no_std]
#![allow(unsafe_code)]

use core::panic::PanicInfo;
use core::slice;

use model::{ARENA_BYTES, CLASSES, MODEL, SCORES};

#[allow(dead_code, unused_imports)]
mod model {
    include!(env!("OFA_MODEL_RS"));
}

/// The scores of the image that lies in the arena's first bytes: `OFA_CLASSES` of them, higher is likelier. They lie in
/// the arena, until it is written to. `NULL` where the arena is `NULL`, not aligned to 4 bytes, or shorter than
/// `OFA_ARENA_BYTES`.
///
/// # Safety
/// `arena` points to `bytes` bytes that nobody else uses meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ofa_infer(arena: *mut u32, bytes: usize) -> *const i8 {
    if arena.is_null() || !arena.is_aligned() || bytes < ARENA_BYTES {
        return core::ptr::null();
    }
    // SAFETY: not null, aligned, and as long as said, which the caller vouches for.
    let arena = unsafe { slice::from_raw_parts_mut(arena, ARENA_BYTES / 4) };
    MODEL.net().run(arena).as_ptr()
}

/// The likeliest class; 0 where the scores are `NULL`.
///
/// # Safety
/// `scores` is `NULL` or what `ofa_infer` returned, and the arena is unchanged since.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ofa_class(scores: *const i8) -> usize {
    if scores.is_null() {
        return 0;
    }
    // SAFETY: `ofa_infer` returns a pointer to as many.
    runtime::argmax(unsafe { slice::from_raw_parts(scores, CLASSES) })
}

/// The logit that a score stands for, in units of 1/65536.
#[unsafe(no_mangle)]
pub extern "C" fn ofa_logit(score: i8) -> i32 {
    SCORES.fixed(score)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
