//! The boards there are: a folder each, described by its `board.toml`.

mod new;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::files;
use crate::names::did_you_mean;

pub use new::create;

/// A board, as its `board.toml` describes it.
///
/// ```
/// use trainer::board::{Board, root};
///
/// let board = Board::load("mps2-an386")?;
/// assert!(board.is_emulated() && Board::names()?.contains(&board.name));
/// assert_eq!(board.folder, root().join("boards/mps2-an386"));
/// assert!(Board::load("nowhere").is_err());
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// As its folder's.
    pub name: String,
    /// Such as `Cortex-M4F`.
    pub core: String,
    /// Rust's name of the machine.
    pub target: String,
    /// Of the core.
    pub clock_hz: u32,
    /// What its timer counts, such as `cycles` or `instructions`.
    pub unit: String,
    /// What a firmware may take.
    pub flash_bytes: u32,
    /// What a firmware may take, its stack included.
    pub ram_bytes: u32,
    /// What was tried on it, and where.
    pub tested: String,
    /// How to talk to it.
    pub link: Link,
    /// Where its firmware is built.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// How a host reaches a board.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Link {
    /// An emulator of this host, whose stdin and stdout are the board's serial line.
    Qemu {
        /// The emulator.
        program: String,
        /// Debian's package that holds it.
        package: String,
        /// Its arguments; `-kernel` and the firmware follow.
        arguments: Vec<String>,
    },
    /// A port of this host: the firmware must be on the board already.
    Port {
        /// As `--link` takes it, such as `serial:/dev/ttyACM0:115200`.
        address: String,
    },
    /// The board is this machine: the probe is a child process.
    Host,
    /// A debug probe, which programs the chip and then reads and writes its memory: real-time transfer (RTT).
    Rtt {
        /// What probe-rs calls the chip.
        chip: String,
    },
}

/// The name of this machine as a board. `host:NAME` is another machine that runs the same program, such as a phone.
pub const HOST: &str = "host";

/// Whether a board's name is that of a machine that runs the probe as a program.
///
/// ```
/// use trainer::board::is_host;
///
/// assert!(is_host("host") && is_host("host:phone") && !is_host("host:") && !is_host("mps2-an386"));
/// ```
pub fn is_host(name: &str) -> bool {
    name == HOST || name.strip_prefix(HOST).is_some_and(|rest| rest.len() > 1 && rest.starts_with(':'))
}

impl Board {
    /// Whether this host can run it.
    pub fn is_emulated(&self) -> bool {
        matches!(self.link, Link::Qemu { .. })
    }

    /// The board of that name.
    ///
    /// # Errors
    /// Lists the boards there are, or says what is wrong with its `board.toml`.
    pub fn load(name: &str) -> Result<Self> {
        if is_host(name) {
            return Ok(Self::host(name));
        }
        let names = Self::names()?;
        if !names.iter().any(|known| known == name) {
            let meant = did_you_mean(name, names.iter().map(String::as_str));
            bail!("there is no board {name}{meant}; there are: {}, and {HOST}, this machine", names.join(", "));
        }
        Self::load_from(&root().join("boards").join(name))
    }

    /// A machine that runs the probe as a program.
    fn host(name: &str) -> Self {
        Self {
            name: name.into(),
            core: std::env::consts::ARCH.into(),
            target: std::env::consts::ARCH.into(),
            clock_hz: 0,
            unit: latency_probe::host::UNIT.into(),
            flash_bytes: u32::MAX,
            ram_bytes: u32::MAX,
            tested: "wherever this runs".into(),
            link: Link::Host,
            folder: PathBuf::new(),
        }
    }

    /// Whether equal work takes equally many ticks, always: so it is where instructions are counted.
    pub(crate) fn is_deterministic(&self) -> bool {
        self.unit == "instructions"
    }

    /// The boards there are, sorted.
    ///
    /// # Errors
    /// If ofa's sources are not where they were built.
    pub fn names() -> Result<Vec<String>> {
        let boards = root().join("boards");
        let entries = std::fs::read_dir(&boards).with_context(|| {
            format!("cannot read {}; set OFA_ROOT to the folder of ofa's sources", boards.display())
        })?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.path().join("board.toml").is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn load_from(folder: &Path) -> Result<Self> {
        let path = folder.join("board.toml");
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {origin}"))?;
        let board = Self { folder: folder.into(), ..files::parse_toml(&text, &origin)? };
        let file_name = folder.file_name().unwrap_or_default();
        ensure!(*board.name == *file_name, "{origin}: name: {} is not the folder's", board.name);
        Ok(board)
    }
}

/// Where ofa's sources are: `OFA_ROOT`, or where they were when this was built.
pub fn root() -> PathBuf {
    match std::env::var_os("OFA_ROOT") {
        Some(root) if !root.is_empty() => root.into(),
        _ => Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_is_described() {
        let names = Board::names().unwrap();
        assert!(names.iter().any(|name| name == "mps2-an386"), "{names:?}");
        for name in names {
            Board::load(&name).unwrap();
        }
    }

    #[test]
    fn an_unknown_board_lists_the_known() {
        let error = Board::load("arduino").unwrap_err().to_string();
        assert!(error.starts_with("there is no board arduino; there are: "), "{error}");
        assert!(error.contains("mps2-an386"), "{error}");
    }

    #[test]
    fn a_mistake_in_a_description_is_named_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("board.toml");
        let check = |text: &str, part: &str| {
            std::fs::write(&path, text).unwrap();
            let error = Board::load_from(folder.path()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check("name = 3", "board.toml:1: name");
        check("name = \"other\"\nclock = 5", "board.toml:2: clock");
    }
}
