//! Two tables, layer by layer: two versions of one board's, one measured and one predicted, or those of two boards.

use serde::Serialize;

use super::{LatencyTable, Outcome, kind};
use crate::metrics::spearman;

/// Standard errors that two medians must lie apart to differ.
const SIGNIFICANT: f64 = 3.0;
/// From the median absolute deviation to the standard deviation, of a normal distribution.
const DEVIATION_OF_A_MAD: f64 = 1.4826;
/// Of a median, by the standard error of a mean: √(π/2), of a normal distribution.
const ERROR_OF_A_MEDIAN: f64 = 1.2533;

/// What two tables say of the same layers.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::table::{Comparison, Entry};
///
/// let before = made_up::table(&made_up::space());
/// let mut after = before.clone();
/// let Entry { layer, .. } = after.layers[0];
/// after.layers[0] = Entry::measured(layer, &[7], 0);
/// let comparison = Comparison::new(&before, &after);
/// assert_eq!((comparison.faster, comparison.slower), (1, 0));
/// assert!(comparison.ratio < 1.0 && comparison.layers[0].to == 7);
/// ```
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// Board, unit and runtime of the first.
    pub from: Side,
    /// Of the second.
    pub to: Side,
    /// Layers that both have ticks of, in their order, then openings.
    pub layers: Vec<Change>,
    /// Layers that only the first has ticks of.
    pub only_from: usize,
    /// Layers that only the second has.
    pub only_to: usize,
    /// Geometric mean of the ticks of the second over those of the first.
    pub ratio: f64,
    /// Rank correlation of their ticks.
    pub spearman: f64,
    /// Layers that are measured in both and of which the second takes significantly fewer ticks.
    pub faster: usize,
    /// Significantly more.
    pub slower: usize,
    /// Of layers that one table predicts and the other measured, where both are of the same board and unit.
    pub predicted: Option<Predicted>,
}

/// One of the two tables.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Side {
    /// Name of the board.
    pub board: String,
    /// What a tick is.
    pub unit: String,
    /// Version of the runtime.
    pub runtime: String,
}

/// A layer that both tables have ticks of.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Change {
    /// The layer for people.
    pub layer: String,
    /// Kind of layer, or that it is an opening.
    pub kind: &'static str,
    /// Ticks of the first table.
    pub from: u32,
    /// Of the second.
    pub to: u32,
    /// The second's over the first's.
    pub ratio: f64,
    /// Whether both are measured and lie further apart than their spread explains.
    pub significant: bool,
}

/// How well a table predicts what another one measured.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Predicted {
    /// Layers that are predicted here and measured there.
    pub layers: usize,
    /// Median of the relative errors.
    pub median_error: f64,
    /// Nine of ten are not above it.
    pub error_of_nine_in_ten: f64,
    /// The largest.
    pub largest_error: f64,
    /// Share of the measurements that lie inside the stated interval.
    pub inside: f64,
}

impl Comparison {
    /// Of the second with the first.
    pub fn new(from: &LatencyTable, to: &LatencyTable) -> Self {
        let layers = from.layers.iter().filter_map(|a| {
            let b = to.entry(&a.layer)?;
            Some((&a.text, kind(&a.layer), &a.outcome, &b.outcome))
        });
        let openings = from.openings.iter().filter_map(|a| {
            let b = to.opening(&a.layers)?;
            Some((&a.text, "opening", &a.outcome, &b.outcome))
        });
        let pairs: Vec<_> = layers.chain(openings).collect();
        let change = |&(text, kind, a, b): &(&String, &'static str, &Outcome, &Outcome)| {
            let (from, to) = (a.ticks()?, b.ticks()?);
            let (layer, ratio) = (text.clone(), f64::from(to) / f64::from(from));
            Some(Change { layer, kind, from, to, ratio, significant: significant(a, b) })
        };
        let layers: Vec<_> = pairs.iter().filter_map(change).collect();
        let with_ticks = |table: &LatencyTable| {
            let all = table.of_layers().chain(table.of_openings());
            all.filter(|(.., outcome)| outcome.ticks().is_some()).count()
        };
        let ticks = |side: fn(&Change) -> u32| layers.iter().map(|change| f64::from(side(change))).collect::<Vec<_>>();
        let logarithms = layers.iter().map(|change| change.ratio.ln()).sum::<f64>();
        let differ =
            |way: fn(&Change) -> bool| layers.iter().filter(|change| change.significant && way(change)).count();
        let sides = [from, to].map(Side::of);
        let same = sides[0].board == sides[1].board && sides[0].unit == sides[1].unit;
        let outcomes = pairs.iter().flat_map(|&(_, _, a, b)| [(a, b), (b, a)]);
        let [from_side, to_side] = sides;
        Self {
            from: from_side,
            to: to_side,
            only_from: with_ticks(from) - layers.len(),
            only_to: with_ticks(to) - layers.len(),
            ratio: (logarithms / layers.len().max(1) as f64).exp(),
            spearman: spearman(&ticks(|change| change.from), &ticks(|change| change.to)),
            faster: differ(|change| change.to < change.from),
            slower: differ(|change| change.to > change.from),
            predicted: if same { Predicted::of(outcomes) } else { None },
            layers,
        }
    }
}

impl Side {
    fn of(table: &LatencyTable) -> Self {
        let provenance = &table.provenance;
        Self { board: provenance.board.clone(), unit: provenance.unit.clone(), runtime: provenance.runtime.clone() }
    }
}

impl Predicted {
    fn of<'o>(outcomes: impl Iterator<Item = (&'o Outcome, &'o Outcome)>) -> Option<Self> {
        let (mut errors, mut inside) = (Vec::new(), 0);
        for outcomes in outcomes {
            if let (Outcome::Predicted { ticks, low, high }, Outcome::Measured { ticks: truth, .. }) = outcomes {
                errors.push(f64::from(ticks.abs_diff(*truth)) / f64::from(*truth));
                inside += usize::from((low..=high).contains(&truth));
            }
        }
        errors.sort_by(f64::total_cmp);
        let last = errors.len().checked_sub(1)?;
        Some(Self {
            layers: errors.len(),
            median_error: errors[last / 2],
            error_of_nine_in_ten: errors[(errors.len() * 9).div_ceil(10) - 1],
            largest_error: errors[last],
            inside: inside as f64 / errors.len() as f64,
        })
    }
}

/// Whether two medians differ by more than [`SIGNIFICANT`] standard errors. Where nothing varies, any difference does.
fn significant(from: &Outcome, to: &Outcome) -> bool {
    let (
        Outcome::Measured { ticks: a, mad: a_mad, runs: a_runs, .. },
        Outcome::Measured { ticks: b, mad: b_mad, runs: b_runs, .. },
    ) = (from, to)
    else {
        return false;
    };
    let variance = |mad: u32, runs: u8| {
        let error = ERROR_OF_A_MEDIAN * DEVIATION_OF_A_MAD * f64::from(mad);
        error * error / f64::from(runs.max(1))
    };
    let error = (variance(*a_mad, *a_runs) + variance(*b_mad, *b_runs)).sqrt();
    f64::from(a.abs_diff(*b)) > SIGNIFICANT * error
}

#[cfg(test)]
mod tests {
    use super::super::tests::{linear, openings, table};
    use super::super::{Entry, Opening};
    use super::*;
    use crate::estimate::Estimate;
    use runtime::Layer;

    fn measured(layer: Layer, ticks: u32, mad: u32) -> Entry {
        Entry {
            outcome: Outcome::Measured { ticks, mad, runs: 4, outliers: vec![], checksum: "0".into() },
            ..Entry::refused(layer, "")
        }
    }

    #[test]
    fn what_runs_as_one_is_compared_too() {
        let [a, b, c] = openings();
        let table = |of: &[([Layer; 2], u32)]| {
            let openings = of.iter().map(|&(layers, ticks)| Opening::measured(layers, &[ticks], 0)).collect();
            LatencyTable { openings, ..table(vec![measured(linear(1), 100, 0)]) }
        };
        let comparison = Comparison::new(&table(&[(a, 50), (b, 60)]), &table(&[(a, 40), (c, 70)]));
        let Comparison { layers, only_from, only_to, faster, .. } = comparison;
        assert_eq!((layers.len(), only_from, only_to, faster), (2, 1, 1, 1));
        assert_eq!((layers[1].kind, layers[1].from, layers[1].to), ("opening", 50, 40));
    }

    #[test]
    fn only_what_the_spread_does_not_explain_is_significant() {
        let from = table(vec![
            measured(linear(1), 100, 0),
            measured(linear(2), 1000, 10),
            measured(linear(3), 1000, 10),
            measured(linear(4), 50, 0),
        ]);
        let to = table(vec![
            measured(linear(1), 99, 0),
            measured(linear(2), 1020, 10),
            measured(linear(3), 1100, 10),
            Entry::refused(linear(5), "no"),
        ]);
        let comparison = Comparison::new(&from, &to);
        let significant: Vec<_> = comparison.layers.iter().map(|change| change.significant).collect();
        assert_eq!(significant, [true, false, true]);
        assert_eq!((comparison.faster, comparison.slower), (1, 1));
        assert_eq!((comparison.only_from, comparison.only_to, comparison.predicted), (1, 0, None));
        assert!((comparison.ratio - (0.99 * 1.02 * 1.1_f64).cbrt()).abs() < 1e-12, "{comparison:?}");
    }

    #[test]
    fn predictions_are_held_against_measurements() {
        let predicted = |layer, ticks, low, high| Entry::predicted(layer, Estimate { ticks, low, high });
        let from = table(vec![predicted(linear(1), 110, 90, 120), predicted(linear(2), 130, 125, 140)]);
        let to = table(vec![measured(linear(1), 100, 0), measured(linear(2), 100, 0)]);
        let expected =
            Predicted { layers: 2, median_error: 0.1, error_of_nine_in_ten: 0.3, largest_error: 0.3, inside: 0.5 };
        assert_eq!(Comparison::new(&from, &to).predicted, Some(expected));
        assert_eq!(Comparison::new(&to, &from).predicted, Some(expected), "whichever comes first");
        let mut other = to;
        other.provenance.board = "another".into();
        assert_eq!(Comparison::new(&from, &other).predicted, None);
    }
}
