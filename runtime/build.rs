//! Chooses the kernels: the DSP instructions of a target are no `cfg` that stable Rust shows.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(ofa_dsp)");
    // Armv7E-M with a floating-point unit, whose registers hold weights.
    if env::var("TARGET").is_ok_and(|target| target == "thumbv7em-none-eabihf") {
        println!("cargo::rustc-cfg=ofa_dsp");
    }
}
