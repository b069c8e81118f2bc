//! `ofa bench`: what the kernels cost on a board.

mod search;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use trainer::bench::{self, NetBench, Problem};
use trainer::board::Board;
use trainer::files;
use trainer::model::Compiled;
use trainer::progress::with_progress;
#[cfg(feature = "torch")]
use trainer::train::speed;

/// Time the runtime on a board, or training on this machine.
#[derive(Args)]
pub struct Cmd {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Time single layers: ticks per multiply-accumulate.
    #[command(
        after_help = concat!(
            "Examples:\n",
            "  ofa bench kernels --board host\n",
            "  ofa bench kernels --board microbit --layers runtime/benches/small.json",
        )
    )]
    Kernels {
        /// A JSON list of {"kind": "pointwise"|"depthwise"|"conv"|"linear"|"block", "input": [height, width,
        /// channels], "out", "kernel", "stride", "expand", "residual", "act": "none"|"relu"|"relu6"|"hswish",
        /// "squeeze_excite"}; those of runtime/RESULTS.md where not given.
        #[arg(long)]
        layers: Option<PathBuf>,
        /// A folder of boards/, or host: this machine.
        #[arg(long, default_value = "mps2-an386")]
        board: String,
        /// Of weights and inputs.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Time a compiled net, beside its layers alone.
    #[command(after_help = "Example:\n  ofa bench net model --board mps2-an386")]
    Net {
        /// A folder that `ofa compile` wrote.
        model: PathBuf,
        /// A folder of boards/.
        #[arg(long, default_value = "mps2-an386")]
        board: String,
        /// Of the layers' weights and inputs.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Time the search: evaluations a second, on a predictor and a table of the original's form.
    Search(search::Cmd),
    /// Time training steps of a space's largest net here: images per second.
    #[cfg(feature = "torch")]
    #[command(
        after_help = concat!(
            "Examples:\n",
            "  ofa bench train --space mcu --resolution 96 --batch 32\n",
            "  ofa bench train --python python3",
        )
    )]
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
        let text = match self.command {
            What::Kernels { layers, board, seed, json } => kernels(layers.as_deref(), &board, seed, json)?,
            #[cfg(feature = "torch")]
            What::Train { space, resolution, batch, steps, python, json } => {
                let space = trainer::space::Space::load(&space)?;
                let problem = speed::Problem { space: &space, resolution, batch: usize::from(batch), steps };
                let speed = speed::speed(&problem, python.as_deref())?;
                if json { serde_json::to_string_pretty(&speed)? } else { as_text(&speed) }
            }
            What::Search(cmd) => cmd.text()?,
            What::Net { model, board, seed, json } => net(&model, &Board::load(&board)?, seed, json)?,
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}

/// Those that are compared with other libraries.
const LAYERS: &str = include_str!("../../../../runtime/benches/layers.json");

fn kernels(layers: Option<&Path>, board: &str, seed: u64, json: bool) -> Result<String> {
    let problems: Vec<Map<String, Value>> = match layers {
        Some(path) => files::read_json(path, "hand")?,
        None => serde_json::from_str(LAYERS)?,
    };
    let parsed = problems.iter().map(Problem::parse).collect::<Result<Vec<_>>>()?;
    let results = with_progress("bench", parsed.len(), |done| match board {
        "host" => Ok(bench::kernels_here(&parsed, seed, done)),
        _ => bench::kernels(&Board::load(board)?, &parsed, seed, done),
    })?;
    let unit = results.iter().find_map(|row| row.get("unit")?.as_str()).unwrap_or("ticks");
    if !json {
        return Ok(table(&results, unit));
    }
    let rows = problems.into_iter().zip(results).map(|(mut row, result)| {
        row.extend(result);
        json!(row).to_string()
    });
    Ok(format!("[{}]", rows.collect::<Vec<_>>().join(",\n ")))
}

fn net(model: &Path, board: &Board, seed: u64, json: bool) -> Result<String> {
    let model = Compiled::load(model)?;
    let bench = with_progress("bench", model.layers().len() + 1, |done| bench::net(board, &model, seed, done))?;
    if json {
        return Ok(serde_json::to_string_pretty(&bench)?);
    }
    let NetBench { mut layers, opening, unit, ticks, sum_of_layers, macs, arena_bytes, unfused_bytes, exact } = bench;
    if let Some(mut opening) = opening {
        opening.insert("layer".into(), "the two above as one, which is how they run".into());
        layers.insert(2, opening);
    }
    let difference = (f64::from(ticks) / sum_of_layers.max(1) as f64 - 1.0) * 100.0;
    Ok(format!(
        "{}\nnet: {ticks} {unit}, {:.3} per MAC; layers alone {sum_of_layers}, a difference of {difference:.2} %\n\
         SRAM {arena_bytes} bytes; layer by layer, unfused: {unfused_bytes}\nscores {} the host's",
        table(&layers, &unit),
        f64::from(ticks) / macs.max(1) as f64,
        if exact { "are" } else { "are not" }
    ))
}

/// A line for each layer, for people.
fn table(rows: &[Map<String, Value>], unit: &str) -> String {
    let mut text = format!("{:62} {:>10} {unit:>12} {:>8} {:>12}", "layer", "MACs", "per MAC", "arena bytes");
    for row in rows {
        let field = |name: &str| row.get(name).map_or(String::new(), Value::to_string);
        text += "\n";
        text += &match row.get("unsupported").and_then(Value::as_str) {
            Some(cause) => format!("refused: {cause}"),
            None => format!(
                "{:62} {:>10} {:>12} {:>8} {:>12}",
                row.get("layer").and_then(Value::as_str).unwrap_or_default(),
                field("macs"),
                field("ticks"),
                field("ticks_per_mac"),
                field("arena_bytes")
            ),
        };
    }
    text
}

#[cfg(feature = "torch")]
fn as_text(speed: &speed::Speed) -> String {
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
