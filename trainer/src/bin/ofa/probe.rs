//! `ofa probe`: this machine as a board, for `ofa measure --board host`.

use anyhow::{Context, Result};
use clap::Args;

/// Answer as a board over stdin and stdout.
#[derive(Args)]
pub struct Cmd {
    /// The board's name.
    #[arg(default_value = "host")]
    name: String,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        latency_probe::host::serve_stdio(&self.name).context("the link to the host")
    }
}
