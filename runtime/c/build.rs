//! Finds the compiled net, the folder OFA_MODEL that `ofa compile` wrote, and writes the header beside the library.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;

use runtime::{Layer, Step};
use serde::Deserialize;

fn main() {
    println!("cargo::rerun-if-env-changed=OFA_MODEL");
    for source in ["build.rs", "cbindgen.toml", "src/lib.rs"] {
        println!("cargo::rerun-if-changed={source}");
    }
    if let Err(error) = prepare() {
        println!("cargo::error={error}");
    }
}

fn prepare() -> Result<(), Box<dyn Error>> {
    let folder = env::var("OFA_MODEL").map_err(|_| "set OFA_MODEL to the folder that `ofa compile` wrote")?;
    for file in ["model.rs", "model.json", "weights.bin"] {
        let path = Path::new(&folder).join(file);
        if !path.is_file() {
            return Err(format!("OFA_MODEL: {} is missing; run `ofa compile` to write it", path.display()).into());
        }
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let folder = fs::canonicalize(folder)?;
    println!("cargo::rustc-env=OFA_MODEL_RS={}", folder.join("model.rs").display());
    let Model { steps } = serde_json::from_slice(&fs::read(folder.join("model.json"))?)?;

    let header = cbindgen::Builder::new()
        .with_config(cbindgen::Config::from_file("cbindgen.toml")?)
        .with_src("src/lib.rs")
        .with_after_include(sizes(&steps))
        .generate()?;
    // …/release/build/ofa-c-…/out, and the library goes to …/release.
    let out = env::var("OUT_DIR")?;
    let beside_library = Path::new(&out).ancestors().nth(3).ok_or("OUT_DIR lies too high")?;
    header.write_to_file(beside_library.join("ofa.h"));
    Ok(())
}

/// What the header needs of `model.json`.
#[derive(Deserialize)]
struct Model {
    steps: Vec<Step>,
}

/// The net's own numbers, so that C reserves its memory when it is compiled.
fn sizes(steps: &[Step]) -> String {
    let image = steps.first().map_or(0, |step| step.layer.input().len());
    let classes = steps.last().map_or(0, |step| step.layer.output().len());
    let layers: Vec<_> = steps.iter().map(|Step { layer, .. }| Layer::to_string(layer)).collect();
    format!(
        "
/* Bytes of an image. */
#define OFA_IMAGE_BYTES {image}

/* Bytes of the memory that an inference needs, the image included. */
#define OFA_ARENA_BYTES {}

/* Scores of an image. */
#define OFA_CLASSES {classes}

/* The net:
 *     {}
 */",
        runtime::arena_bytes(steps),
        layers.join("\n *     "),
    )
}
