//! `ofa study`: what a step is worth, measured.

mod predictor;
mod search;
mod shrinking;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Measure what a step is worth: a table and a plot.
#[derive(Args)]
pub struct Cmd {
    #[command(subcommand)]
    study: Study,
}

#[derive(Subcommand)]
enum Study {
    Predictor(predictor::Cmd),
    Search(search::Cmd),
    Shrinking(shrinking::Cmd),
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        match self.study {
            Study::Predictor(cmd) => cmd.run(),
            Study::Search(cmd) => cmd.run(),
            Study::Shrinking(cmd) => cmd.run(),
        }
    }
}
