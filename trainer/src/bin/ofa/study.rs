//! `ofa study`: what a step is worth, measured.

mod predictor;

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
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        match self.study {
            Study::Predictor(cmd) => cmd.run(),
        }
    }
}
