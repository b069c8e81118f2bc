//! `ofa measure`: a board's latency table.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use runtime::Layer;
use serde_json::json;
use trainer::board::Board;
use trainer::estimate::{self, HeldOut, Prior};
use trainer::files;
use trainer::measure::{Settings, measure};
use trainer::space::Space;
use trainer::table::{Entry, LatencyTable, Outcome};

use trainer::progress::with_progress;

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
    /// Measure only so many layers, those that tell the most, and predict the others from them.
    #[arg(long, value_parser = clap::value_parser!(u32).range(estimate::FEWEST as i64..))]
    budget: Option<u32>,
    /// With --budget: another board's table of the same space, from which this board differs by what each kind of work
    /// costs.
    #[arg(long, value_name = "TABLE", requires = "budget")]
    transfer_from: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
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
        let other = self.transfer_from.as_ref().map(|path| LatencyTable::load(path, &space)).transpose()?;
        let prior = other.as_ref().map_or(Prior::Macs, Prior::Table);
        let start = Instant::now();
        let measured = match self.budget {
            Some(budget) => chosen(&board, &layers, budget as usize, prior, self.seed)?,
            None => layers.clone(),
        };
        let settings = Settings { seed: self.seed, runs: self.runs, boards: self.boards.unwrap_or(0) };
        let mut table =
            with_progress("measure", measured.len(), |done| measure(&board, &space, &measured, settings, done))?;
        let mut held_out = None;
        if let Some(budget) = self.budget {
            held_out = Some(estimate::complete(&mut table, &layers, prior)?);
            table.provenance.command += &format!(" --budget {budget}");
            if let Some(path) = &self.transfer_from {
                table.provenance.command += &format!(" --transfer-from {}", path.display());
            }
        }
        table.save(&out)?;
        let mut stdout = std::io::stdout().lock();
        if self.json {
            return Ok(writeln!(stdout, "{:#}", as_json(&table, held_out, &out))?);
        }
        writeln!(stdout, "{}", summary(&table, held_out, other.is_some(), start.elapsed().as_secs_f64()))?;
        Ok(writeln!(stdout, "{}", out.display())?)
    }
}

/// The layers to measure: those that the budget buys, and all that the board refuses, which cost nothing.
fn chosen(board: &Board, layers: &[Layer], budget: usize, prior: Prior<'_>, seed: u64) -> Result<Vec<Layer>> {
    let (runnable, refused) = estimate::runnable(board, layers)?;
    // Layers that the other board refused cannot be told from its table.
    let (known, unknown): (Vec<_>, Vec<_>) = runnable.into_iter().partition(|layer| prior.knows(layer));
    Ok([estimate::choose(&known, budget, seed), unknown, refused].concat())
}

fn as_json(table: &LatencyTable, held_out: Option<HeldOut>, out: &Path) -> serde_json::Value {
    let count = |kind: fn(&Outcome) -> bool| table.layers.iter().filter(|entry| kind(&entry.outcome)).count();
    json!({
        "board": table.provenance.board,
        "unit": table.provenance.unit,
        "measured": count(|outcome| matches!(outcome, Outcome::Measured { .. })),
        "predicted": count(|outcome| matches!(outcome, Outcome::Predicted { .. })),
        "refused": count(|outcome| matches!(outcome, Outcome::Refused(_))),
        "ticks": table.layers.iter().filter_map(Entry::ticks).map(u64::from).sum::<u64>(),
        "held_out": held_out,
        "table": out,
    })
}

fn summary(table: &LatencyTable, held_out: Option<HeldOut>, transfer: bool, seconds: f64) -> String {
    let measured = table.measured();
    let ticks: u64 = measured.iter().map(|(_, ticks)| u64::from(*ticks)).sum();
    let unit = &table.provenance.unit;
    let mut lines = vec![format!(
        "{}: {} layers, {ticks} {unit} in all, {} checksums equal this host's, {seconds:.1} s",
        table.provenance.board,
        measured.len(),
        measured.len()
    )];
    if let Some(held_out) = held_out {
        let predicted = |entry: &&Entry| matches!(entry.outcome, Outcome::Predicted { .. });
        let HeldOut { layers, median_error, error_of_nine_in_ten, largest_error, transferred } = held_out;
        let [median, nine, largest] = [median_error, error_of_nine_in_ten, largest_error].map(|error| 100.0 * error);
        lines.push(format!(
            "{} layers predicted; of {layers} layers, each predicted from the others: median error {median:.1} %, \
             9 of 10 within {nine:.1} %, largest {largest:.1} %",
            table.layers.iter().filter(predicted).count()
        ));
        if transfer && !transferred {
            lines.push("the other board's table is no help: these layers alone foretell better".into());
        }
    }
    let mut causes: Vec<_> = table
        .layers
        .iter()
        .filter_map(|entry| match &entry.outcome {
            Outcome::Refused(cause) => Some(cause.as_str()),
            Outcome::Measured { .. } | Outcome::Predicted { .. } => None,
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
