//! Chooses the kernels: the DSP instructions of a target are no `cfg` that stable Rust shows, and hosts' vectors are
//! known for some architectures.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(ofa_dsp)");
    println!("cargo::rustc-check-cfg=cfg(ofa_vectors)");
    // Armv7E-M with a floating-point unit, whose registers hold weights.
    if env::var("TARGET").is_ok_and(|target| target == "thumbv7em-none-eabihf") {
        println!("cargo::rustc-cfg=ofa_dsp");
    }
    // Whether this very processor has the vectors is asked when the program runs.
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "x86_64" || arch == "aarch64") {
        println!("cargo::rustc-cfg=ofa_vectors");
    }
}
