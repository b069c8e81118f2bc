//! `ofa measure`: a board's latency table; whether the board is fit for one, and how well it foretells nets.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use clap::Args;
use runtime::Layer;
use serde_json::json;
use trainer::board::{Board, is_host};
use trainer::device::describe_link;
use trainer::estimate::{self, HeldOut, Prior};
use trainer::files;
use trainer::measure::selftest::selftest;
use trainer::measure::validate::{Validation, draw, validate};
use trainer::measure::{Bench, Settings, add_openings, change_of_condition, measure_into, measure_missing};
use trainer::space::Space;
use trainer::table::{DRIFT_PERCENT, Entry, LatencyTable, Outcome};

use trainer::progress::with_progress;

/// Measure every layer of a space on a board, and compare every output with this host's.
///
/// Killed at any moment, the same command goes on where it stopped.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Examples:\n",
        "  ofa measure --board mps2-an386 --selftest\n",
        "  ofa measure --board mps2-an386 --space mcu --budget 106\n",
        "  ofa measure --board mps2-an386 --validate 30 --json",
    )
)]
pub struct Cmd {
    /// A folder of boards/, or host: this machine.
    #[arg(long)]
    board: String,
    /// The way to the board: exec:COMMAND, tcp:HOST:PORT, serial:PATH:BAUD or, to choose between debug probes,
    /// rtt:SERIAL [default: what its board.toml names].
    #[arg(long)]
    link: Option<String>,
    /// A built-in space or a TOML file.
    #[arg(long, default_value = "fashion")]
    space: String,
    /// Measure these layers instead of all: a JSON list as in a latency table.
    #[arg(long, conflicts_with = "validate")]
    layers: Option<PathBuf>,
    /// Where the table goes [default: latency/BOARD.json].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Of weights and inputs; of the nets, with --validate.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Of each layer, at most: fewer where they agree [default: 3 where instructions are counted, else 48].
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    runs: Option<u8>,
    /// Emulated boards at the same time [default: one for each core].
    #[arg(long)]
    boards: Option<usize>,
    /// Measure so many random whole nets, and compare them with the sums of the table's layers. Layers that the table
    /// lacks are measured first.
    #[arg(long, value_name = "NETS", value_parser = clap::value_parser!(u16).range(2..))]
    validate: Option<u16>,
    /// The table that is validated [default: the one at --out].
    #[arg(long, requires = "validate")]
    table: Option<PathBuf>,
    /// See whether the board and its probe are fit to measure.
    #[arg(long, conflicts_with = "validate")]
    selftest: bool,
    /// Measure only so many layers, those that tell the most, and predict the others from them.
    #[arg(long, conflicts_with = "validate", value_parser = clap::value_parser!(u32).range(estimate::FEWEST as i64..))]
    budget: Option<u32>,
    /// With --budget: another board's table of the same space, from which this board differs by what each kind of work
    /// costs.
    #[arg(long, value_name = "TABLE", requires = "budget")]
    transfer_from: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, conflicts_with = "selftest")]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let board = Board::load(&self.board)?;
        let space = Space::load(&self.space)?;
        let out = self.out.clone().unwrap_or_else(|| format!("latency/{}.json", board.name).into());
        let runs = self.runs.unwrap_or_else(|| Settings::usual_runs(&board));
        let settings = Settings { seed: self.seed, runs, boards: self.boards.unwrap_or(0) };
        let bench = || {
            // Before the build, as an emulator that is missing is quickly told.
            describe_link(&board, self.link.as_deref())?;
            Bench::new(&board, self.link.as_deref())
        };
        if self.selftest {
            return print_selftest(&bench()?);
        }
        if let Some(nets) = self.validate {
            let table = self.table.as_deref().unwrap_or(&out);
            return print_validation(&validation(&bench()?, &space, table, nets.into(), settings)?, self.json);
        }
        let layers = match &self.layers {
            Some(path) => files::read_json::<Vec<Layer>>(path, "hand, or as a part of a latency table")?,
            None => space.distinct_layers(),
        };
        ensure!(!layers.is_empty(), "there are no layers to measure");
        files::check_writable(&out)?;
        LatencyTable::check_place(&out, &space)?;
        let other = self.transfer_from.as_ref().map(|path| LatencyTable::load(path, &space)).transpose()?;
        let prior = other.as_ref().map_or(Prior::Macs, Prior::Table);
        let start = Instant::now();
        let bench = bench()?;
        let measured = match self.budget {
            Some(budget) => chosen(&bench, &layers, budget as usize, prior, self.seed)?,
            None => layers.clone(),
        };
        let measure = |done: &(dyn Fn() + Sync)| measure_into(&out, &bench, &space, &measured, settings, done);
        let mut table = with_progress("measure", distinct(&measured), measure)?;
        let mut held_out = None;
        if let Some(budget) = self.budget {
            held_out = Some(estimate::complete(&mut table, &layers, prior)?);
            add_openings(&mut table, &bench, &space, &layers, settings)?;
            table.provenance.command += &format!(" --budget {budget}");
            if let Some(path) = &self.transfer_from {
                table.provenance.command += &format!(" --transfer-from {}", path.display());
            }
            table.save(&out)?;
        }
        warn_of_drift(&table);
        let mut stdout = std::io::stdout().lock();
        if self.json {
            return Ok(writeln!(stdout, "{:#}", as_json(&table, held_out, &out))?);
        }
        writeln!(stdout, "{}", summary(&table, held_out, other.is_some(), start.elapsed().as_secs_f64()))?;
        Ok(writeln!(stdout, "{}", out.display())?)
    }
}

/// The layers to measure: those that the budget buys, and all that the board refuses, which cost nothing.
fn chosen(bench: &Bench<'_>, layers: &[Layer], budget: usize, prior: Prior<'_>, seed: u64) -> Result<Vec<Layer>> {
    let (runnable, refused) = estimate::runnable(&bench.capacity()?, layers);
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

fn distinct(layers: &[Layer]) -> usize {
    layers.iter().collect::<std::collections::HashSet<_>>().len()
}

fn print_selftest(bench: &Bench<'_>) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    let mut wrong = vec![];
    for (name, outcome) in selftest(bench.board, &*bench.port)? {
        match outcome {
            Ok(said) => writeln!(stdout, "{name:8} ok: {said}")?,
            Err(error) => {
                writeln!(stdout, "{name:8} WRONG: {}", format!("{error:#}").replace('\n', " "))?;
                wrong.push(name);
            }
        }
    }
    if !wrong.is_empty() {
        bail!("{} is not fit to measure: {}; see latency-probe/README.md", bench.board.name, wrong.join(", "));
    }
    Ok(writeln!(stdout, "{} is fit to measure", bench.board.name)?)
}

fn validation(bench: &Bench<'_>, space: &Space, path: &Path, nets: usize, settings: Settings) -> Result<Validation> {
    let drawn = draw(space, nets, settings.seed);
    let mut looked_at = 0;
    let mut fitting = 0;
    let table = loop {
        // Others take the place of the nets that the board has no room for.
        let more = (nets - fitting).min(drawn.len() - looked_at);
        looked_at += more;
        let mut needed = drawn[..looked_at].concat();
        needed.sort_unstable();
        needed.dedup();
        let measure = |done: &(dyn Fn() + Sync)| measure_missing(path, bench, space, &needed, settings, done);
        let table = with_progress("measure", needed.len(), measure)?;
        let fits = |net: &&Vec<Layer>| net.iter().all(|layer| table.ticks(layer).is_some());
        fitting = drawn[..looked_at].iter().filter(fits).count();
        if fitting >= nets || looked_at == drawn.len() {
            break table;
        }
    };
    warn_of_drift(&table);
    with_progress("validate", nets, |done| validate(bench.board, &*bench.port, &table, &drawn, nets, done))
}

fn print_validation(validation: &Validation, json: bool) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    if json {
        return Ok(writeln!(stdout, "{}", serde_json::to_string_pretty(validation)?)?);
    }
    let Validation { board, unit, nets, refused, mape, within_5_percent, spearman, macs_only } = validation;
    writeln!(stdout, "{board}: {nets} random nets in {unit}, each with this host's output; {refused} do not fit")?;
    writeln!(stdout, "{:12} {:>8} {:>10} {:>10}", "", "MAPE", "within 5 %", "Spearman")?;
    writeln!(stdout, "{:12} {mape:>7.2}% {within_5_percent:>9.1}% {spearman:>10.4}", "the table")?;
    Ok(writeln!(stdout, "{:12} {:>7.2}% {:>10} {:>10.4}", "MACs alone", macs_only.mape, "", macs_only.spearman)?)
}

fn warn_of_drift(table: &LatencyTable) {
    if let Some(sentinel) = table.sentinel.as_ref().filter(|sentinel| sentinel.trend_percent.abs() >= DRIFT_PERCENT) {
        eprintln!(
            "warning: {} drifted by {:+.1} % while it measured ({} readings of {}); let it settle, and measure again",
            table.provenance.board, sentinel.trend_percent, sentinel.readings, sentinel.text
        );
    }
    if let Some(change) = change_of_condition(&table.provenance.core) {
        eprintln!("warning: {}: {change}; fix its governor, let it settle, and measure again", table.provenance.board);
    }
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
    if !table.openings.is_empty() {
        lines.push(format!("{} stems measured as one with the block behind them, as they run", table.openings.len()));
    }
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
        None if is_host(&table.provenance.board) => {
            "what a firmware takes beside its net is left out: this is no firmware".into()
        }
        None => "what a firmware takes beside its net is left out: the runtime cannot run the space's smallest".into(),
    });
    lines.join("\n")
}
