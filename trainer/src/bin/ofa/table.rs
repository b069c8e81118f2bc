//! `ofa table`: latency tables.

mod import;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Make a latency table of another's.
#[derive(Args)]
pub struct Cmd {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    Import(import::Cmd),
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        match self.command {
            What::Import(cmd) => cmd.run(),
        }
    }
}
