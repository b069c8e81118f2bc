//! `ofa bench search`: what the search takes.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use trainer::predictor::Predictor;
use trainer::search::bench::{SearchBench, made_up_costs, made_up_limits, made_up_predictor, search_bench};
use trainer::search::{Costs, Limits, Problem};
use trainer::space::Space;
use trainer::table::LatencyTable;

#[derive(Args)]
#[command(
    after_help = concat!(
        "Examples:\n",
        "  ofa bench search --original\n",
        "  ofa bench search --space fashion --predictor predictor.onnx --table latency/mps2-an386.json --limit latency=4M",
    )
)]
pub struct Cmd {
    /// A built-in space or a TOML file.
    #[arg(long, default_value = "mobilenetv3@1.2")]
    space: String,
    /// Made up of the original's form (128 to 400, 400, 400 and 1) where not given.
    #[arg(long)]
    predictor: Option<PathBuf>,
    /// Made up where not given.
    #[arg(long)]
    table: Option<PathBuf>,
    /// As for `ofa search`; a latency that a quarter of the nets meet where not given.
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    /// Nets that the predictor is asked about.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..))]
    evaluations: u32,
    /// One for each core where not given.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Search with the original's evolution too, by three seeds.
    #[arg(long)]
    original: bool,
    /// Of the search, and of what is made up.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn text(self) -> Result<String> {
        let space = Space::load(&self.space)?;
        let predictor = match &self.predictor {
            Some(path) => Predictor::load(path, &space)?,
            None => made_up_predictor(&space, 400, self.seed)?,
        };
        let costs = match &self.table {
            Some(path) => Costs::from_table(&space, &LatencyTable::load(path, &space)?)?,
            None => made_up_costs(&space, self.seed)?,
        };
        let limits = match &self.limits[..] {
            [] => made_up_limits(&space, &costs, self.seed),
            limits => Limits::parse(limits.iter().map(String::as_str), costs.clock())?,
        };
        let problem = Problem::new(&space, &predictor, &costs, limits);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads.map_or(0, usize::from)).build();
        let pool = pool.context("cannot start threads")?;
        let bench = pool.install(|| search_bench(&problem, self.evaluations as usize, self.seed, self.original))?;
        if self.json { Ok(serde_json::to_string_pretty(&bench)?) } else { Ok(as_text(&bench)) }
    }
}

fn as_text(bench: &SearchBench) -> String {
    let SearchBench { evaluations, seconds, threads, best, original, .. } = bench;
    let mut text = format!(
        "{evaluations} evaluations in {seconds:.3} s on {threads} threads, {:.0} a second; the best {:.3} %",
        *evaluations as f64 / seconds,
        100.0 * best.accuracy
    );
    if let Some(original) = original {
        let accuracies: Vec<_> = original.accuracies.iter().map(|best| format!("{:.3} %", 100.0 * best)).collect();
        text += &format!(
            "\nthe original's evolution by our predictor code: {} evaluations for each seed, {:.3} s in all; the best {}",
            original.evaluations,
            original.seconds,
            accuracies.join(", ")
        );
    }
    text
}
