//! What the search has looked at: each net once.

use std::cmp::Ordering;
use std::collections::HashMap;

use anyhow::{Result, ensure};
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

/// A net that was looked at.
pub(super) struct Seen {
    pub genes: Genes,
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
    pub nets: Vec<Seen>,
    known: HashMap<Genes, usize>,
    /// How many nets the predictor was asked about.
    pub evaluations: usize,
}

impl<'a> Judge<'a> {
    /// # Errors
    /// If the tables and the predictor know no resolution in common.
    pub fn new(problem: &'a Problem) -> Result<Self> {
        let open = problem.resolutions()?;
        let coding = Coding::new(problem.space, &open);
        let board = |(costs, _): &(&Costs, Limits)| Lookup::new(problem.space, &coding, costs, &open);
        let boards = problem.boards.iter().map(board).collect();
        Ok(Self { problem, coding, boards, nets: vec![], known: HashMap::new(), evaluations: 0 })
    }

    /// Whether this net was looked at.
    pub fn knows(&self, genes: &Genes) -> bool {
        self.known.contains_key(genes)
    }

    /// The position of each of these nets among [`Judge::nets`]. Those that are new are looked at, as long as no more
    /// than `most` nets in all need the predictor; the others have none.
    ///
    /// # Errors
    /// If the predictor fails.
    pub fn judge(&mut self, nets: Vec<Genes>, most: usize) -> Result<Vec<Option<usize>>> {
        let costs: Vec<_> = nets.par_iter().map(|genes| (!self.knows(genes)).then(|| self.costs(genes))).collect();
        let mut positions = Vec::with_capacity(nets.len());
        let first = self.nets.len();
        let mut asked = vec![];
        for (genes, costs) in nets.into_iter().zip(costs) {
            let (totals, excess) = match (self.known.get(&genes), costs) {
                (None, Some(costs)) => costs,
                (known, _) => {
                    positions.push(known.copied());
                    continue;
                }
            };
            if excess <= 1.0 {
                if self.evaluations == most {
                    positions.push(None);
                    continue;
                }
                self.evaluations += 1;
                asked.push(self.nets.len());
            }
            self.known.insert(genes.clone(), self.nets.len());
            positions.push(Some(self.nets.len()));
            let rank = Rank { excess, score: 0.0 };
            self.nets.push(Seen { genes, totals, prediction: None, rank });
        }
        let ones = |&net: &usize| self.coding.ones(&self.nets[net].genes);
        let predictions = self.problem.predictor.predict_ones(&asked, ones)?;
        for (net, prediction) in asked.into_iter().zip(predictions) {
            self.nets[net].prediction = Some(prediction);
        }
        for net in &mut self.nets[first..] {
            net.rank = rank(self.problem, net);
        }
        Ok(positions)
    }

    /// The net itself, or one near it that comes closer to the limits, within them if that is found.
    pub fn repair(&self, mut genes: Genes, rng: &mut impl Rng) -> Genes {
        let mut excess = self.excess(&genes);
        for _ in 0..REPAIRS {
            if excess <= 1.0 {
                break;
            }
            let mut other = genes.clone();
            self.coding.nudge(&mut other, rng);
            let less = self.excess(&other);
            if less < excess {
                (genes, excess) = (other, less);
            }
        }
        genes
    }

    /// Best first: those that fit by what is asked for, then those that don't by how much they miss. Of equals the
    /// cheaper.
    pub fn order(&self, a: usize, b: usize) -> Ordering {
        let (a, b) = (&self.nets[a], &self.nets[b]);
        let by_rank = a.rank.excess.total_cmp(&b.rank.excess).then(b.rank.score.total_cmp(&a.rank.score));
        by_rank.then(a.totals.cost.cmp(&b.totals.cost)).then_with(|| a.genes.cmp(&b.genes))
    }

    /// Whether a net is within all limits.
    pub fn fits(&self, net: usize) -> bool {
        self.nets[net].rank.excess <= 1.0
    }

    /// The best of all.
    pub fn best(&self) -> Option<usize> {
        (0..self.nets.len()).min_by(|&a, &b| self.order(a, b))
    }

    /// For people and files; the predictor is asked where that was not worth it before.
    ///
    /// # Errors
    /// If the predictor fails.
    pub fn net(&self, seen: &Seen) -> Result<Net> {
        let prediction = match seen.prediction {
            Some(prediction) => prediction,
            None => self.problem.predictor.predict_ones(&[&seen.genes], |genes| self.coding.ones(genes))?[0],
        };
        let Prediction { accuracy, deviation } = prediction;
        Ok(Net { arch: self.coding.arch(&seen.genes), accuracy, deviation, cost: seen.totals.cost() })
    }

    /// What a net costs on the first board, and its worst excess over a limit of any.
    fn costs(&self, genes: &Genes) -> (Totals, f64) {
        let mut all = self.boards.iter().zip(&self.problem.boards).map(|(board, (_, limits))| {
            let totals = board.totals(&self.coding, genes);
            // The fewer layers are refused the nearer, and any is worse than any miss.
            let excess = match totals.refused {
                0 => limits.excess(Some(&totals.cost)),
                refused => 1e18 * f64::from(refused),
            };
            (totals, excess)
        });
        let (totals, first) = all.next().expect("a problem has a board");
        (totals, all.map(|(_, excess)| excess).fold(first, f64::max).max(1.0))
    }

    /// The worst quotient of what a net costs and what it may cost.
    pub fn excess(&self, genes: &Genes) -> f64 {
        self.costs(genes).1
    }
}

fn rank(problem: &Problem, net: &Seen) -> Rank {
    let Some(prediction) = net.prediction else { return net.rank };
    let goal = &problem.goal;
    let accuracy = f64::from(goal.figure.of(&prediction));
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
