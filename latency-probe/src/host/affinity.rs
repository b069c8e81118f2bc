//! The one core that a thread stays on.

#![allow(unsafe_code)]

/// Keeps this thread on the last core that it may use, as interrupts come to the first ones; which that is, or `None`
/// where the system does not let it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn stay_on_last_core() -> Option<usize> {
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: a set of cores is plain bits, of which none need be set.
    let mut allowed: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes at most `size` bytes to a set of that size.
    if unsafe { libc::sched_getaffinity(0, size, &mut allowed) } != 0 {
        return None;
    }
    // SAFETY: every number is below the set's number of bits.
    let core = (0..libc::CPU_SETSIZE as usize).rev().find(|&core| unsafe { libc::CPU_ISSET(core, &allowed) })?;
    // SAFETY: as above.
    let mut one: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number is one of the set above; the call reads a set of that size.
    let set = unsafe {
        libc::CPU_SET(core, &mut one);
        libc::sched_setaffinity(0, size, &one)
    };
    (set == 0).then_some(core)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn stay_on_last_core() -> Option<usize> {
    None
}
