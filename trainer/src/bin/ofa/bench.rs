//! `ofa bench`: what the kernels cost on a board.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use trainer::bench::{self, Problem};
use trainer::board::Board;
use trainer::files;

use crate::progress::with_progress;

/// Time the runtime on a board.
#[derive(Args)]
pub struct Cmd {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Time single layers: ticks per multiply-accumulate.
    Kernels {
        /// A JSON list of {"kind": "pointwise"|"depthwise"|"conv"|"linear"|"block", "input": [height, width,
        /// channels], "out", "kernel", "stride", "expand", "residual"}.
        #[arg(long)]
        layers: PathBuf,
        /// A folder of boards/.
        #[arg(long, default_value = "mps2-an386")]
        board: String,
        /// Of weights and inputs.
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let What::Kernels { layers, board, seed } = self.command;
        let board = Board::load(&board)?;
        let problems: Vec<Map<String, Value>> = files::read_json(&layers, "hand")?;
        let parsed = problems.iter().map(Problem::parse).collect::<Result<Vec<_>>>()?;
        let results = with_progress("bench", parsed.len(), |done| bench::kernels(&board, &parsed, seed, done))?;
        let rows = problems.into_iter().zip(results).map(|(mut row, result)| {
            row.extend(result);
            json!(row).to_string()
        });
        let rows: Vec<_> = rows.collect();
        Ok(writeln!(std::io::stdout(), "[{}]", rows.join(",\n "))?)
    }
}
