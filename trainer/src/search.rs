//! The best net for a board: seeded evolution over a space, with a predictor for accuracy and a latency table, the
//! planner and arithmetic for costs.
//!
//! ```text
//!  sample ─▶ evaluate ─▶ rank ─▶ best quarter ─▶ mutate, cross ─▶ evaluate ─▶ … ─▶ improve choice by choice ─▶ Found
//! ```
//!
//! Nets that fit rank by accuracy; those that don't come after them and rank by how much they miss, so evolution
//! finds its way into limits that hardly any random net meets.

mod cost;
mod evolve;
mod files;
mod front;
mod limits;

use std::fmt;

use anyhow::Result;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::predictor::Predictor;
use crate::space::{Arch, Space};
use evolve::Evolution;

pub use cost::{Cost, Costs};
pub use files::{ARCH_FORMAT, Choice, FRONT_FORMAT, Front, Latency};
pub use limits::{Limits, Quantity};

/// Nets drawn to tell how many a limit excludes.
const SURVEYED: usize = 1000;

/// A net that the search has looked at.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Net {
    /// Which net.
    pub arch: Arch,
    /// Predicted, as a share of 1.
    pub accuracy: f32,
    /// What it costs; `None` where the board refuses a layer of it.
    #[serde(flatten)]
    pub cost: Option<Cost>,
}

/// What a search came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The net with the highest predicted accuracy among those that fit.
    pub best: Net,
    /// Those of the nets looked at that no other one beats in accuracy, latency, SRAM and flash together, the most
    /// accurate first. They need not fit.
    pub front: Vec<Net>,
    /// How many nets were looked at.
    pub evaluated: usize,
}

/// No net of the space fits.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Infeasible {
    /// What was asked for.
    pub limits: Limits,
    /// What a tick is, where there is a latency table.
    pub unit: Option<String>,
    /// What each limit alone excludes, the most first.
    pub excluded: Vec<Exclusion>,
    /// Share of evenly drawn nets with a layer that the board refuses.
    pub refused: f64,
    /// The net whose worst excess over a limit is the least; `None` if the board refuses every net.
    pub nearest: Option<Net>,
}

/// What one limit alone excludes.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Exclusion {
    /// Which limit.
    pub limit: Quantity,
    /// Share of evenly drawn nets.
    pub share: f64,
}

/// Looks for the net with the highest predicted accuracy within the limits.
///
/// # Errors
/// [`Infeasible`], to be found by downcasting, where no net was found that fits; or if tract fails.
pub fn search(
    space: &Space,
    predictor: &Predictor,
    costs: &Costs,
    limits: &Limits,
    rng: &mut impl Rng,
) -> Result<Found> {
    let mut evolution = Evolution::new(space, predictor, costs, limits);
    let best = evolution.run(rng)?;
    if limits.excess(best.cost.as_ref()) <= 1.0 {
        let nets = evolution.into_nets();
        return Ok(Found { best, evaluated: nets.len(), front: front::front(nets) });
    }
    let sampled: Vec<_> = (0..SURVEYED).map(|_| costs.of(&space.layers(&space.sample(rng)))).collect();
    let share = |excluded: &dyn Fn(&Cost) -> bool| {
        let count = sampled.iter().flatten().filter(|cost| excluded(cost)).count();
        count as f64 / SURVEYED as f64
    };
    let alone = |(quantity, limit): (Quantity, u64)| Exclusion {
        limit: quantity,
        share: share(&|cost| cost.get(quantity) > Some(limit)),
    };
    let mut excluded: Vec<_> = limits.iter().map(alone).collect();
    excluded.sort_by(|a, b| b.share.total_cmp(&a.share));
    Err(Infeasible {
        limits: *limits,
        unit: costs.unit().map(Into::into),
        excluded,
        refused: sampled.iter().filter(|cost| cost.is_none()).count() as f64 / SURVEYED as f64,
        nearest: best.cost.is_some().then_some(best),
    }
    .into())
}

impl std::error::Error for Infeasible {}

impl fmt::Display for Infeasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = |quantity: Quantity| {
            self.unit.as_deref().filter(|_| quantity == Quantity::Latency).unwrap_or(quantity.unit())
        };
        write!(f, "no net fits; of {SURVEYED} nets drawn evenly")?;
        for (i, Exclusion { limit, share }) in self.excluded.iter().enumerate() {
            let number = self.limits.get(*limit).unwrap_or_default();
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma} {limit}={number} alone excludes {:.1} %", 100.0 * share)?;
        }
        if self.refused > 0.0 {
            write!(f, "; the board refuses a layer of {:.1} %", 100.0 * self.refused)?;
        }
        let Some(Net { accuracy, cost: Some(cost), .. }) = &self.nearest else {
            return write!(f, "; the board refuses all");
        };
        write!(f, "; the nearest net has")?;
        for (quantity, limit) in self.limits.iter() {
            let value = cost.get(quantity).unwrap_or_default();
            let times = value as f64 / limit as f64;
            write!(f, " {quantity} {value} {} ({times:.2} times the limit),", unit(quantity))?;
        }
        write!(f, " predicted accuracy {:.2} %; it fits with", 100.0 * accuracy)?;
        for (quantity, limit) in self.limits.iter() {
            write!(f, " --limit {quantity}={}", limit.max(cost.get(quantity).unwrap_or_default()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
