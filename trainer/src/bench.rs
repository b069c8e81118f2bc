//! Times single kernels, in the terms in which kernel libraries are compared.

use anyhow::{Context, Result};
use runtime::{Activation, Block, Conv, Layer, Linear, Shape};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::board::Board;
use crate::firmware::{self, Binary};
use crate::measure::{Settings, measure_layers};
use crate::table::{Entry, Outcome};

/// A layer as kernel benchmarks write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Problem {
    kind: Kind,
    input: [u16; 3],
    out: Option<u16>,
    #[serde(default = "one")]
    kernel: u8,
    #[serde(default = "one")]
    stride: u8,
    /// Expanded channels of a block.
    #[serde(default)]
    expand: u16,
    #[serde(default)]
    residual: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Pointwise,
    Depthwise,
    Conv,
    Linear,
    Block,
}

const fn one() -> u8 {
    1
}

impl Problem {
    /// One of a list.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub fn parse(problem: &Map<String, Value>) -> Result<Self> {
        let value = Value::Object(problem.clone());
        serde_path_to_error::deserialize(&value).with_context(|| format!("not a layer: {value}"))
    }

    /// The layer; `None` for a depthwise convolution, which exists as a part of a block only.
    fn layer(&self) -> Option<Layer> {
        let [height, width, channels] = self.input;
        let input = Shape::new(height, width, channels);
        let out = self.out.unwrap_or(channels);
        let conv =
            Conv { input, channels: out, kernel: self.kernel, stride: self.stride, activation: Activation::None };
        Some(match self.kind {
            Kind::Depthwise => return None,
            Kind::Pointwise => Layer::Conv(Conv { kernel: 1, stride: 1, ..conv }),
            Kind::Conv => Layer::Conv(conv),
            Kind::Linear => Layer::Linear(Linear {
                inputs: u16::try_from(input.len()).unwrap_or(u16::MAX),
                outputs: out,
                activation: Activation::None,
            }),
            Kind::Block => Layer::Block(Block {
                input,
                expanded: self.expand,
                kernel: self.kernel,
                stride: self.stride,
                squeeze: 0,
                channels: out,
                residual: self.residual,
                activation: Activation::Relu6,
            }),
        })
    }
}

/// What each layer costs, as fields for its row: ticks in the board's unit, `macs` (padding counted), `ticks_per_mac`,
/// `exact` (its checksum is this host's, or else all of this fails), `ram` (bytes alive at once); or `unsupported`.
///
/// # Errors
/// As [`crate::measure::measure`].
pub fn kernels(
    board: &Board,
    problems: &[Problem],
    seed: u64,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Map<String, Value>>> {
    let probe = firmware::build(board, Binary::Probe)?;
    let layers: Vec<Layer> = problems.iter().filter_map(Problem::layer).collect();
    let settings = Settings { seed, runs: 1, boards: 0 };
    let mut entries = measure_layers(board, &probe, &layers, settings, done)?.into_iter();
    let rows = problems.iter().map(|problem| match problem.layer().and_then(|_| entries.next()) {
        Some(entry) => row(board, &entry),
        None => fields(json!({ "unsupported": "a depthwise convolution is measured as a part of a block only" })),
    });
    Ok(rows.collect())
}

fn row(board: &Board, Entry { outcome, layer, .. }: &Entry) -> Map<String, Value> {
    match outcome {
        Outcome::Measured { ticks, .. } => {
            let macs = layer.macs();
            let per_mac = f64::from(*ticks) / macs.max(1) as f64;
            fields(json!({
                (board.unit.as_str()): ticks,
                "macs": macs,
                "ticks_per_mac": (per_mac * 1000.0).round() / 1000.0,
                "exact": true,
                "ram": layer.arena_bytes(),
            }))
        }
        Outcome::Refused(cause) => fields(json!({ "unsupported": cause })),
    }
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("it is called with objects"),
    }
}
