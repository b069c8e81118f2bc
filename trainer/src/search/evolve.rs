//! The evolution: populations side by side, each as the paper has it (Cai et al. 2020, section 3.4, after Guo et al.
//! 2020): a quarter are parents, half of the children are mutants and half crosses. What is added: children that miss a
//! limit are repaired, a population that finds nothing more climbs to the best of the nets around its own, and new ones
//! begin at random or among the bests of those before.

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::genes::Genes;
use super::judge::{Candidate, Judge};
use crate::space::pick;

const POPULATION: usize = 100;
const PARENTS: usize = POPULATION / 4;
/// That a choice is drawn anew: one of these for each mutant, the last the paper's.
const MUTATIONS: [f64; 3] = [0.02, 0.05, 0.1];
/// Populations that live at the same time, whatever the number of threads: the fewer, the longer each lives.
const ISLANDS: usize = 2;
/// That a population begins among the bests of those before, not at random.
const AMONG_BESTS: f64 = 0.7;
/// Nets that differ in two choices, beside all that differ in one, among which a population climbs.
const PAIRS: usize = 300;
/// A population ends after so many generations without a better net.
const FRUITLESS_GENERATIONS: usize = 30;
/// So many draws that find no new net: there is none, or hardly any.
const ATTEMPTS: usize = 200;
/// So many rounds in which no net is new: there is none.
const IDLE: usize = 50;
/// So many rounds in which no new net is within the limits: none, or few, are.
const BARREN: usize = 100;

/// How long to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Effort {
    /// Nets that the predictor is asked about, at most.
    pub evaluations: usize,
    /// Ends after so many populations in a row have found nothing better.
    pub fruitless_populations: usize,
}

impl Default for Effort {
    /// As many nets as the paper's evolution looks at (100, and 100 in each of 500 generations).
    fn default() -> Self {
        Self { evaluations: 50_000, fruitless_populations: 16 }
    }
}

struct Island {
    rng: ChaCha8Rng,
    phase: Phase,
    /// Best first.
    population: Vec<usize>,
    fruitless: usize,
}

enum Phase {
    Fresh,
    Evolving,
    Climbing,
}

/// Looks at nets until the effort is spent, first at these, of which the best are parents; the best of all is [`Judge::best`].
///
/// # Errors
/// If the predictor fails.
pub(super) fn evolve(judge: &mut Judge, known: Vec<Genes>, effort: Effort, seed: u64) -> Result<()> {
    let mut islands: Vec<_> = (0..ISLANDS).map(|island| Island::new(seed, island)).collect();
    let ends = judge.coding.ends();
    let ends = judge.judge(judge.candidates(ends.into()), effort.evaluations)?;
    let known = judge.judge(judge.candidates(known), effort.evaluations)?;
    let mut ended: Vec<usize> = known.into_iter().flatten().collect();
    ended.sort_by(|&a, &b| judge.order(a, b));
    ended.truncate(PARENTS);
    let mut best = ends.into_iter().flatten().chain(ended.first().copied()).min_by(|&a, &b| judge.order(a, b));
    let (mut fruitless, mut idle, mut barren) = (0, 0, 0);
    while judge.evaluations < effort.evaluations
        && fruitless < effort.fruitless_populations
        && idle < IDLE
        && barren < BARREN
    {
        let (before, asked) = (judge.nets.len(), judge.evaluations);
        let proposed: Vec<_> = islands.par_iter_mut().map(|island| island.propose(judge, &ended)).collect();
        let counts: Vec<_> = proposed.iter().map(Vec::len).collect();
        let mut positions = judge.judge(proposed.into_iter().flatten().collect(), effort.evaluations)?.into_iter();
        for (island, count) in islands.iter_mut().zip(counts) {
            let positions = positions.by_ref().take(count).flatten().collect();
            if let Some(end) = island.absorb(judge, positions) {
                let better = best.is_none_or(|best| judge.order(end, best).is_lt());
                (best, fruitless) = if better { (Some(end), 0) } else { (best, fruitless + 1) };
                ended.push(end);
                ended.sort_by(|&a, &b| judge.order(a, b));
                ended.dedup();
                ended.truncate(PARENTS);
            }
        }
        idle = if judge.nets.len() == before { idle + 1 } else { 0 };
        barren = if judge.evaluations == asked { barren + 1 } else { 0 };
    }
    Ok(())
}

impl Island {
    fn new(seed: u64, island: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(island as u64);
        Self { rng, phase: Phase::Fresh, population: vec![], fruitless: 0 }
    }

    /// The nets that it wants to know of next.
    fn propose(&mut self, judge: &Judge, ended: &[usize]) -> Vec<Candidate> {
        let rng = &mut self.rng;
        match self.phase {
            Phase::Fresh if ended.len() > 3 && rng.random_bool(AMONG_BESTS) => {
                self.population = ended.to_vec();
                children(judge, ended, rng)
            }
            Phase::Fresh => (0..POPULATION).map(|_| judge.repair(judge.coding.sample(rng), rng)).collect(),
            Phase::Evolving => {
                self.population.truncate(PARENTS);
                children(judge, &self.population, rng)
            }
            Phase::Climbing => {
                let best = judge.genes(self.population[0]);
                let neighbours = judge.coding.neighbours(best).into_iter();
                let mut around: Vec<_> = neighbours.map(|genes| judge.candidate(genes)).collect();
                around.extend((0..PAIRS).map(|_| {
                    let mut other = best.clone();
                    (0..2).for_each(|_| judge.coding.nudge(&mut other, rng));
                    judge.repair(other, rng)
                }));
                around
            }
        }
    }

    /// Takes what it wanted to know into its population. Its best net, where it has come to its end.
    fn absorb(&mut self, judge: &Judge, positions: Vec<usize>) -> Option<usize> {
        let before = self.population.first().copied();
        self.population.extend(positions);
        self.population.sort_by(|&a, &b| judge.order(a, b));
        self.population.dedup();
        let &best = self.population.first()?;
        let better = before != Some(best);
        match self.phase {
            Phase::Fresh => (self.phase, self.fruitless) = (Phase::Evolving, 0),
            Phase::Evolving => {
                self.fruitless = if better { 0 } else { self.fruitless + 1 };
                if self.fruitless == FRUITLESS_GENERATIONS {
                    self.phase = Phase::Climbing;
                }
            }
            Phase::Climbing if better => self.population.truncate(1),
            Phase::Climbing => {
                (self.phase, self.population) = (Phase::Fresh, vec![]);
                return Some(best);
            }
        }
        None
    }
}

/// New nets: as many mutants as crosses of the parents.
fn children(judge: &Judge, parents: &[usize], rng: &mut ChaCha8Rng) -> Vec<Candidate> {
    let mut children: Vec<Candidate> = vec![];
    let mut attempts = 0;
    while children.len() < POPULATION - PARENTS && attempts < ATTEMPTS {
        let mut parent = || judge.genes(parents[rng.random_range(0..parents.len())]);
        let (mother, father) = (parent(), parent());
        let child = if rng.random() {
            judge.coding.mutate(mother, pick(&MUTATIONS, rng), rng)
        } else {
            judge.coding.cross(mother, father, rng)
        };
        let child = judge.repair(child, rng);
        if judge.knows(&child.genes) || children.contains(&child) {
            attempts += 1;
        } else {
            children.push(child);
        }
    }
    children
}
