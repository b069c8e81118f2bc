//! `ofa space`: what a search space holds.

mod suggest;

use std::io::Write;

use anyhow::Result;
use clap::{Args, Subcommand};
use runtime::Layer;
use serde_json::json;
use trainer::model::{arena_bytes, unfused_bytes};
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
    Show {
        /// A built-in space (fashion, mcu, mobilenetv3; mcu:7 is the same for 7 classes, mcu@0.5 of half the width) or a TOML file.
        space: String,
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
    unfused_sram_bytes: usize,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let text = match self.command {
            Show::Suggest(cmd) => cmd.text()?,
            Show::Show { space, json } => {
                let space = Space::load(&space)?;
                if json { as_json(&space) } else { as_text(&space) }
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
        unfused_sram_bytes: unfused_bytes(&layers),
    }
}

fn as_json(space: &Space) -> String {
    let cost = |arch: &Arch| {
        let Cost { macs, parameters, sram_bytes, unfused_sram_bytes } = cost(space, arch);
        json!({
            "arch": arch,
            "macs": macs,
            "parameters": parameters,
            "sram_bytes": sram_bytes,
            "unfused_sram_bytes": unfused_sram_bytes,
        })
    };
    let value = json!({
        "name": space.name,
        "hash": space.hash(),
        "subnets": space.subnets().map(|count| count.to_string()),
        "distinct_layers": space.distinct_layers().len(),
        "smallest": cost(&space.smallest()),
        "largest": cost(&space.largest()),
        "space": space,
    });
    format!("{value:#}")
}

fn as_text(space: &Space) -> String {
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
        let Cost { macs, parameters, sram_bytes, unfused_sram_bytes } = cost(space, &arch);
        lines.push(format!(
            "  {name:9} {:.2} MMAC, {parameters} parameters, {sram_bytes} bytes of peak SRAM \
             ({unfused_sram_bytes} layer by layer)",
            macs as f64 / 1e6
        ));
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
