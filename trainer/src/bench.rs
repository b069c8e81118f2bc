//! Times single kernels, in the terms in which kernel libraries are compared.
//!
//! ```
//! use trainer::bench::{Problem, kernels_here};
//!
//! let fields = serde_json::from_str(r#"{ "kind": "pointwise", "input": [4, 4, 8], "out": 16 }"#)?;
//! let rows = kernels_here(&[Problem::parse(&fields)?], 0, &|| ());
//! assert_eq!((&rows[0]["macs"], &rows[0]["exact"]), (&(4 * 4 * 8 * 16).into(), &true.into()));
//! # Ok::<(), anyhow::Error>(())
//! ```

mod host;

use std::slice;

use anyhow::{Context, Result, ensure};
use runtime::{Activation, Block, Conv, Depthwise, Layer, Linear, Shape};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::board::Board;
use crate::dataset::Images;
use crate::firmware::{self, Binary};
use crate::measure::{Bench, Settings, measure_layers, measure_openings};
use crate::model::{self, Compiled, joined_bytes, unfused_bytes};
use crate::run::run;
use crate::table::{Entry, Outcome, text};

/// A layer as kernel benchmarks write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    kind: Kind,
    /// Height, width, channels.
    input: [u16; 3],
    out: Option<u16>,
    /// Of a pointwise or linear layer 1 or nothing.
    kernel: Option<u8>,
    #[serde(default = "one")]
    stride: u8,
    /// Expanded channels of a block; 0: it does not expand.
    #[serde(default)]
    expand: u16,
    #[serde(default)]
    residual: bool,
    /// Where not given: ReLU6 in blocks, none elsewhere.
    act: Option<Act>,
    #[serde(default)]
    squeeze_excite: u16,
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

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Act {
    None,
    Relu,
    Relu6,
    HSwish,
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
        let of = || format!("not a layer: {value}");
        let parsed: Self = serde_path_to_error::deserialize(&value).with_context(of)?;
        parsed.check().with_context(of)?;
        Ok(parsed)
    }

    /// Refuses what a layer of the kind does not have: it would be another layer than the one that is asked for.
    fn check(&self) -> Result<()> {
        let Self { kind, input: [.., channels], out, kernel, stride, expand, residual, squeeze_excite, .. } = *self;
        let is_matrix = matches!(kind, Kind::Pointwise | Kind::Linear);
        if is_matrix {
            ensure!(kernel.unwrap_or(1) == 1, "kernel: it has none but 1");
            ensure!(stride == 1, "stride: it has none but 1");
        } else {
            ensure!(kernel.is_some(), "kernel: it is missing");
        }
        match kind {
            Kind::Depthwise => ensure!(out.is_none_or(|out| out == channels), "out: it has as many as the input"),
            Kind::Pointwise | Kind::Conv | Kind::Linear => ensure!(out.is_some(), "out: it is missing"),
            Kind::Block => return Ok(()),
        }
        ensure!(expand == 0 && !residual && squeeze_excite == 0, "expand, residual, squeeze_excite: blocks have them");
        Ok(())
    }

    fn layer(&self) -> Layer {
        let [height, width, channels] = self.input;
        let input = Shape::new(height, width, channels);
        let out = self.out.unwrap_or(channels);
        let usual = if self.kind == Kind::Block { Act::Relu6 } else { Act::None };
        let activation = match self.act.unwrap_or(usual) {
            Act::None => Activation::None,
            Act::Relu => Activation::Relu,
            Act::Relu6 => Activation::Relu6,
            Act::HSwish => Activation::HSwish,
        };
        let (kernel, stride) = (self.kernel.unwrap_or(1), self.stride);
        match self.kind {
            Kind::Pointwise => Layer::Conv(Conv { input, channels: out, kernel: 1, stride: 1, activation }),
            Kind::Conv => Layer::Conv(Conv { input, channels: out, kernel, stride, activation }),
            Kind::Depthwise => Layer::Depthwise(Depthwise { input, kernel, stride, activation }),
            Kind::Linear => {
                let inputs = u16::try_from(input.len()).unwrap_or(u16::MAX);
                Layer::Linear(Linear { inputs, outputs: out, activation })
            }
            Kind::Block => Layer::Block(Block {
                input,
                expanded: if self.expand == 0 { channels } else { self.expand },
                kernel,
                stride,
                squeeze: self.squeeze_excite,
                channels: out,
                residual: self.residual,
                activation,
            }),
        }
    }
}

/// What each layer costs, as fields for its row: `layer`, `macs` (padding counted), `ticks` and their `unit`,
/// `ticks_per_mac`, `arena_bytes` (all that is alive at once) and `exact` (every value is the host's; if one is not, all
/// of this fails); or `unsupported`.
///
/// ```no_run
/// use trainer::bench::{Problem, kernels};
/// use trainer::board::Board;
///
/// let fields = serde_json::from_str(r#"{ "kind": "conv", "input": [8, 8, 3], "out": 16, "kernel": 3 }"#)?;
/// let rows = kernels(&Board::load("mps2-an386")?, &[Problem::parse(&fields)?], 0, &|| ())?;
/// assert_eq!(rows[0]["unit"], "instructions");
/// # Ok::<(), anyhow::Error>(())
/// ```
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
    let layers: Vec<Layer> = problems.iter().map(Problem::layer).collect();
    let settings = Settings { seed, runs: 1, boards: 0 };
    let entries = measure_layers(board, &probe, &layers, settings, done)?;
    let row = |Entry { layer, outcome, .. }: &Entry| row(board, slice::from_ref(layer), outcome);
    Ok(entries.iter().map(row).collect())
}

/// The same on this machine, in nanoseconds; `exact` compares with the plain formulas.
pub fn kernels_here(problems: &[Problem], seed: u64, done: &(dyn Fn() + Sync)) -> Vec<Map<String, Value>> {
    let row = |problem: &Problem| {
        let layer = problem.layer();
        let timed = host::time(layer, seed);
        done();
        match timed {
            Ok(timed) => measured(&[layer], timed.nanoseconds, "nanoseconds", timed.exact),
            Err(cause) => fields(json!({ "unsupported": cause })),
        }
    };
    problems.iter().map(row).collect()
}

/// What a whole net costs, beside its layers alone.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NetBench {
    /// As of [`kernels`], in the net's order.
    pub layers: Vec<Map<String, Value>>,
    /// The first two layers as one, where they run so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opening: Option<Map<String, Value>>,
    /// What a tick is.
    pub unit: String,
    /// Of one inference.
    pub ticks: u32,
    /// Of all layers alone, but the first two together where they run as one.
    pub sum_of_layers: u64,
    /// The net's multiply-accumulates.
    pub macs: u64,
    /// Of the net's arena.
    pub arena_bytes: usize,
    /// Of the same net layer by layer, no convolution fused with another, each map living only as long as it is read.
    pub unfused_bytes: usize,
    /// Whether its scores are the host's.
    pub exact: bool,
}

/// Runs a compiled net on a grey image, each of its layers alone, and the first two together where they run as one.
///
/// ```no_run
/// use trainer::bench::net;
/// use trainer::board::Board;
/// use trainer::model::Compiled;
///
/// let model = Compiled::load("out/model".as_ref())?;
/// let bench = net(&Board::load("mps2-an386")?, &model, 0, &|| ())?;
/// assert!(bench.exact && bench.arena_bytes < bench.unfused_bytes);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// As [`kernels`] and [`crate::run::run`].
pub fn net(board: &Board, model: &Compiled, seed: u64, done: &(dyn Fn() + Sync)) -> Result<NetBench> {
    let probe = firmware::build(board, Binary::Probe)?;
    let layers = model.layers();
    let mut distinct = layers.clone();
    distinct.sort();
    distinct.dedup();
    let settings = Settings { seed, runs: 1, boards: 0 };
    let entries = measure_layers(board, &probe, &distinct, settings, done)?;
    let pair: Option<[Layer; 2]> = joined_bytes(&layers).and(layers.first_chunk().copied());
    let opening = measure_openings(&Bench::with_probe(board, &probe)?, pair.as_slice(), settings)?.pop();
    let entry = |layer: &Layer| entries.iter().find(|entry| entry.layer == *layer).expect("all were measured");
    let input = model.net()?.input();
    let grey = Images { side: input.height, channels: input.channels, pixels: vec![128; input.len()], labels: vec![0] };
    let report = run(board, model, &grey, None, 1, done)?;
    let together = opening.as_ref().and_then(|opening| opening.outcome.ticks());
    let alone = if together.is_some() { &layers[2..] } else { &layers };
    let alone = alone.iter().filter_map(|layer| entry(layer).ticks());
    Ok(NetBench {
        layers: layers.iter().map(|layer| row(board, slice::from_ref(layer), &entry(layer).outcome)).collect(),
        opening: opening.as_ref().map(|opening| row(board, &opening.layers, &opening.outcome)),
        unit: board.unit.clone(),
        ticks: report.latency.measured,
        sum_of_layers: together.into_iter().chain(alone).map(u64::from).sum(),
        macs: layers.iter().map(Layer::macs).sum(),
        arena_bytes: model.net()?.arena_bytes(),
        unfused_bytes: unfused_bytes(&layers),
        exact: report.logits_equal_host,
    })
}

/// Of a layer, or of two that run as one.
fn row(board: &Board, layers: &[Layer], outcome: &Outcome) -> Map<String, Value> {
    match outcome {
        Outcome::Measured { ticks, .. } => measured(layers, *ticks, &board.unit, true),
        Outcome::Predicted { ticks, .. } => measured(layers, *ticks, &board.unit, false),
        Outcome::Refused(cause) => fields(json!({ "unsupported": cause })),
    }
}

fn measured(layers: &[Layer], ticks: u32, unit: &str, exact: bool) -> Map<String, Value> {
    let macs = layers.iter().map(Layer::macs).sum::<u64>();
    let per_mac = f64::from(ticks) / macs.max(1) as f64;
    fields(json!({
        "layer": text(layers),
        "macs": macs,
        "ticks": ticks,
        "unit": unit,
        "ticks_per_mac": (per_mac * 1000.0).round() / 1000.0,
        "arena_bytes": model::arena_bytes(layers),
        "exact": exact,
    }))
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("it is called with objects"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It would be measured as another layer.
    #[test]
    fn what_a_layer_of_the_kind_does_not_have_is_refused() {
        for (layer, field) in [
            (r#"{ "kind": "pointwise", "input": [4, 4, 8], "out": 16, "stride": 2 }"#, "stride"),
            (r#"{ "kind": "linear", "input": [1, 1, 8], "out": 16, "kernel": 3 }"#, "kernel"),
            (r#"{ "kind": "pointwise", "input": [4, 4, 8] }"#, "out"),
            (r#"{ "kind": "conv", "input": [4, 4, 8], "out": 16 }"#, "kernel"),
            (r#"{ "kind": "conv", "input": [4, 4, 8], "out": 16, "kernel": 3, "residual": true }"#, "residual"),
            (r#"{ "kind": "depthwise", "input": [4, 4, 8], "out": 16, "kernel": 3 }"#, "out"),
            (r#"{ "kind": "depthwise", "input": [4, 4, 8], "kernel": 3, "expand": 16 }"#, "expand"),
        ] {
            let error = format!("{:#}", Problem::parse(&serde_json::from_str(layer).unwrap()).unwrap_err());
            assert!(
                error.starts_with("not a layer: ") && error.contains(&format!("{field}: "))
                    || error.contains("blocks have them"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_layer_of_any_size_is_looked_at() {
        let huge = r#"{ "kind": "conv", "input": [65535, 65535, 65535], "out": 65535, "kernel": 255 }"#;
        let layer = Problem::parse(&serde_json::from_str(huge).unwrap()).unwrap().layer();
        assert!(layer.macs() == u64::MAX && layer.check().is_err());
    }
}
