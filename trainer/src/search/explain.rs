//! Why a net is the best: what each part of it costs, which limit holds it back, and what a little more would buy.

use anyhow::Result;
use runtime::Layer;
use serde::Serialize;

use super::{Found, Net, Objective, Problem, Quantity, search_from};
use crate::model::{arena_bytes, flash_bytes};

/// Bytes that a memory limit is raised by.
const MORE_BYTES: u64 = 8 << 10;
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
    /// Whose, where the net is for several boards.
    pub board: Option<String>,
    /// What the numbers count.
    pub unit: String,
    /// What the net has.
    pub used: u64,
    /// What it may have.
    pub allowed: u64,
    /// By how much the limit was raised to see what that buys: a millisecond, 8 KB, or a hundredth.
    pub more: u64,
    /// Points of predicted accuracy, as a share of 1, that this buys; 0: the limit does not bind, or not accuracy is sought.
    pub gain: f32,
    /// Ticks of the first board that this spares, where the fastest net is sought.
    pub spared: Option<u64>,
    /// The net that it buys; none: the search found nothing better with more.
    pub net: Option<Net>,
}

impl Bound {
    /// Whether raising the limit finds a better net.
    pub fn binds(&self) -> bool {
        self.net.is_some()
    }
}

/// Explains the best net of a problem: searches again with each limit raised, from the best nets that were found. What more
/// would buy is told beside the best of these by prediction, which [`Found::best`] is not where the supernet chose.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::search::{Costs, Limits, Problem, Quantity, explain, search};
///
/// let space = made_up::space();
/// let (predictor, costs) = (made_up::predictor(&space), Costs::from_table(&space, &made_up::table(&space))?);
/// let limits = Limits { latency: Some(2_000_000), flash: Some(1 << 20), ..Limits::default() };
/// let problem = Problem::new(&space, &predictor, &costs, limits);
/// let found = search(&problem, 1)?;
/// let explanation = explain(&problem, &found, 1)?;
/// let latency: u64 = explanation.parts.iter().filter_map(|part| part.latency).sum();
/// assert_eq!(found.best.cost.and_then(|cost| cost.latency), Some(latency));
/// let flash = explanation.limits.iter().find(|bound| bound.limit == Quantity::Flash);
/// assert!(flash.is_some_and(|bound| !bound.binds() && bound.used < bound.allowed));
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// As [`super::search()`].
pub fn explain(problem: &Problem, found: &Found, seed: u64) -> Result<Explanation> {
    let Found { best, top, .. } = found;
    let costs = problem.boards[0].0;
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
    let known: Vec<_> = top.iter().map(|net| net.arch.clone()).collect();
    let predicted = top.first().unwrap_or(best);
    let mut bounds = vec![];
    for (i, (costs, limits)) in problem.boards.iter().enumerate() {
        let cost = costs.of(&layers);
        for (limit, allowed) in limits.iter() {
            let more = match (limit, costs.clock().and_then(|clock| clock.hz)) {
                (Quantity::Sram | Quantity::Flash, _) => MORE_BYTES,
                // A millisecond.
                (Quantity::Latency, Some(hz)) => (hz / 1e3) as u64,
                _ => (allowed as f64 * MORE) as u64,
            };
            let more = more.max(1);
            let mut raised = problem.clone();
            raised.boards[i].1 = limits.with(limit, allowed.saturating_add(more));
            let net = search_from(&raised, &known, seed)?.best;
            let (gain, spared) = bought(problem, predicted, &net);
            bounds.push(Bound {
                limit,
                unit: limit.unit_with(costs.unit()).into(),
                board: costs.board().filter(|_| problem.boards.len() > 1).map(Into::into),
                used: cost.and_then(|cost| cost.get(limit)).unwrap_or(0),
                allowed,
                more,
                gain,
                spared,
                net: (gain > 0.0 || spared > Some(0)).then_some(net),
            });
        }
    }
    bounds.sort_by(|a, b| b.gain.total_cmp(&a.gain).then(b.spared.cmp(&a.spared)));
    Ok(Explanation { parts, limits: bounds })
}

/// By how much the second net is better: in accuracy, or in ticks where the fastest is sought.
fn bought(problem: &Problem, before: &Net, after: &Net) -> (f32, Option<u64>) {
    match problem.goal.objective {
        Objective::Accuracy => {
            let [before, after] = [before, after].map(|net| problem.goal.figure.of(&net.prediction()));
            let gain = after - before;
            (if gain > NO_GAIN { gain } else { 0.0 }, None)
        }
        Objective::Latency { .. } => {
            let [before, after] = [before, after].map(|net| net.cost.and_then(|cost| cost.latency).unwrap_or(0));
            (0.0, Some(before.saturating_sub(after)))
        }
    }
}
