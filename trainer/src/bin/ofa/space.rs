//! `ofa space`: what a search space holds.

mod suggest;

use std::io::Write;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use runtime::Layer;
use serde::Serialize;
use serde_json::{Value, json};
use trainer::model::{arena_bytes, rows_arena_bytes, unfused_bytes};
use trainer::space::{Arch, Space};

/// Look at a search space, or find one for a board.
#[derive(Args)]
pub struct Cmd {
    #[command(subcommand)]
    command: Show,
}

#[derive(Subcommand)]
enum Show {
    /// Print its stages, how many nets it has, and what the smallest and the largest cost.
    #[command(after_help = "Examples:\n  ofa space show mcu:3\n  ofa space show space.toml --random 2000")]
    Show {
        /// A built-in space (fashion, mcu, mobilenetv3; mcu:7 is the same for 7 classes, mcu@0.5 of half the width) or a TOML file.
        space: String,
        /// Also what so many nets drawn evenly need of SRAM, as shares of layer by layer.
        #[arg(long, value_name = "N")]
        random: Option<usize>,
        /// Of the draw of random nets.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    Suggest(suggest::Cmd),
}

struct Cost {
    macs: u64,
    parameters: usize,
    sram_bytes: usize,
    rows_sram_bytes: Option<usize>,
    unfused_sram_bytes: usize,
}

/// What random nets need.
#[derive(Serialize)]
struct Random {
    nets: usize,
    seed: u64,
    sram: Shares,
    rows_sram: Option<Shares>,
}

/// Of SRAM, relative to layer by layer.
#[derive(Serialize)]
struct Shares {
    lowest: f64,
    median: f64,
    highest: f64,
    /// Share of the nets that need at most a half.
    at_most_half: f64,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let text = match self.command {
            Show::Suggest(cmd) => cmd.text()?,
            Show::Show { space, random, seed, json } => {
                let space = Space::load(&space)?;
                ensure!(random != Some(0), "--random 0 draws nothing");
                let random = random.map(|nets| Random::new(&space, nets, seed));
                if json { as_json(&space, random)? } else { as_text(&space, random) }
            }
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}

fn cost(space: &Space, arch: &Arch) -> Cost {
    let layers = space.layers(arch);
    Cost {
        macs: layers.iter().map(Layer::macs).sum(),
        parameters: layers.iter().map(Layer::parameters).sum(),
        sram_bytes: arena_bytes(&layers),
        rows_sram_bytes: rows_arena_bytes(&layers),
        unfused_sram_bytes: unfused_bytes(&layers),
    }
}

impl Random {
    fn new(space: &Space, nets: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let costs: Vec<_> = (0..nets).map(|_| cost(space, &space.sample(&mut rng))).collect();
        let share = |cost: &Cost, bytes: usize| bytes as f64 / cost.unfused_sram_bytes as f64;
        let rows = costs.iter().map(|cost| Some(share(cost, cost.rows_sram_bytes?))).collect::<Option<_>>();
        let sram = Shares::new(costs.iter().map(|cost| share(cost, cost.sram_bytes)).collect());
        Self { nets, seed, sram, rows_sram: rows.map(Shares::new) }
    }
}

impl Shares {
    /// Of at least one net.
    fn new(mut shares: Vec<f64>) -> Self {
        shares.sort_by(f64::total_cmp);
        let (count, half) = (shares.len(), shares.partition_point(|&share| share <= 0.5));
        let at_most_half = half as f64 / count as f64;
        Self { lowest: shares[0], median: shares[count / 2], highest: shares[count - 1], at_most_half }
    }

    fn text(&self) -> String {
        let Self { lowest, median, highest, at_most_half } = self;
        format!(
            "{lowest:.2} to {highest:.2} of layer by layer, {median:.2} in the middle, at most a half for {:.0} %",
            100.0 * at_most_half
        )
    }
}

fn as_json(space: &Space, random: Option<Random>) -> Result<String> {
    let cost = |arch: &Arch| {
        let Cost { macs, parameters, sram_bytes, rows_sram_bytes, unfused_sram_bytes } = cost(space, arch);
        json!({
            "arch": arch,
            "macs": macs,
            "parameters": parameters,
            "sram_bytes": sram_bytes,
            "rows_sram_bytes": rows_sram_bytes,
            "unfused_sram_bytes": unfused_sram_bytes,
        })
    };
    let mut value = json!({
        "name": space.name,
        "hash": space.hash(),
        "subnets": space.subnets().map(|count| count.to_string()),
        "distinct_layers": space.distinct_layers().len(),
        "smallest": cost(&space.smallest()),
        "largest": cost(&space.largest()),
        "space": space,
    });
    if let (Value::Object(fields), Some(random)) = (&mut value, random) {
        fields.insert("random".into(), serde_json::to_value(random)?);
    }
    Ok(format!("{value:#}"))
}

fn as_text(space: &Space, random: Option<Random>) -> String {
    let mut lines = vec![
        format!("space {} ({})", space.name, space.hash()),
        format!(
            "  images    {} channel(s), {} px, {} classes",
            space.input.channels.0,
            list(&space.input.resolutions.0),
            space.classes.0
        ),
        format!(
            "  stem      {} channels, kernel {}, stride {}, {}",
            space.stem.channels.0, space.stem.kernel.0, space.stem.stride.0, space.stem.activation
        ),
    ];
    for (i, stage) in space.stages.0.iter().enumerate() {
        lines.push(format!(
            "  stage {i}   {} channels, stride {}, {}{}; depth {}, kernel {}, expand {}",
            stage.width.0,
            stage.stride.0,
            stage.activation,
            if stage.squeeze { ", squeeze-and-excite" } else { "" },
            list(&stage.depth.0),
            list(&stage.kernel.0),
            list(&stage.expand.0)
        ));
    }
    let features =
        space.head.features.as_ref().map_or(String::new(), |features| format!(", then {} features", features.0));
    lines.push(format!("  head      {} channels, {}{features}", space.head.channels.0, space.head.activation));
    let subnets = match space.subnets() {
        Some(count) if count < 1_000_000_000 => count.to_string(),
        Some(count) => format!("{:.3e}", count as f64),
        None => "more than 2^128".into(),
    };
    lines.push(format!("  subnets   {subnets}, of {} distinct layers", space.distinct_layers().len()));
    for (name, arch) in [("smallest", space.smallest()), ("largest", space.largest())] {
        let Cost { macs, parameters, sram_bytes, rows_sram_bytes, unfused_sram_bytes } = cost(space, &arch);
        let rows = rows_sram_bytes.map_or(String::new(), |bytes| format!("; {bytes} with images row by row"));
        lines.push(format!(
            "  {name:9} {:.2} MMAC, {parameters} parameters, {sram_bytes} bytes of peak SRAM \
             ({unfused_sram_bytes} layer by layer{rows})",
            macs as f64 / 1e6
        ));
    }
    if let Some(Random { nets, sram, rows_sram, .. }) = random {
        lines.push(format!("  random    {nets} nets: peak SRAM {}", sram.text()));
        lines.extend(rows_sram.map(|shares| format!("  row by row      {}", shares.text())));
    }
    lines.join("\n")
}

/// `1, 2, 3`, or `128 to 224 (25 sizes)` where there are many.
fn list<T: std::fmt::Display>(choices: &[T]) -> String {
    if choices.len() > 6 {
        return format!("{} to {} ({} choices)", choices[0], choices[choices.len() - 1], choices.len());
    }
    choices.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
