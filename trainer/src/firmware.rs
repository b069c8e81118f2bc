//! Firmware: built by cargo in the board's folder, and weighed by what its ELF file loads.

mod code;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail, ensure};
use object::{Object, ObjectSection, ObjectSegment, SectionFlags, elf};
use sha2::{Digest, Sha256};

use crate::board::{Board, root};
use crate::child::Child;
use crate::files;
use crate::model::Compiled;

pub use code::Code;

/// Settings of cargo that are the user's and not an outer cargo's.
const USERS_SETTINGS: [&str; 5] = ["CARGO_HOME", "CARGO_HTTP", "CARGO_NET", "CARGO_REGISTR", "CARGO_SOURCE"];

/// What a board can run.
#[derive(Clone, Copy, Debug)]
pub enum Binary<'a> {
    /// Measures layers.
    Probe,
    /// Runs this net.
    Runner(&'a Compiled),
    /// Runs this net for the harness of MLPerf Tiny.
    Tiny(&'a Compiled),
}

/// A firmware for one board.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Firmware {
    /// The file to flash.
    pub elf: PathBuf,
    /// SHA-256 of what it loads and where, in hexadecimal digits.
    pub sha256: String,
    /// What it takes.
    pub size: Size,
    /// Its code by where that is from, the largest first.
    pub code: Vec<Code>,
}

/// Memory that a firmware takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Code, constants and the initial values of variables: all that is loaded.
    pub flash_bytes: usize,
    /// Variables. The stack is not among them: how deep it gets no file says.
    pub sram_bytes: usize,
}

/// Builds a firmware.
///
/// ```no_run
/// use trainer::board::Board;
/// use trainer::firmware::{Binary, build};
/// use trainer::model::Compiled;
///
/// let model = Compiled::load("out/model".as_ref())?;
/// let firmware = build(&Board::load("mps2-an386")?, Binary::Runner(&model))?;
/// assert!(firmware.size.flash_bytes > model.flash_bytes());
/// println!("flash {}", firmware.elf.display());
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If cargo is missing, or the build fails, with the compiler's own reason; a net that doesn't fit its board is such.
pub fn build(board: &Board, binary: Binary<'_>) -> Result<Firmware> {
    let target = target_folder();
    fs::create_dir_all(&target).with_context(|| format!("cannot write {}", target.display()))?;
    let lock = target.join("ofa.lock");
    // Held until the file is copied: the next build of a runner replaces it, and its net.
    let lock = File::create(&lock).and_then(|file| file.lock().map(|()| file));
    let _lock = lock.with_context(|| format!("cannot lock {}", target.display()))?;
    let name = match binary {
        Binary::Probe => "probe",
        Binary::Runner(_) => "runner",
        Binary::Tiny(_) => "tiny",
    };
    run_cargo(board, name, binary, &target)?;
    let built = target.join(&board.target).join("release").join(name);
    let bytes = fs::read(&built).with_context(|| format!("cargo has not made {}", built.display()))?;
    let (size, sha256, code) = weigh(&bytes).with_context(|| format!("{} is damaged", built.display()))?;
    let elf = target.join("firmware").join(format!("{}-{name}-{}.elf", board.name, &sha256[..16]));
    files::write(&elf, &bytes)?;
    Ok(Firmware { elf, sha256, size, code })
}

/// Beside the other builds: where cargo puts them, or in the sources' `target`.
fn target_folder() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) if !folder.is_empty() => Path::new(&folder).join("boards"),
        _ => root().join("target/boards"),
    }
}

fn run_cargo(board: &Board, name: &str, binary: Binary<'_>, target: &Path) -> Result<()> {
    let mut cargo = Command::new("cargo");
    let foreign = |name: &str| {
        matches!(name, "RUSTUP_TOOLCHAIN" | "RUSTFLAGS" | "RUSTDOCFLAGS" | "MAKEFLAGS" | "OFA_MODEL")
            || name.starts_with("CARGO") && !USERS_SETTINGS.iter().any(|users| name.starts_with(users))
    };
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(foreign) {
            cargo.env_remove(name);
        }
    }
    ensure!(board.folder.is_dir(), "{} is no board with firmware: only its kernels are measured", board.name);
    cargo.current_dir(&board.folder).env("CARGO_TARGET_DIR", std::path::absolute(target)?);
    // Beside the flags of the board's own folder, which those of the environment would erase.
    cargo.arg("--config").arg(format!("target.'cfg(all())'.rustflags = {}", toml::Value::from(remapped_paths())));
    cargo.args(["build", "--release", "--locked", "--quiet", "--color=never", "--message-format=short"]);
    cargo.args(["--bin", name]);
    if let Binary::Runner(model) | Binary::Tiny(model) = binary {
        let folder = std::path::absolute(target.join("model"))?;
        model.save(&folder)?;
        cargo.args(["--features", "model"]).env("OFA_MODEL", folder);
    }
    let (mut child, ..) = Child::spawn(cargo).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => anyhow!("cargo is missing; install Rust (https://rustup.rs)"),
        _ => anyhow!("cannot start cargo: {error}"),
    })?;
    let status = child.wait().context("cannot wait for cargo")?;
    if status.success() {
        return Ok(());
    }
    let words = child.last_words();
    if words.iter().any(|line| line.contains("can't find crate for `core`")) {
        bail!("Rust's core library for {} is missing; run: rustup target add {}", board.name, board.target);
    }
    bail!("cannot build the {name} of {}: {}", board.name, reason(&words))
}

/// Panics carry the names of source files: the same wherever the sources lie.
fn remapped_paths() -> Vec<String> {
    let root = fs::canonicalize(root()).unwrap_or_else(|_| root());
    let mut flags = vec![format!("--remap-path-prefix={}=ofa", root.display())];
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    if let Some(home) = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))) {
        flags.push(format!("--remap-path-prefix={}=cargo", home.display()));
    }
    flags
}

/// The lines that say what is wrong; the last ones where none does.
fn reason(words: &[String]) -> String {
    let is_cause = |line: &&String| {
        line.contains("error") && !line.contains("could not compile") && !line.contains("aborting due to")
    };
    let causes: Vec<_> = words.iter().filter(is_cause).map(|line| line.trim()).collect();
    if causes.is_empty() { words[words.len().saturating_sub(3)..].join(" ") } else { causes.join(" ") }
}

/// Sizes and hash of what an ELF file loads, and its code by origin.
fn weigh(bytes: &[u8]) -> Result<(Size, String, Vec<Code>)> {
    let file = object::File::parse(bytes)?;
    let mut size = Size { flash_bytes: 0, sram_bytes: 0 };
    let mut hash = Sha256::new();
    for segment in file.segments() {
        let data = segment.data()?;
        size.flash_bytes += data.len();
        hash.update(segment.address().to_le_bytes());
        hash.update(data);
    }
    // Some link scripts make a section of what they leave to the stack.
    for section in file.sections().filter(|section| section.name() != Ok(".stack")) {
        let variable = elf::SHF_ALLOC | elf::SHF_WRITE;
        if matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags & variable == variable) {
            size.sram_bytes += section.size() as usize;
        }
    }
    let hash = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((size, hash, code::by_origin(&file)?))
}
