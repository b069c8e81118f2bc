//! What the build scripts of all boards do: `fn main() { board_build::prepare() }`.
//!
//! A board's facts stand in its `board.toml` and nowhere else; firmware finds them as
//! `include!(env!("OFA_FACTS"))`, and the compiled net of a runner as `include!(env!("OFA_MODEL_RS"))`.

use std::collections::BTreeSet;
use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use crc::{CRC_64_XZ, Crc};
use toml::{Table, Value};

/// What a firmware is made from beside its crates, seen from its board's folder.
const SHARED: [&str; 4] = ["board.toml", "memory.x", "../Cargo.lock", "../firmware"];
/// What a crate is made from. Tests and READMEs are not among it.
const OF_A_CRATE: [&str; 3] = ["Cargo.toml", "build.rs", "src"];

/// Prepares the build of the board whose build script calls it, or ends it with what is wrong.
pub fn prepare() {
    or_end(link().and_then(|()| facts()).and_then(|()| model_of_runner()));
}

/// Prepares the build of an example, which has a compiled net and is no board.
pub fn prepare_example() {
    or_end(link().and_then(|()| model()));
}

fn or_end(prepared: Result<(), Box<dyn Error>>) {
    if let Err(error) = prepared {
        println!("cargo::error={error}");
    }
}

/// Link arguments belong here: RUSTFLAGS of the environment would erase those of a `config.toml`.
fn link() -> Result<(), Box<dyn Error>> {
    let folder = env::var("CARGO_MANIFEST_DIR")?;
    // The link script of `cortex-m-rt`, or of `riscv-rt`.
    if env::var("CARGO_CFG_TARGET_OS")? == "none" {
        println!("cargo::rustc-link-search={folder}");
        println!("cargo::rustc-link-arg=-Tlink.x");
        println!("cargo::rustc-link-arg=--nmagic");
    }
    Ok(())
}

fn facts() -> Result<(), Box<dyn Error>> {
    let board: Table = fs::read_to_string("board.toml")?.parse()?;
    let text = |key: &str| board.get(key).and_then(Value::as_str).ok_or(format!("board.toml: no text {key}"));
    let bytes = |key: &str| {
        let number = board.get(key).and_then(Value::as_integer).and_then(|number| u32::try_from(number).ok());
        number.ok_or(format!("board.toml: no number {key}"))
    };
    let (name, core, unit) = (text("name")?, text("core")?, text("unit")?);
    if name.len() + core.len() + unit.len() > 96 {
        return Err("board.toml: name, core and unit are longer than 96 bytes together".into());
    }
    let facts = format!(
        "/// What `board.toml` says, and what this firmware was built from.
pub const FACTS: latency_probe::Facts<'static> = latency_probe::Facts {{
    board: {name:?},
    core: {core:?},
    unit: {unit:?},
    clock_hz: {},
    flash_bytes: {},
    ram_bytes: {},
    version: latency_probe::VERSION,
    firmware: \"{:016x}\",
}};
",
        bytes("clock_hz")?,
        bytes("flash_bytes")?,
        bytes("ram_bytes")?,
        hash_of_sources()?,
    );
    let path = PathBuf::from(env::var("OUT_DIR")?).join("facts.rs");
    fs::write(&path, facts)?;
    println!("cargo::rustc-env=OFA_FACTS={}", path.display());
    Ok(())
}

/// Identifies the content of all sources, wherever they lie.
fn hash_of_sources() -> Result<u64, Box<dyn Error>> {
    let root = fs::canonicalize("../..")?;
    let crc = Crc::<u64>::new(&CRC_64_XZ);
    let mut digest = crc.digest();
    for source in sources()? {
        println!("cargo::rerun-if-changed={}", source.display());
        for file in files(&source)? {
            digest.update(file.strip_prefix(&root)?.to_string_lossy().as_bytes());
            digest.update(&fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?);
        }
    }
    Ok(digest.finalize())
}

/// Files and folders, sorted.
fn sources() -> Result<BTreeSet<PathBuf>, Box<dyn Error>> {
    let mut sources = SHARED.iter().map(fs::canonicalize).collect::<Result<BTreeSet<_>, _>>()?;
    for folder in crates()? {
        sources.extend(OF_A_CRATE.iter().map(|name| folder.join(name)).filter(|path| path.exists()));
    }
    Ok(sources)
}

/// The folders of the board's crate and of all that it depends on by a path.
fn crates() -> Result<BTreeSet<PathBuf>, Box<dyn Error>> {
    let mut folders = BTreeSet::new();
    let mut new = vec![fs::canonicalize(".")?];
    while let Some(folder) = new.pop() {
        let manifest: Table = fs::read_to_string(folder.join("Cargo.toml"))?.parse()?;
        for dependency in manifest.get("dependencies").and_then(Value::as_table).into_iter().flat_map(Table::values) {
            if let Some(path) = dependency.get("path").and_then(Value::as_str) {
                new.push(fs::canonicalize(folder.join(path))?);
            }
        }
        folders.insert(folder);
    }
    Ok(folders)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
    entries.sort();
    let nested = entries.iter().map(|path| files(path)).collect::<Result<Vec<_>, _>>()?;
    Ok(nested.concat())
}

/// The runner has a compiled net: the feature `model` turns it on.
fn model_of_runner() -> Result<(), Box<dyn Error>> {
    match env::var_os("CARGO_FEATURE_MODEL") {
        Some(_) => model(),
        None => Ok(()),
    }
}

/// Passes the compiled net on to the firmware.
fn model() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=OFA_MODEL");
    let folder = env::var("OFA_MODEL")
        .map_err(|_| "this firmware needs a compiled net: set OFA_MODEL to the folder that `ofa compile` wrote")?;
    for file in ["model.rs", "weights.bin"] {
        let path = Path::new(&folder).join(file);
        if !path.is_file() {
            return Err(format!("OFA_MODEL: {} is missing; run `ofa compile` to write it", path.display()).into());
        }
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let source = fs::canonicalize(Path::new(&folder).join("model.rs"))?;
    println!("cargo::rustc-env=OFA_MODEL_RS={}", source.display());
    Ok(())
}
