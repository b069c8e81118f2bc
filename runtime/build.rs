//! Chooses the kernels: the DSP instructions of a target are no `cfg` that stable Rust shows, and hosts' vectors are
//! known for some architectures.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(ofa_dsp, ofa_armv8m, ofa_short_products, ofa_vectors)");
    let variable = |name| env::var(name).unwrap_or_default();
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    let armv8m = variable("TARGET") == "thumbv8m.main-none-eabihf";
    // Both with a floating-point unit, whose registers hold weights.
    if variable("TARGET") == "thumbv7em-none-eabihf" || armv8m && flags.contains("target-cpu=cortex-m33") {
        println!("cargo::rustc-cfg=ofa_dsp");
    }
    if armv8m {
        println!("cargo::rustc-cfg=ofa_armv8m");
    }
    // Armv6-M multiplies 32 bits to 32 bits.
    if variable("TARGET").starts_with("thumbv6m") {
        println!("cargo::rustc-cfg=ofa_short_products");
    }
    // Whether this very processor has the vectors is asked when the program runs.
    if matches!(variable("CARGO_CFG_TARGET_ARCH").as_str(), "x86_64" | "aarch64") {
        println!("cargo::rustc-cfg=ofa_vectors");
    }
}
