//! Finds the compiled net: the folder OFA_MODEL, which `ofa compile` wrote.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=OFA_MODEL");
    let Some(source) =
        env::var_os("OFA_MODEL").and_then(|folder| Path::new(&folder).join("model.rs").canonicalize().ok())
    else {
        println!("cargo::error=set OFA_MODEL to the folder that `ofa compile` wrote");
        return;
    };
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-changed={}", source.with_file_name("weights.bin").display());
    println!("cargo::rustc-env=OFA_MODEL_RS={}", source.display());
}
