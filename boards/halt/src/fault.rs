//! What a core jumps to when it cannot go on.

#![allow(unsafe_code)]

const FAULT: &str = "the firmware met a fault of the core";

// SAFETY: it never returns and touches no memory of others.
#[cfg(target_arch = "arm")]
#[cortex_m_rt::exception]
unsafe fn HardFault(_: &cortex_m_rt::ExceptionFrame) -> ! {
    crate::halt(FAULT, "")
}

// SAFETY: no other function has this name, by which `riscv-rt` calls it; it never returns.
#[cfg(target_arch = "riscv32")]
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception() -> ! {
    crate::halt(FAULT, "")
}
