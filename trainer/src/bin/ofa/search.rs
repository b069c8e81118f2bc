//! `ofa search`: the best net within limits.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use trainer::files;
use trainer::predictor::Predictor;
use trainer::search::{Choice, Costs, Infeasible, Limits, Problem, search};
use trainer::space::Space;
use trainer::table::LatencyTable;

/// Find the most accurate net that fits a board.
///
/// Exit code 1: no net fits; the message says which limit excludes how many, and what the nearest net needs.
#[derive(Args)]
pub struct Cmd {
    /// A built-in space or a TOML file.
    #[arg(long, default_value = "fashion")]
    space: String,
    /// What its widths are multiplied by: 1.2 for the original's tables and predictor.
    #[arg(long, default_value_t = 1.0)]
    width: f64,
    /// From `ofa predictor`.
    #[arg(long, default_value = "predictor.onnx")]
    predictor: PathBuf,
    /// From `ofa measure`; without it there is no latency, and flash is the net's alone.
    #[arg(long)]
    table: Option<PathBuf>,
    /// The most that a net may cost: latency, sram, flash or macs, such as sram=64k. Repeat it for several.
    /// k and M are 1024 and 1024² for bytes (sram: the arena; flash: the net and, with a table, the code), 1000 and
    /// 1000² for the others. A latency counts in the table's unit; ms, us and ns are for a table of time.
    #[arg(long = "limit", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    /// The folder for arch.json and front.json.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print arch.json, or why nothing fits, as JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let space = named_space(&self.space, self.width)?;
        let table = self.table.as_ref().map(|path| LatencyTable::load(path, &space)).transpose()?;
        let unit = table.as_ref().map(|table| table.provenance.unit.as_str());
        let limits = Limits::parse(self.limits.iter().map(String::as_str), unit)?;
        let predictor = Predictor::load(&self.predictor, &space)?;
        let costs = table.as_ref().map_or(Ok(Costs::without_board()), |table| Costs::from_table(&space, table))?;
        files::check_writable(&self.out.join("arch.json"))?;
        let problem = Problem::new(&space, &predictor, &costs, limits);
        let found = search(&problem, self.seed).inspect_err(|error| self.explain(error))?;
        let choice = found.choice(&space, self.seed, &costs, &limits);
        files::write_json(&self.out.join("front.json"), &found.front(&space, self.seed, &costs))?;
        files::write_json(&self.out.join("arch.json"), &choice)?;
        let text = if self.json {
            serde_json::to_string_pretty(&choice)?
        } else {
            let front = found.front.len();
            format!(
                "{}\nof {} nets looked at, {front} on the Pareto front\n{}",
                as_text(&choice),
                found.evaluated,
                self.out.join("arch.json").display()
            )
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}

impl Cmd {
    /// As JSON, where that was asked for, why nothing fits; in words `main` says it.
    fn explain(&self, error: &anyhow::Error) {
        if let (true, Some(infeasible)) = (self.json, error.downcast_ref::<Infeasible>()) {
            // A reader that has gone away misses nothing but this.
            let _ = writeln!(std::io::stdout(), "{:#}", serde_json::json!(infeasible));
        }
    }
}

/// The space of that name, its widths multiplied.
///
/// # Errors
/// One line, if there is no such space or the width is out of range.
pub fn named_space(name: &str, width: f64) -> Result<Space> {
    let space = Space::load(name)?;
    if width == 1.0 { Ok(space) } else { space.with_width(width).with_context(|| format!("--width {width}")) }
}

fn as_text(choice: &Choice) -> String {
    let arch = &choice.arch;
    let mut lines = vec![format!("{0}x{0} pixels; blocks as kernel/expand ratio", arch.resolution)];
    for (i, blocks) in arch.stages.iter().enumerate() {
        let blocks: Vec<_> = blocks.iter().map(|block| format!("{}/{}", block.kernel, block.expand)).collect();
        lines.push(format!("  stage {i}   {}", blocks.join("  ")));
    }
    lines.push(format!("  accuracy  {:.2} %, predicted", 100.0 * choice.accuracy));
    if let Some(latency) = &choice.latency {
        lines.push(format!("  latency   {} {}", latency.predicted, latency.unit));
    }
    lines.push(format!("  SRAM      {} bytes", choice.sram_bytes));
    lines.push(format!("  flash     {} bytes", choice.flash_bytes));
    lines.push(format!("  MACs      {:.2} M", choice.macs as f64 / 1e6));
    lines.join("\n")
}
