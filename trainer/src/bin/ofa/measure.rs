//! `ofa measure`: a board's latency table.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use runtime::Layer;
use trainer::board::Board;
use trainer::files;
use trainer::measure::{Settings, measure};
use trainer::space::Space;
use trainer::table::{LatencyTable, Outcome};

use crate::progress::with_progress;

/// Measure every layer of a space on a board, and compare every output with this host's.
#[derive(Args)]
pub struct Cmd {
    /// A folder of boards/.
    #[arg(long)]
    board: String,
    /// A built-in space or a TOML file.
    #[arg(long, default_value = "fashion")]
    space: String,
    /// Measure these layers instead of all: a JSON list as in a latency table.
    #[arg(long)]
    layers: Option<PathBuf>,
    /// Where the table goes [default: latency/BOARD.json].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Of weights and inputs.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Of each layer.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    runs: u8,
    /// Emulated boards at the same time [default: one for each core].
    #[arg(long)]
    boards: Option<usize>,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let board = Board::load(&self.board)?;
        let space = Space::load(&self.space)?;
        let layers = match &self.layers {
            Some(path) => files::read_json::<Vec<Layer>>(path, "hand, or as a part of a latency table")?,
            None => space.distinct_layers(),
        };
        ensure!(!layers.is_empty(), "there are no layers to measure");
        let out = self.out.unwrap_or_else(|| format!("latency/{}.json", board.name).into());
        files::check_writable(&out)?;
        let start = Instant::now();
        let settings = Settings { seed: self.seed, runs: self.runs, boards: self.boards.unwrap_or(0) };
        let table = with_progress("measure", layers.len(), |done| measure(&board, &space, &layers, settings, done))?;
        table.save(&out)?;
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", summary(&table, start.elapsed().as_secs_f64()))?;
        Ok(writeln!(stdout, "{}", out.display())?)
    }
}

fn summary(table: &LatencyTable, seconds: f64) -> String {
    let (measured, refused): (Vec<_>, Vec<_>) = table.layers.iter().partition(|entry| entry.ticks().is_some());
    let ticks: u64 = measured.iter().filter_map(|entry| entry.ticks()).map(u64::from).sum();
    let unit = &table.provenance.unit;
    let mut lines = vec![format!(
        "{}: {} layers, {ticks} {unit} in all, {} checksums equal this host's, {seconds:.1} s",
        table.provenance.board,
        measured.len(),
        measured.len()
    )];
    let mut causes: Vec<_> = refused
        .iter()
        .filter_map(|entry| match &entry.outcome {
            Outcome::Refused(cause) => Some(cause.as_str()),
            Outcome::Measured { .. } => None,
        })
        .collect();
    causes.sort_unstable();
    for group in causes.chunk_by(|a, b| a == b) {
        lines.push(format!("{} layers refused: {}", group.len(), group[0]));
    }
    lines.push(match table.firmware {
        Some(cost) => format!(
            "a firmware takes {} bytes of flash and {} bytes of SRAM beside its net",
            cost.code_bytes, cost.static_bytes
        ),
        None => "what a firmware takes beside its net is left out: the runtime cannot run the space's smallest".into(),
    });
    lines.join("\n")
}
