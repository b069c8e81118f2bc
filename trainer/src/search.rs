//! The best net for a board: seeded evolution over a space, with a predictor for accuracy and a latency table, the
//! planner and arithmetic for costs.
//!
//! ```text
//!  sample ─▶ repair ─▶ judge ─▶ rank ─▶ best quarter ─▶ mutate, cross ─▶ repair ─▶ … ─▶ climb ─▶ Found
//! ```
//!
//! Nets that fit rank by accuracy; those that don't come after them and rank by how much they miss, so evolution
//! finds its way into limits that hardly any random net meets. A space of few nets is listed whole instead.
//!
//! ```
//! # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
//! use trainer::search::{Choice, Costs, Infeasible, Limits, Problem, search};
//!
//! let (space, seed) = (made_up::space(), 1);
//! let (predictor, costs) = (made_up::predictor(&space), Costs::from_table(&space, &made_up::table(&space))?);
//! let limits = Limits::parse(["latency=2M", "sram=24k"], costs.clock())?;
//! let problem = Problem::new(&space, &predictor, &costs, limits);
//! let found = search(&problem, seed)?;
//! let cost = found.best.cost.expect("it fits");
//! assert!(cost.latency <= limits.latency && cost.sram_bytes <= 24 << 10);
//! assert!(found.front(&space, seed, &costs).nets.contains(&found.best));
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("arch.json");
//! trainer::files::write_json(&path, &found.choice(&problem, seed))?;
//! assert_eq!(Choice::load(&path, &space)?.arch, found.best.arch);
//!
//! let limits = Limits { sram: Some(100), ..limits };
//! let error = search(&Problem::new(&space, &predictor, &costs, limits), seed).unwrap_err();
//! assert!(error.downcast_ref::<Infeasible>().is_some_and(|infeasible| !infeasible.nearest.is_empty()));
//! # Ok::<(), anyhow::Error>(())
//! ```

pub mod bench;
mod beside;
mod cost;
mod evolve;
mod explain;
mod feasible;
mod files;
mod front;
mod genes;
mod infeasible;
mod judge;
mod limits;
mod lookup;
mod original;
mod pareto;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::predictor::{Prediction, Predictor};
use crate::space::{Arch, Space};
use judge::{Judge, Seen};

pub use beside::{Drawn, draw_within, scaled_down};
pub use cost::{Cost, Costs};
pub use evolve::Effort;
pub use explain::{Bound, Explanation, Part, explain};
pub(crate) use feasible::macs_within;
pub use files::{ARCH_FORMAT, Choice, FRONT_FORMAT, Front, Latency, Measured, OnBoard};
pub use infeasible::{AtLeast, Exclusion, Infeasible, Missed};
pub use limits::{Limits, Quantity};
pub use pareto::{FoundFront, search_front};

/// The best nets that a search names.
const TOP: usize = 100;
/// A space of no more nets is listed whole, if nothing else is asked for.
const LISTED: u128 = 50_000;
/// No space of more nets is listed.
const LISTABLE: u128 = 2_000_000;

/// What is asked for.
#[derive(Clone)]
pub struct Problem<'a> {
    /// Which nets there are.
    pub space: &'a Space,
    /// What foretells their accuracy.
    pub predictor: &'a Predictor,
    /// One net for all of these boards, within the limits of each; the costs of the first are those reported.
    pub boards: Vec<(&'a Costs, Limits)>,
    /// What is best.
    pub goal: Goal,
    /// How to look for it.
    pub method: Method,
}

/// What is best.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Goal {
    /// What is made best.
    pub objective: Objective,
    /// Which figure stands for a net's accuracy.
    pub figure: Figure,
}

/// What is made best.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Objective {
    /// The most accurate net.
    #[default]
    Accuracy,
    /// The fastest net.
    Latency {
        /// That is at least as accurate, as a share of 1.
        least: f64,
    },
}

/// Which figure stands for a net's accuracy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Figure {
    /// The prediction.
    #[default]
    Mean,
    /// The lower end of its interval.
    Lower,
}

/// How to look for the best net.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Method {
    /// All nets where they are few, evolution otherwise.
    #[default]
    Auto,
    /// Evolution.
    Evolution(Effort),
    /// All nets.
    Exhaustive,
}

/// A net that the search has looked at.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Net {
    /// Which net.
    pub arch: Arch,
    /// Predicted, as a share of 1.
    pub accuracy: f32,
    /// Standard deviation of the measured accuracy around it; 0 where the predictor does not say.
    #[serde(default)]
    pub deviation: f32,
    /// What it costs; `None` where the board refuses a layer of it.
    #[serde(flatten)]
    pub cost: Option<Cost>,
}

/// What a search came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// The best of the nets that fit.
    pub best: Net,
    /// What that net has in truth, where the supernet was asked too.
    pub measured: Option<Measured>,
    /// The best ones, that one first: a hundred, or all that fit.
    pub top: Vec<Net>,
    /// Those of the nets looked at that no other one beats in accuracy, latency, SRAM and flash together, the most
    /// accurate first. They are within the limits of cost.
    pub front: Vec<Net>,
    /// How many nets were looked at.
    pub evaluated: usize,
    /// How many of those the predictor was asked about.
    pub evaluations: usize,
    /// Sides of the images that were open to the search: those that the space, the predictor and the tables know.
    pub resolutions: Vec<u16>,
    /// [`Predictor::images`].
    pub images: Option<usize>,
}

impl Figure {
    fn of(self, prediction: &Prediction) -> f32 {
        match self {
            Self::Mean => prediction.accuracy,
            Self::Lower => prediction.interval()[0],
        }
    }
}

impl Net {
    /// Its accuracy and how far that may be off.
    pub(crate) fn prediction(&self) -> Prediction {
        Prediction { accuracy: self.accuracy, deviation: self.deviation }
    }
}

impl<'a> Problem<'a> {
    /// The most accurate net within the limits of one board.
    pub fn new(space: &'a Space, predictor: &'a Predictor, costs: &'a Costs, limits: Limits) -> Self {
        Self { space, predictor, boards: vec![(costs, limits)], goal: Goal::default(), method: Method::default() }
    }

    /// Sides of images that the space, the predictor and all tables know, ascending.
    pub(crate) fn resolutions(&self) -> Result<Vec<u16>> {
        let tables = || self.boards.iter().filter_map(|(costs, _)| costs.resolutions());
        let known = |side: &u16| {
            self.predictor.resolutions().contains(side) && tables().all(|resolutions| resolutions.contains(side))
        };
        let open: Vec<u16> = self.space.input.resolutions.0.iter().copied().filter(known).collect();
        ensure!(
            !open.is_empty(),
            "the predictor and the latency tables have no resolution in common: {:?} and {:?}",
            self.predictor.resolutions(),
            tables().collect::<Vec<_>>()
        );
        Ok(open)
    }
}

/// Looks for the best net within the limits. The same seed gives the same answer on any number of threads.
///
/// # Errors
/// [`Infeasible`], to be found by downcasting, where no net was found that fits; or if the predictor fails, there are
/// too many nets to list, or the objective is a latency without a table.
pub fn search(problem: &Problem, seed: u64) -> Result<Found> {
    search_from(problem, &[], seed)
}

/// The same, but evolution begins among these nets.
fn search_from(problem: &Problem, known: &[Arch], seed: u64) -> Result<Found> {
    judge::check(problem)?;
    let mut judge = Judge::new(problem)?;
    let count = judge.coding.count();
    let known = known.iter().map(|arch| judge.coding.genes(arch)).collect();
    match problem.method {
        Method::Auto if count.is_none_or(|count| count > LISTED) => {
            evolve::evolve(&mut judge, known, Effort::default(), seed)?
        }
        Method::Evolution(effort) => evolve::evolve(&mut judge, known, effort, seed)?,
        Method::Auto | Method::Exhaustive => {
            let few = count.is_some_and(|count| count <= LISTABLE);
            ensure!(few, "the space has too many nets to look at all: more than {LISTABLE}");
            judge.judge(judge.candidates(judge.coding.all().collect()), usize::MAX)?;
        }
    }
    let best = judge.best().expect("the smallest net is looked at");
    if !judge.fits(best) {
        return Err(Infeasible::of(problem, &judge, seed)?.into());
    }
    let best = judge.net(best)?;
    let mut fitting: Vec<usize> = (0..judge.nets.len()).filter(|&net| judge.fits(net)).collect();
    if fitting.len() > TOP {
        fitting.select_nth_unstable_by(TOP, |&a, &b| judge.order(a, b));
        fitting.truncate(TOP);
    }
    fitting.sort_by(|&a, &b| judge.order(a, b));
    let top = fitting.iter().map(|&net| judge.net(net)).collect::<Result<_>>()?;
    let figures = |seen: &Seen| Some((seen.prediction?.accuracy, seen.totals.cost));
    let asked = (0..).zip(judge.nets.values()).filter_map(|(net, seen)| Some((net, figures(seen)?)));
    let (asked, figures): (Vec<usize>, Vec<_>) = asked.unzip();
    let front = front::front(&figures).into_iter().map(|net| judge.net(asked[net])).collect::<Result<_>>()?;
    Ok(Found {
        best,
        measured: None,
        top,
        front,
        evaluated: judge.nets.len(),
        evaluations: judge.evaluations,
        resolutions: problem.resolutions()?,
        images: problem.predictor.images(),
    })
}

#[cfg(test)]
mod tests;
