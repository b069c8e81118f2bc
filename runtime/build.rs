//! Chooses the kernels: the DSP instructions of a target are no `cfg` that stable Rust shows.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(ofa_dsp)");
    let variable = |name| env::var(name).unwrap_or_default();
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    // Both with a floating-point unit, whose registers hold weights.
    let dsp = match variable("TARGET").as_str() {
        "thumbv7em-none-eabihf" => true,
        "thumbv8m.main-none-eabihf" => flags.contains("target-cpu=cortex-m33"),
        _ => false,
    };
    if dsp {
        println!("cargo::rustc-cfg=ofa_dsp");
    }
}
