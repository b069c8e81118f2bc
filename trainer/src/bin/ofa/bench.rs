//! `ofa bench`: what the kernels cost on a board.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use trainer::bench;
use trainer::board::Board;
use trainer::files;

use trainer::progress::with_progress;
#[cfg(feature = "torch")]
use trainer::train::speed::{Problem, Speed, speed};

/// Time the runtime on a board, or training on this machine.
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
    /// Time training steps of a space's largest net here: images per second.
    #[cfg(feature = "torch")]
    Train {
        /// A built-in space or a TOML file.
        #[arg(long, default_value = "mcu")]
        space: String,
        /// Side of the images.
        #[arg(long, default_value_t = 64)]
        resolution: u16,
        /// Images in a step.
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..))]
        batch: u16,
        /// Steps that count.
        #[arg(long, default_value_t = 30)]
        steps: usize,
        /// A Python with torch: takes the same steps in turn with ours.
        #[arg(long)]
        python: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        match self.command {
            What::Kernels { layers, board, seed } => kernels(&layers, &board, seed),
            #[cfg(feature = "torch")]
            What::Train { space, resolution, batch, steps, python, json } => {
                let space = trainer::space::Space::load(&space)?;
                let problem = Problem { space: &space, resolution, batch: usize::from(batch), steps };
                let speed = speed(&problem, python.as_deref())?;
                let text = if json { serde_json::to_string_pretty(&speed)? } else { as_text(&speed) };
                Ok(writeln!(std::io::stdout(), "{text}")?)
            }
        }
    }
}

fn kernels(layers: &Path, board: &str, seed: u64) -> Result<()> {
    let board = Board::load(board)?;
    let problems: Vec<Map<String, Value>> = files::read_json(layers, "hand")?;
    let parsed = problems.iter().map(bench::Problem::parse).collect::<Result<Vec<_>>>()?;
    let results = with_progress("bench", parsed.len(), |done| bench::kernels(&board, &parsed, seed, done))?;
    let rows = problems.into_iter().zip(results).map(|(mut row, result)| {
        row.extend(result);
        json!(row).to_string()
    });
    let rows: Vec<_> = rows.collect();
    Ok(writeln!(std::io::stdout(), "[{}]", rows.join(",\n "))?)
}

#[cfg(feature = "torch")]
fn as_text(speed: &Speed) -> String {
    let line = |who: &str, median: f64, best: f64| format!("{who:13} {median:8.1} images/s (best step {best:.1})");
    let mut lines = vec![
        format!("{:.2} MMAC, {} steps of each, {} threads", speed.macs as f64 / 1e6, speed.steps, speed.threads),
        line("ofa", speed.ours, speed.ours_best),
    ];
    if let (Some(median), Some(best)) = (speed.torch, speed.torch_best) {
        lines.push(line("Python torch", median, best));
        lines.push(format!("ratio         {:8.2} (best steps {:.2})", speed.ours / median, speed.ours_best / best));
    }
    lines.join("\n")
}
