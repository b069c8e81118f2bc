//! `ofa table`: what there is to do with latency tables.

mod check;
mod diff;
mod merge;
mod plot;
mod show;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Look at latency tables, compare, merge and check them.
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
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        match self.command {
            Table::Show(cmd) => cmd.run(),
            Table::Diff(cmd) => cmd.run(),
            Table::Merge(cmd) => cmd.run(),
            Table::Check(cmd) => cmd.run(),
            Table::Plot(cmd) => cmd.run(),
        }
    }
}

pub use check::Suspicious;
