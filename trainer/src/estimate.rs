//! Ticks of layers that nobody has measured, told from those that were, with an interval.
//!
//! ```text
//!   layer ─ Layer::work ─▶ how much of each kind of work ─ × what each costs there ─▶ ticks ± interval
//!                                                          ▲
//!   measured layers ─── ridge regression, relative errors ─┘
//! ```
//!
//! What a kind of work costs on a board is fitted by ridge regression on relative errors: of a layer that takes `t`
//! ticks the counts over `t` should sum, each times its cost, to one. Whatever is said about errors comes from leaving
//! out: each measured layer is foretold from all others, which for ridge regression has a closed form. The strength of
//! the ridge is the one with which they are foretold best, and an interval is as wide as their errors ask for, each in units of how
//! uncertain the others leave it (conformal prediction with studentised residuals; Lei et al., "Distribution-free
//! predictive inference for regression", 2018).
//!
//! ```
//! # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
//! use trainer::estimate::{Prior, choose, complete};
//!
//! let space = made_up::space();
//! let layers = space.distinct_layers();
//! let measured = choose(&layers, 30, 0);
//! let mut table = made_up::table(&space);
//! table.layers.retain(|entry| measured.contains(&entry.layer));
//!
//! assert!(layers.iter().all(|layer| Prior::Macs.knows(layer)));
//! let held_out = complete(&mut table, &layers, Prior::Macs)?;
//! assert_eq!((held_out.layers, table.layers.len()), (30, layers.len()));
//! assert!(held_out.median_error < 0.01, "the made-up ticks follow the multiplications");
//! # Ok::<(), anyhow::Error>(())
//! ```

mod choose;
mod complete;
mod positive;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use runtime::Layer;

use crate::table::LatencyTable;

pub use choose::choose;
pub use complete::{complete, runnable};

use positive::{Positive, dot};

/// Share of layers left out that lie inside their interval.
pub const INTERVAL: f64 = 0.95;
/// Fewest layers that say something about their own errors.
pub const FEWEST: usize = 20;
/// Strengths of the ridge to choose from.
const RIDGES: [f64; 8] = [1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0];
/// Ticks of a layer without multiplications, beside a tick for each multiplication: only sizes matter, not their unit.
const TICKS_OF_A_CALL: f64 = 2000.0;
/// How much freer the factor to the prior is than what a kind of work deviates by from it.
const FREEDOM_OF_THE_PRIOR: f64 = 100.0;
/// An interval is wider by this over the number of measured layers, as they are the ones that the ridge was chosen with.
const CHOSEN_ON_THE_SAME: f64 = 20.0;
/// A layer is implausible whose error, the others given, is so many times that of the middle one …
const IMPLAUSIBLE: f64 = 12.0;
/// … and at least this share of its ticks.
const LEAST_IMPLAUSIBLE: f64 = 0.25;
/// A layer can only be implausible if so large a share of what is foretold of it is from the others.
const LEAST_INDEPENDENCE: f64 = 0.7;
/// A prediction is at least this share of what the prior says.
const LEAST_SHARE: f64 = 0.05;

/// What is known of a board before anything is measured there.
#[derive(Clone, Copy, Debug)]
pub enum Prior<'a> {
    /// That multiplications take time.
    Macs,
    /// The table of another board, from which this one differs by a factor and by what each kind of work costs.
    Table(&'a LatencyTable),
}

/// Ticks of a layer that was not measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// The prediction.
    pub ticks: u32,
    /// The lower end of its interval.
    pub low: u32,
    /// The upper end.
    pub high: u32,
}

/// How well measured layers are foretold from the others.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize)]
pub struct HeldOut {
    /// How many there are.
    pub layers: usize,
    /// Median of the relative errors.
    pub median_error: f64,
    /// Nine of ten relative errors are not above this.
    pub error_of_nine_in_ten: f64,
    /// The largest relative error.
    pub largest_error: f64,
    /// Whether another board's table is part of it: it is where that foretells better than without.
    pub transferred: bool,
}

/// What each kind of work costs on a board.
#[derive(Clone, Debug)]
pub(crate) struct Estimator<'a> {
    columns: Columns<'a>,
    /// Of each column.
    costs: Vec<f64>,
    /// Measured layers that the others do not explain, by position, with what those foretell.
    implausible: Vec<(usize, u32)>,
    /// Inverse of the regression's normal matrix.
    uncertainty: Positive,
    /// Relative half-width of an interval whose costs are certain.
    half_width: f64,
    held_out: HeldOut,
}

impl Prior<'_> {
    /// Whether it says something of that layer.
    pub fn knows(&self, layer: &Layer) -> bool {
        self.ticks(layer).is_some()
    }

    /// Up to a factor that is the same for all layers; `None` where the other board has no ticks of it.
    fn ticks(&self, layer: &Layer) -> Option<f64> {
        match self {
            Self::Macs => Some(layer.macs() as f64 + TICKS_OF_A_CALL),
            Self::Table(table) => table.ticks(layer).map(f64::from),
        }
    }
}

impl<'a> Estimator<'a> {
    /// From layers and their ticks. `all` are the layers that will be asked for, the measured among them.
    ///
    /// # Errors
    /// If there are fewer than [`FEWEST`], or the prior does not know one of them.
    pub(crate) fn fit(all: &[Layer], measured: &[(Layer, u32)], prior: Prior<'a>) -> Result<Self> {
        ensure!(measured.len() >= FEWEST, "{} measured layers foretell no others; measure {FEWEST}", measured.len());
        let mut best: Option<(Columns<'a>, Fit)> = None;
        for prior in if matches!(prior, Prior::Macs) { vec![prior] } else { vec![prior, Prior::Macs] } {
            let columns = Columns::new(all, measured, prior)?;
            let rows = measured.iter().map(|(layer, ticks)| {
                let row = columns.row(layer)?;
                Ok(row.into_iter().map(|value| value / f64::from(*ticks)).collect())
            });
            let rows = rows.collect::<Result<Vec<Vec<f64>>>>()?;
            for fit in RIDGES.iter().map(|ridge| Fit::new(&rows, *ridge)) {
                if best.as_ref().is_none_or(|(_, best)| fit.score() < best.score()) {
                    best = Some((columns.clone(), fit));
                }
            }
        }
        let (columns, Fit { costs, inverse, left_out, studentised, independence }) = best.expect("a fit has a score");
        let mut errors: Vec<_> = left_out.iter().map(|error| error.abs()).collect();
        errors.sort_by(f64::total_cmp);
        let held_out = HeldOut {
            layers: errors.len(),
            median_error: quantile(&errors, 0.5),
            error_of_nine_in_ten: quantile(&errors, 0.9),
            largest_error: errors[errors.len() - 1],
            transferred: matches!(columns.prior, Prior::Table(_)),
        };
        let mut sorted = studentised.clone();
        sorted.sort_by(f64::total_cmp);
        let limit = (IMPLAUSIBLE * quantile(&sorted, 0.5)).max(LEAST_IMPLAUSIBLE);
        // Not those of which the others know too little.
        let far = |i: &usize| studentised[*i] > limit && independence[*i] > LEAST_INDEPENDENCE;
        let foretold = |i: usize| (f64::from(measured[i].1) * (1.0 - left_out[i])).max(0.0) as u32;
        let implausible = (0..measured.len()).filter(far).map(|i| (i, foretold(i))).collect();
        let half_width = quantile(&sorted, INTERVAL) * (1.0 + CHOSEN_ON_THE_SAME / measured.len() as f64);
        Ok(Self { columns, costs, implausible, uncertainty: inverse, half_width, held_out })
    }

    /// Of the layers that it was fitted on.
    pub(crate) fn held_out(&self) -> HeldOut {
        self.held_out
    }

    /// Measured layers that the others do not explain, by position, with the ticks that those foretell.
    pub(crate) fn implausible(&self) -> impl Iterator<Item = (usize, u32)> {
        self.implausible.iter().copied()
    }

    /// Foretells a layer.
    ///
    /// # Errors
    /// If the prior does not know it.
    pub(crate) fn estimate(&self, layer: &Layer) -> Result<Estimate> {
        let row = self.columns.row(layer)?;
        let least = LEAST_SHARE * self.columns.factor * self.columns.prior_of(layer)?;
        let ticks = dot(&row, &self.costs).max(least).max(1.0);
        let row: Vec<_> = row.into_iter().map(|value| value / ticks).collect();
        let half_width = self.half_width * (1.0 + self.uncertainty.form(&row)).sqrt();
        let whole = |ticks: f64| ticks.round().clamp(1.0, f64::from(u32::MAX)) as u32;
        Ok(Estimate {
            ticks: whole(ticks),
            low: whole(ticks * (1.0 - half_width)),
            high: whole(ticks * (1.0 + half_width)),
        })
    }
}

/// The value that a share of `sorted` values, and of one more like them, does not exceed.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * (sorted.len() + 1) as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// The kinds of work, each with its unit: as many ticks as it takes of a layer in the mean.
#[derive(Clone, Debug)]
struct Columns<'a> {
    kinds: BTreeMap<&'static str, usize>,
    scales: Vec<f64>,
    prior: Prior<'a>,
    /// From the prior's ticks to those of this board.
    factor: f64,
}

impl<'a> Columns<'a> {
    fn new(all: &[Layer], measured: &[(Layer, u32)], prior: Prior<'a>) -> Result<Self> {
        let mut kinds = BTreeMap::new();
        for layer in all {
            layer.work(|name, count| {
                if count > 0 {
                    kinds.insert(name, 0);
                }
            });
        }
        kinds.values_mut().enumerate().for_each(|(i, column)| *column = i);
        let mut columns = Self { scales: vec![1.0; kinds.len()], kinds, prior, factor: 1.0 };
        let mut shares = vec![0.0; columns.kinds.len()];
        for layer in all {
            let ticks = columns.prior_of(layer)?;
            layer.work(|name, count| {
                if let Some(&column) = columns.kinds.get(name) {
                    shares[column] += count as f64 / ticks;
                }
            });
        }
        columns.scales = shares.iter().map(|share| all.len() as f64 / share).collect();
        let factors = measured.iter().map(|(layer, ticks)| Ok(f64::from(*ticks) / columns.prior_of(layer)?));
        let mut factors = factors.collect::<Result<Vec<_>>>()?;
        factors.sort_by(f64::total_cmp);
        columns.factor = if factors.is_empty() { 1.0 } else { quantile(&factors, 0.5) };
        Ok(columns)
    }

    fn prior_of(&self, layer: &Layer) -> Result<f64> {
        self.prior.ticks(layer).ok_or_else(|| anyhow::anyhow!("the other board's table has no ticks of {layer}"))
    }

    /// The layer's work, and behind it what the prior says.
    fn row(&self, layer: &Layer) -> Result<Vec<f64>> {
        let mut row = vec![0.0; self.scales.len()];
        layer.work(|name, count| {
            if let Some(&column) = self.kinds.get(name) {
                row[column] += count as f64 * self.scales[column] * self.factor;
            }
        });
        row.push(FREEDOM_OF_THE_PRIOR * self.factor * self.prior_of(layer)?);
        Ok(row)
    }
}

/// One ridge regression of ones on rows.
struct Fit {
    costs: Vec<f64>,
    inverse: Positive,
    /// Of each row: one minus what the other rows foretell.
    left_out: Vec<f64>,
    /// Of each row: the same without its sign, in units of how uncertain the others leave it.
    studentised: Vec<f64>,
    /// Of each row: the share of what is foretold of it that is not from itself.
    independence: Vec<f64>,
}

impl Fit {
    fn new(rows: &[Vec<f64>], ridge: f64) -> Self {
        let inverse = Positive::gram(rows, ridge).inverse();
        let mut sums = vec![0.0; rows[0].len()];
        for row in rows {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        let costs = inverse.times(&sums);
        let independence: Vec<_> = rows.iter().map(|row| (1.0 - inverse.form(row)).max(1e-9)).collect();
        let residuals: Vec<_> = rows.iter().map(|row| 1.0 - dot(row, &costs)).collect();
        let both = || residuals.iter().zip(&independence);
        let left_out = both().map(|(residual, others)| residual / others).collect();
        let studentised = both().map(|(residual, others)| residual.abs() / others.sqrt()).collect();
        Self { costs, inverse, left_out, studentised, independence }
    }

    /// Mean relative error of the rows left out, none above one.
    fn score(&self) -> f64 {
        self.left_out.iter().map(|error| error.abs().min(1.0)).sum::<f64>() / self.left_out.len() as f64
    }
}
