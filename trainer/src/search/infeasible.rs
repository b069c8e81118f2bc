//! Why no net fits: what each limit excludes, and which nets come nearest.

use std::fmt;

use anyhow::Result;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::judge::Judge;
use super::{Cost, Limits, Net, Objective, Problem, Quantity};

/// Nets drawn to tell how many a limit excludes.
const SURVEYED: usize = 1000;
/// Nets that are named.
const NAMED: usize = 4;
/// Nets that miss a limit of their costs, the nearest of those, of which the accuracy is asked for too.
const ASKED: usize = 1000;

/// No net of the space fits.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Infeasible {
    /// Of each board, in the problem's order.
    pub boards: Vec<Missed>,
    /// What the least accuracy alone excludes, where one was asked for.
    pub at_least: Option<AtLeast>,
    /// The nets whose worst excess over a limit is the least, the nearest first, at most four; none if each has a layer that a
    /// board refuses. They are as the first board has them.
    pub nearest: Vec<Net>,
}

/// What a board's limits exclude.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Missed {
    /// Its name, where there is a latency table.
    pub board: Option<String>,
    /// What a tick is, where there is a latency table.
    pub unit: Option<String>,
    /// What was asked for.
    pub limits: Limits,
    /// What each limit alone excludes, the most first.
    pub excluded: Vec<Exclusion>,
    /// Share of evenly drawn nets with a layer that the board refuses.
    pub refused: f64,
    /// What the nearest nets cost on it.
    pub costs: Vec<Cost>,
}

/// The least accuracy that a net may have, predicted or the lower end of that, as shares of 1.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct AtLeast {
    /// That was asked for.
    pub accuracy: f64,
    /// Share of evenly drawn nets that it excludes.
    pub share: f64,
    /// What the nearest net has.
    pub nearest: f64,
}

/// What one limit alone excludes.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Exclusion {
    /// Which limit.
    pub limit: Quantity,
    /// Share of evenly drawn nets.
    pub share: f64,
}

impl Infeasible {
    /// Of a problem of which none of the nets that were looked at fits.
    ///
    /// # Errors
    /// If the predictor fails.
    pub(super) fn of(problem: &Problem, judge: &Judge, seed: u64) -> Result<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let archs: Vec<_> = (0..SURVEYED).map(|_| judge.coding.arch(&judge.coding.sample(&mut rng))).collect();
        let (nearest, at_least) = match problem.goal.objective {
            Objective::Accuracy => (nearest(judge, NAMED)?, None),
            Objective::Latency { least } => {
                let figure = |net: &Net| f64::from(problem.goal.figure.of(&net.prediction()));
                let excess = |net: &Net| {
                    let boards = problem.boards.iter();
                    let costs = boards
                        .map(|(costs, limits)| limits.excess(costs.of(&problem.space.layers(&net.arch)).as_ref()));
                    costs.fold(1.0 + (least - figure(net)), f64::max)
                };
                let mut nets: Vec<_> = nearest(judge, ASKED)?.into_iter().map(|net| (excess(&net), net)).collect();
                nets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
                let nets: Vec<_> = nets.into_iter().take(NAMED).map(|(_, net)| net).collect();
                let predictions = problem.predictor.predict_interval(&archs)?;
                let figures = predictions.iter().map(|prediction| f64::from(problem.goal.figure.of(prediction)));
                let share = figures.filter(|figure| *figure < least).count() as f64 / SURVEYED as f64;
                let at_least = nets.first().map(|net| AtLeast { accuracy: least, share, nearest: figure(net) });
                (nets, at_least)
            }
        };
        let boards = problem.boards.iter().map(|(costs, limits)| {
            let drawn: Vec<_> = archs.iter().map(|arch| costs.of(&problem.space.layers(arch))).collect();
            let share = |excluded: &dyn Fn(&Option<Cost>) -> bool| {
                drawn.iter().filter(|cost| excluded(cost)).count() as f64 / SURVEYED as f64
            };
            let alone = |(quantity, limit): (Quantity, u64)| Exclusion {
                limit: quantity,
                share: share(&|cost| cost.is_some_and(|cost| cost.get(quantity) > Some(limit))),
            };
            let mut excluded: Vec<_> = limits.iter().map(alone).collect();
            excluded.sort_by(|a, b| b.share.total_cmp(&a.share));
            Missed {
                board: costs.board().map(Into::into),
                unit: costs.unit().map(Into::into),
                limits: *limits,
                excluded,
                refused: share(&Option::is_none),
                costs: nearest.iter().filter_map(|net| costs.of(&problem.space.layers(&net.arch))).collect(),
            }
        });
        Ok(Self { boards: boards.collect(), at_least, nearest })
    }

    /// A limited quantity as `--limit` has it, with the board's name where there are several.
    fn name(&self, missed: &Missed, quantity: Quantity) -> String {
        match &missed.board {
            Some(board) if self.boards.len() > 1 => format!("{quantity}@{board}"),
            _ => quantity.to_string(),
        }
    }

    /// What a named net has of all that is limited, with its limit.
    fn limited(&self, net: usize) -> impl Iterator<Item = (String, u64, u64, &str)> {
        self.boards.iter().flat_map(move |missed| {
            missed.limits.iter().map(move |(quantity, limit)| {
                let value = missed.costs[net].get(quantity).unwrap_or_default();
                (self.name(missed, quantity), value, limit, quantity.unit_with(missed.unit.as_deref()))
            })
        })
    }
}

/// The nearest nets that no board refuses.
fn nearest(judge: &Judge, count: usize) -> Result<Vec<Net>> {
    let mut nets: Vec<usize> = (0..judge.nets.len()).filter(|&net| !judge.is_refused(net)).collect();
    nets.sort_by(|&a, &b| judge.order(a, b));
    nets.into_iter().take(count).map(|net| judge.net(net)).collect()
}

impl std::error::Error for Infeasible {}

impl fmt::Display for Infeasible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no net fits; of {SURVEYED} nets drawn evenly")?;
        let limits = self.boards.iter().flat_map(|missed| {
            missed.excluded.iter().map(|Exclusion { limit, share }| {
                let (name, number) = (self.name(missed, *limit), missed.limits.get(*limit).unwrap_or_default());
                format!(" {name}={number} alone excludes {:.1} %", 100.0 * share)
            })
        });
        let least = self.at_least.iter().map(|AtLeast { accuracy, share, .. }| {
            format!(" an accuracy of at least {:.2} % alone excludes {:.1} %", 100.0 * accuracy, 100.0 * share)
        });
        write!(f, "{}", limits.chain(least).collect::<Vec<_>>().join(","))?;
        for Missed { board, refused, .. } in self.boards.iter().filter(|missed| missed.refused > 0.0) {
            let board = board.as_ref().filter(|_| self.boards.len() > 1);
            let board = board.map_or("the board".into(), |board| format!("the board {board}"));
            write!(f, "; {board} refuses a layer of {:.1} %", 100.0 * refused)?;
        }
        let Some((first, next)) = self.nearest.split_first() else { return write!(f, "; the board refuses all") };
        write!(f, "; the nearest net has")?;
        for (name, value, limit, unit) in self.limited(0) {
            write!(f, " {name} {value} {unit} ({:.2} times the limit),", value as f64 / limit as f64)?;
        }
        write!(f, " predicted accuracy {:.2} %; it fits with", 100.0 * first.accuracy)?;
        for (name, value, limit, _) in self.limited(0) {
            write!(f, " --limit {name}={}", limit.max(value))?;
        }
        if let Some(AtLeast { accuracy, nearest, .. }) = self.at_least {
            // Rounded down, so that it does fit.
            write!(f, " --at-least {:.2}", (1e4 * accuracy.min(nearest)).floor() / 100.0)?;
        }
        for (i, Net { accuracy, .. }) in next.iter().enumerate() {
            write!(f, "{} predicted accuracy {:.2} %", if i == 0 { "; the next have" } else { ";" }, 100.0 * accuracy)?;
            for (name, value, _, unit) in self.limited(i + 1) {
                write!(f, ", {name} {value} {unit}")?;
            }
        }
        Ok(())
    }
}
