//! Boards behind a debug probe: it programs the chip, starts it, and then reads and writes rings of bytes in the memory
//! of the running core (SEGGER's real-time transfer, RTT), which are the link.

#[cfg(any(test, feature = "probe-rs"))]
mod choice;
#[cfg(feature = "probe-rs")]
mod probe;
#[cfg(any(test, feature = "probe-rs"))]
mod pump;

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
#[cfg(not(feature = "probe-rs"))]
use anyhow::bail;

use super::{Port, Streams};

/// What an address of such a board begins with; after it comes `SERIAL` or `VID:PID:SERIAL`, or nothing where only one
/// probe is attached.
pub const PREFIX: &str = "rtt:";

/// A board behind a debug probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rtt {
    /// The board's name.
    pub board: String,
    /// What probe-rs calls the chip.
    pub chip: String,
    /// Which probe, where there are several: what follows [`PREFIX`].
    pub probe: Option<String>,
    /// What the chip is programmed with, where it differs from what is there.
    pub firmware: PathBuf,
}

impl fmt::Display for Rtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.probe.as_deref().unwrap_or_default())
    }
}

impl Port for Rtt {
    #[cfg(feature = "probe-rs")]
    fn open(&self) -> Result<Streams> {
        pump::start(probe::attach(self)?)
    }

    #[cfg(not(feature = "probe-rs"))]
    fn open(&self) -> Result<Streams> {
        bail!(missing(&self.board))
    }
}

/// The debug probe that would be used, with its serial number.
///
/// # Errors
/// If there is none or more than one, or this program cannot use one.
#[cfg(feature = "probe-rs")]
pub fn describe(board: &str, probe: Option<&str>) -> Result<String> {
    let found = probe::choose(board, probe)?;
    Ok(format!("RTT by {found}"))
}

/// The debug probe that would be used, with its serial number.
///
/// # Errors
/// If there is none or more than one, or this program cannot use one.
#[cfg(not(feature = "probe-rs"))]
pub fn describe(board: &str, _: Option<&str>) -> Result<String> {
    bail!(missing(board))
}

#[cfg(not(feature = "probe-rs"))]
fn missing(board: &str) -> String {
    format!(
        "{board} is reached through a debug probe, which this ofa was built without: run ./ofa, which builds it with \
         that where a board needs it; or build it with --features probe-rs, or name another way with --link"
    )
}
