//! `ofa table`: what there is to do with latency tables.

mod check;
mod diff;
mod import;
mod merge;
mod plot;
mod show;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Look at latency tables, compare, merge, check and import them.
#[derive(Args)]
pub struct Cmd {
    #[command(subcommand)]
    command: Table,
}

#[derive(Subcommand)]
enum Table {
    Show(show::Cmd),
    Diff(diff::Cmd),
    Merge(merge::Cmd),
    Check(check::Cmd),
    Plot(plot::Cmd),
    Import(import::Cmd),
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        match self.command {
            Table::Show(cmd) => cmd.run(),
            Table::Diff(cmd) => cmd.run(),
            Table::Merge(cmd) => cmd.run(),
            Table::Check(cmd) => cmd.run(),
            Table::Plot(cmd) => cmd.run(),
            Table::Import(cmd) => cmd.run(),
        }
    }
}

pub use check::Suspicious;
