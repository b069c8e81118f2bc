//! What the search has looked at: each net once.

use std::cmp::Ordering;

use anyhow::{Result, ensure};
use indexmap::IndexMap;
use indexmap::map::Entry;
use rand::Rng;
use rayon::prelude::*;

use super::cost::Costs;
use super::genes::{Coding, Genes};
use super::limits::Limits;
use super::lookup::{Lookup, Totals};
use super::{Net, Objective, Problem};
use crate::predictor::Prediction;

/// So many single changes are tried to bring a net within the limits.
const REPAIRS: usize = 100;
/// The excess of a net with one layer that a board refuses: more than any miss of a limit.
const REFUSED: f64 = 1e18;

/// A net that may be looked at. The genes come last, as two nets that differ mostly differ in costs.
#[derive(PartialEq)]
pub(super) struct Candidate {
    /// On the first board.
    totals: Totals,
    /// The worst quotient of what it costs and what it may cost, but no less than 1.
    excess: f64,
    pub genes: Genes,
}

/// A net that was looked at.
pub(super) struct Seen {
    /// On the first board.
    pub totals: Totals,
    /// `None` where the net misses a limit of its costs: it was not worth asking.
    pub prediction: Option<Prediction>,
    rank: Rank,
}

/// Where a net stands among others.
#[derive(Clone, Copy)]
struct Rank {
    /// The worst quotient of what it has and what it may have; at most 1: it fits.
    excess: f64,
    /// The more the better.
    score: f64,
}

/// Judges nets and remembers them.
pub(super) struct Judge<'a> {
    problem: &'a Problem<'a>,
    pub coding: Coding,
    boards: Vec<Lookup>,
    pub nets: IndexMap<Genes, Seen>,
    /// How many nets the predictor was asked about.
    pub evaluations: usize,
}

impl Candidate {
    /// Whether it costs no more than it may.
    pub fn fits(&self) -> bool {
        self.excess <= 1.0
    }
}

impl<'a> Judge<'a> {
    /// # Errors
    /// If the tables and the predictor know no resolution in common.
    pub fn new(problem: &'a Problem) -> Result<Self> {
        let open = problem.resolutions()?;
        let coding = Coding::new(problem.space, &open);
        let board = |(costs, _): &(&Costs, Limits)| Lookup::new(problem.space, &coding, costs, &open);
        let boards = problem.boards.iter().map(board).collect();
        Ok(Self { problem, coding, boards, nets: IndexMap::new(), evaluations: 0 })
    }

    /// Whether this net was looked at.
    pub fn knows(&self, genes: &Genes) -> bool {
        self.nets.contains_key(genes)
    }

    /// The position of each of these nets among [`Judge::nets`]. Those that are new are looked at, as long as no more
    /// than `most` nets in all need the predictor; the others have none.
    ///
    /// # Errors
    /// If the predictor fails.
    pub fn judge(&mut self, nets: Vec<Candidate>, most: usize) -> Result<Vec<Option<usize>>> {
        let mut positions = Vec::with_capacity(nets.len());
        let mut asked = vec![];
        for Candidate { totals, excess, genes } in nets {
            let new = match self.nets.entry(genes) {
                Entry::Occupied(known) => {
                    positions.push(Some(known.index()));
                    continue;
                }
                Entry::Vacant(new) => new,
            };
            if excess <= 1.0 {
                if self.evaluations == most {
                    positions.push(None);
                    continue;
                }
                self.evaluations += 1;
                asked.push(new.index());
            }
            positions.push(Some(new.index()));
            new.insert(Seen { totals, prediction: None, rank: Rank { excess, score: 0.0 } });
        }
        let ones = |&net: &usize| self.coding.ones(self.genes(net));
        let predictions = self.problem.predictor.predict_ones(&asked, ones)?;
        for (net, prediction) in asked.into_iter().zip(predictions) {
            let seen = &mut self.nets[net];
            seen.prediction = Some(prediction);
            seen.rank = rank(self.problem, seen, &prediction);
        }
        Ok(positions)
    }

    /// Which net is at a position of [`Judge::nets`].
    pub fn genes(&self, net: usize) -> &Genes {
        self.nets.get_index(net).expect("a net was looked at").0
    }

    /// With what it costs.
    pub fn candidate(&self, genes: Genes) -> Candidate {
        let mut all = self.boards.iter().zip(&self.problem.boards).map(|(board, (_, limits))| {
            let totals = board.totals(&self.coding, &genes);
            // The fewer layers are refused the nearer, and any is worse than any miss.
            let excess = match totals.refused {
                0 => limits.excess(Some(&totals.cost)),
                refused => REFUSED * f64::from(refused),
            };
            (totals, excess)
        });
        let (totals, first) = all.next().expect("a problem has a board");
        let excess = all.map(|(_, excess)| excess).fold(first, f64::max).max(1.0);
        Candidate { genes, totals, excess }
    }

    /// The same of many, on all threads.
    pub fn candidates(&self, nets: Vec<Genes>) -> Vec<Candidate> {
        nets.into_par_iter().map(|genes| self.candidate(genes)).collect()
    }

    /// The net itself, or one near it that comes closer to the limits, within them if that is found.
    pub fn repair(&self, genes: Genes, rng: &mut impl Rng) -> Candidate {
        let mut net = self.candidate(genes);
        for _ in 0..REPAIRS {
            if net.fits() {
                break;
            }
            let mut other = net.genes.clone();
            self.coding.nudge(&mut other, rng);
            let other = self.candidate(other);
            if other.excess < net.excess {
                net = other;
            }
        }
        net
    }

    /// Best first: those that fit by what is asked for, then those that don't by how much they miss. Of equals the
    /// cheaper.
    pub fn order(&self, a: usize, b: usize) -> Ordering {
        let [one, other] = [a, b].map(|net| &self.nets[net]);
        let by_rank = one.rank.excess.total_cmp(&other.rank.excess).then(other.rank.score.total_cmp(&one.rank.score));
        by_rank.then(one.totals.cost.cmp(&other.totals.cost)).then_with(|| self.genes(a).cmp(self.genes(b)))
    }

    /// Whether a net is within all limits.
    pub fn fits(&self, net: usize) -> bool {
        self.nets[net].rank.excess <= 1.0
    }

    /// Whether a board refuses a layer of a net.
    pub fn is_refused(&self, net: usize) -> bool {
        self.nets[net].rank.excess >= REFUSED
    }

    /// The best of all.
    pub fn best(&self) -> Option<usize> {
        (0..self.nets.len()).min_by(|&a, &b| self.order(a, b))
    }

    /// For people and files; the predictor is asked where that was not worth it before.
    ///
    /// # Errors
    /// If the predictor fails.
    pub fn net(&self, net: usize) -> Result<Net> {
        let (genes, seen) = self.nets.get_index(net).expect("a net was looked at");
        let prediction = match seen.prediction {
            Some(prediction) => prediction,
            None => self.problem.predictor.predict_ones(&[genes], |genes| self.coding.ones(genes))?[0],
        };
        let Prediction { accuracy, deviation } = prediction;
        Ok(Net { arch: self.coding.arch(genes), accuracy, deviation, cost: seen.totals.cost() })
    }
}

fn rank(problem: &Problem, net: &Seen, prediction: &Prediction) -> Rank {
    let goal = &problem.goal;
    let accuracy = f64::from(goal.figure.of(prediction));
    match goal.objective {
        Objective::Accuracy => Rank { score: accuracy, ..net.rank },
        Objective::Latency { least } => {
            // Predictions may be 0 or less.
            let excess = if accuracy >= least { 1.0 } else { 1.0 + (least - accuracy) };
            Rank { excess, score: -(net.totals.cost.latency.unwrap_or(0) as f64) }
        }
    }
}

/// Refuses an answer that a search cannot give.
pub(super) fn check(problem: &Problem) -> Result<()> {
    ensure!(
        matches!(problem.goal.objective, Objective::Accuracy) || problem.boards[0].0.unit().is_some(),
        "the objective latency needs a latency table; name one with --table (made by: ofa measure)"
    );
    Ok(())
}
