//! The evolution itself. No net is evaluated twice.

use std::cmp::Ordering;
use std::collections::HashMap;

use anyhow::Result;
use rand::{Rng, RngExt};

use super::Net;
use super::cost::Costs;
use super::limits::Limits;
use crate::predictor::Predictor;
use crate::space::{Arch, BlockArch, Space, pick};

const POPULATION: usize = 100;
const PARENTS: usize = POPULATION / 4;
/// That a choice is drawn anew.
const MUTATION: f64 = 0.1;
/// A population ends after so many generations without a better net.
const FRUITLESS_GENERATIONS: usize = 10;
/// One population may settle in a corner: others begin anew, until so many have found nothing better.
const FRUITLESS_POPULATIONS: usize = 16;
/// So many populations at most.
const POPULATIONS: usize = 128;
/// So many draws that find no new net: there is none, or hardly any.
const ATTEMPTS: usize = 200;

pub(super) struct Evolution<'a> {
    space: &'a Space,
    predictor: &'a Predictor,
    costs: &'a Costs,
    limits: &'a Limits,
    nets: Vec<Net>,
    known: HashMap<Arch, usize>,
}

impl<'a> Evolution<'a> {
    pub(super) fn new(space: &'a Space, predictor: &'a Predictor, costs: &'a Costs, limits: &'a Limits) -> Self {
        Self { space, predictor, costs, limits, nets: vec![], known: HashMap::new() }
    }

    /// The best net that it finds, whether it fits or not.
    pub(super) fn run(&mut self, rng: &mut impl Rng) -> Result<Net> {
        let mut bests = self.evaluate(vec![self.space.smallest(), self.space.largest()])?;
        let mut fruitless = 0;
        for _ in 0..POPULATIONS {
            let known = bests[0];
            bests.push(self.population(rng)?);
            self.rank(&mut bests);
            fruitless = if bests[0] == known { fruitless + 1 } else { 0 };
            if fruitless == FRUITLESS_POPULATIONS {
                break;
            }
        }
        // An equal that costs less may have fallen by the wayside.
        let best = self.nets.iter().min_by(|a, b| self.order(a, b));
        Ok(best.expect("the smallest net is evaluated").clone())
    }

    /// The best net of a population that begins at random.
    fn population(&mut self, rng: &mut impl Rng) -> Result<usize> {
        let first = (0..POPULATION).map(|_| self.space.sample(rng)).collect();
        let mut population = self.evaluate(first)?;
        self.rank(&mut population);
        let mut fruitless = 0;
        while fruitless < FRUITLESS_GENERATIONS {
            let best = population[0];
            population.truncate(PARENTS);
            let children = self.children(&population, rng);
            population.extend(self.evaluate(children)?);
            self.rank(&mut population);
            fruitless = if population[0] == best { fruitless + 1 } else { 0 };
        }
        self.improve(population[0])
    }

    /// All nets that were evaluated.
    pub(super) fn into_nets(self) -> Vec<Net> {
        self.nets
    }

    /// New nets: mutants and crosses of the parents in turn.
    fn children(&self, parents: &[usize], rng: &mut impl Rng) -> Vec<Arch> {
        let mut children: Vec<Arch> = vec![];
        let mut attempts = 0;
        while children.len() < POPULATION - PARENTS && attempts < ATTEMPTS {
            let parent = &self.nets[pick(parents, rng)].arch;
            let child = if children.len().is_multiple_of(2) {
                mutate(self.space, parent, rng)
            } else {
                cross(parent, &self.nets[pick(parents, rng)].arch, rng)
            };
            if self.known.contains_key(&child) || children.contains(&child) {
                attempts += 1;
            } else {
                children.push(child);
            }
        }
        children
    }

    /// Climbs from a net to the best of those that differ in one choice, until none is better.
    fn improve(&mut self, mut best: usize) -> Result<usize> {
        loop {
            let mut around = self.evaluate(neighbours(self.space, &self.nets[best].arch))?;
            around.push(best);
            self.rank(&mut around);
            if around[0] == best {
                return Ok(best);
            }
            best = around[0];
        }
    }

    /// The positions of these nets among all, those evaluated that are new.
    fn evaluate(&mut self, archs: Vec<Arch>) -> Result<Vec<usize>> {
        let mut positions = vec![];
        let mut new = vec![];
        for arch in archs {
            let next = self.nets.len() + new.len();
            let position = *self.known.entry(arch.clone()).or_insert(next);
            if position == next {
                new.push(arch);
            }
            if !positions.contains(&position) {
                positions.push(position);
            }
        }
        let accuracies = self.predictor.predict(&new)?;
        for (arch, accuracy) in new.into_iter().zip(accuracies) {
            let cost = self.costs.of(&self.space.layers(&arch));
            self.nets.push(Net { arch, accuracy, cost });
        }
        Ok(positions)
    }

    fn rank(&self, positions: &mut [usize]) {
        positions.sort_by(|&a, &b| self.order(&self.nets[a], &self.nets[b]));
    }

    /// Best first: those that fit by accuracy, then those that don't by how much they miss. Of equals the cheaper.
    fn order(&self, a: &Net, b: &Net) -> Ordering {
        let excess = |net: &Net| self.limits.excess(net.cost.as_ref()).max(1.0);
        let by_excess = excess(a).total_cmp(&excess(b));
        let by_accuracy = b.accuracy.total_cmp(&a.accuracy);
        by_excess.then(by_accuracy).then(a.cost.cmp(&b.cost)).then_with(|| a.arch.cmp(&b.arch))
    }
}

/// Each choice is drawn anew with a small probability.
fn mutate(space: &Space, arch: &Arch, rng: &mut impl Rng) -> Arch {
    let mut child = arch.clone();
    if rng.random_bool(MUTATION) {
        child.resolution = pick(&space.input.resolutions.0, rng);
    }
    for (stage, blocks) in space.stages.0.iter().zip(&mut child.stages) {
        if rng.random_bool(MUTATION) {
            let depth = pick(&stage.depth.0, rng).into();
            blocks.truncate(depth);
            blocks.extend((blocks.len()..depth).map(|_| stage.sample_block(rng)));
        }
        for block in blocks {
            if rng.random_bool(MUTATION) {
                block.kernel = pick(&stage.kernel.0, rng);
            }
            if rng.random_bool(MUTATION) {
                block.expand = pick(&stage.expand.0, rng);
            }
        }
    }
    child
}

/// Each choice is one of the parents'.
fn cross(mother: &Arch, father: &Arch, rng: &mut impl Rng) -> Arch {
    let resolution = if rng.random() { mother.resolution } else { father.resolution };
    let mut stage = |(mother, father): (&Vec<BlockArch>, &Vec<BlockArch>)| {
        let depth = if rng.random() { mother.len() } else { father.len() };
        let block = |i: usize| match (mother.get(i), father.get(i)) {
            (Some(mother), Some(father)) => BlockArch {
                kernel: if rng.random() { mother.kernel } else { father.kernel },
                expand: if rng.random() { mother.expand } else { father.expand },
            },
            (Some(&block), None) | (None, Some(&block)) => block,
            (None, None) => unreachable!("one of the parents is as deep"),
        };
        (0..depth).map(block).collect()
    };
    Arch { resolution, stages: mother.stages.iter().zip(&father.stages).map(&mut stage).collect() }
}

/// All nets that differ in one choice. A stage that grows repeats its last block.
fn neighbours(space: &Space, arch: &Arch) -> Vec<Arch> {
    let mut all = vec![];
    let mut add = |change: &dyn Fn(&mut Arch)| {
        let mut neighbour = arch.clone();
        change(&mut neighbour);
        all.push(neighbour);
    };
    for &resolution in &space.input.resolutions.0 {
        add(&|arch| arch.resolution = resolution);
    }
    for (s, (stage, blocks)) in space.stages.0.iter().zip(&arch.stages).enumerate() {
        for &depth in &stage.depth.0 {
            add(&|arch| arch.stages[s].resize(depth.into(), blocks[blocks.len() - 1]));
        }
        for b in 0..blocks.len() {
            for &kernel in &stage.kernel.0 {
                add(&|arch| arch.stages[s][b].kernel = kernel);
            }
            for &expand in &stage.expand.0 {
                add(&|arch| arch.stages[s][b].expand = expand);
            }
        }
    }
    all
}
