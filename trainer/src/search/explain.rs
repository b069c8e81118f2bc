//! Why a net is the best: what each part of it costs, which limit holds it back, and what a little more would buy.

use anyhow::Result;
use runtime::Layer;
use serde::Serialize;

use super::{Net, Problem, Quantity, search};
use crate::model::{arena_bytes, flash_bytes};

/// Bytes that a memory limit is raised by.
const MORE_BYTES: u64 = 8 << 10;
const MILLISECOND: u64 = 1_000_000;
/// Share that other limits are raised by.
const MORE: f64 = 0.01;
/// A difference that is no gain: what single precision may hide.
const NO_GAIN: f32 = 1e-5;

/// Why a net is the best.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explanation {
    /// Stem, stages and head, in order.
    pub parts: Vec<Part>,
    /// What each limit holds back, the most first.
    pub limits: Vec<Bound>,
}

/// What a part of a net costs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Part {
    /// `stem`, `stage 0` and so on, `head`.
    pub name: String,
    /// Its blocks, or layers.
    pub layers: usize,
    /// Ticks, where there is a table. Those of `stage 0` hold what its first block takes beyond the stem, where the two run
    /// as one.
    pub latency: Option<u64>,
    /// Bytes of an arena that runs it alone.
    pub sram_bytes: u64,
    /// Bytes of its weights.
    pub flash_bytes: u64,
    /// Multiply-accumulates.
    pub macs: u64,
}

/// What a limit does.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Bound {
    /// Which.
    pub limit: Quantity,
    /// What the net has.
    pub used: u64,
    /// What it may have.
    pub allowed: u64,
    /// By how much the limit was raised to see what that buys: a millisecond, 8 KB, or a hundredth.
    pub more: u64,
    /// Points of predicted accuracy, as a share of 1, that this buys; 0: the limit does not bind.
    pub gain: f32,
    /// The net that it buys.
    pub net: Option<Net>,
}

impl Bound {
    /// Whether raising the limit finds a better net.
    pub fn binds(&self) -> bool {
        self.net.is_some()
    }
}

/// Explains the best net of a problem: searches again with each limit of the first board raised.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::search::{Costs, Limits, Problem, Quantity, explain, search};
///
/// let space = made_up::space();
/// let (predictor, costs) = (made_up::predictor(&space), Costs::from_table(&space, &made_up::table(&space))?);
/// let limits = Limits { latency: Some(2_000_000), flash: Some(1 << 20), ..Limits::default() };
/// let problem = Problem::new(&space, &predictor, &costs, limits);
/// let best = search(&problem, 1)?.best;
/// let explanation = explain(&problem, &best, 1)?;
/// let latency: u64 = explanation.parts.iter().filter_map(|part| part.latency).sum();
/// assert_eq!(best.cost.and_then(|cost| cost.latency), Some(latency));
/// let flash = explanation.limits.iter().find(|bound| bound.limit == Quantity::Flash);
/// assert!(flash.is_some_and(|bound| !bound.binds() && bound.used < bound.allowed));
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// As [`search`].
pub fn explain(problem: &Problem, best: &Net, seed: u64) -> Result<Explanation> {
    let (costs, limits) = &problem.boards[0];
    let layers = problem.space.layers(&best.arch);
    let mut rest = &layers[..];
    let mut parts = vec![];
    let mut take = |name: String, count: usize| {
        let (part, others) = rest.split_at(count);
        rest = others;
        let latency = costs.unit().map(|_| part.iter().filter_map(|layer| costs.ticks(layer)).sum());
        parts.push(Part {
            name,
            layers: count,
            latency,
            sram_bytes: arena_bytes(part) as u64,
            flash_bytes: flash_bytes(part) as u64,
            macs: part.iter().map(Layer::macs).sum(),
        });
    };
    take("stem".into(), 1);
    let mut blocks = 1;
    for (i, stage) in best.arch.stages.iter().enumerate() {
        take(format!("stage {i}"), stage.len());
        blocks += stage.len();
    }
    take("head".into(), layers.len() - blocks);
    parts[1].latency = parts[1].latency.map(|ticks: u64| ticks.saturating_add_signed(costs.beyond(&layers)));
    let figure = |net: &Net| problem.goal.figure.of(&net.prediction());
    let bound = |(limit, allowed): (Quantity, u64)| {
        let more = match (limit, costs.unit()) {
            (Quantity::Sram | Quantity::Flash, _) => MORE_BYTES,
            (Quantity::Latency, Some("ns")) => MILLISECOND,
            _ => ((allowed as f64 * MORE) as u64).max(1),
        };
        let mut raised = problem.clone();
        raised.boards[0].1 = limits.with(limit, allowed + more);
        let found = search(&raised, seed)?.best;
        let gain = figure(&found) - figure(best);
        let used = best.cost.and_then(|cost| cost.get(limit)).unwrap_or(0);
        let better = gain > NO_GAIN;
        let (gain, net) = if better { (gain, Some(found)) } else { (0.0, None) };
        Ok(Bound { limit, used, allowed, more, gain, net })
    };
    let mut bounds = limits.iter().map(bound).collect::<Result<Vec<_>>>()?;
    bounds.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    Ok(Explanation { parts, limits: bounds })
}
