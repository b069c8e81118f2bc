//! The original's evolution as its code has it: what ours is compared with.
//!
//! A population of 100, 500 generations; a quarter are parents, half of the 100 children are mutants and half crosses; a
//! child that misses the limit is drawn again, and what was seen before is evaluated again. Blocks beyond a stage's depth
//! keep their choices, unseen.

use anyhow::{Context, Result};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Problem;
use super::genes::{Coding, Genes};
use super::judge::Judge;
use crate::space::pick;

const POPULATION: usize = 100;
const PARENTS: usize = 25;
const GENERATIONS: usize = 500;
const MUTATION: f64 = 0.1;
/// So many draws that miss the limits: hardly any net meets them.
const DRAWS: usize = 1_000_000;

/// Nets that it evaluates.
pub(super) const EVALUATIONS: usize = POPULATION * (GENERATIONS + 1);

/// All choices, those of blocks beyond the depth too.
#[derive(Clone)]
struct Spec {
    full: Genes,
    depths: Vec<u8>,
}

/// The highest accuracy that it finds, as a share of 1.
///
/// # Errors
/// If hardly any net meets the limits, or the predictor fails.
pub(super) fn search(problem: &Problem, seed: u64) -> Result<f32> {
    let judge = Judge::new(problem)?;
    let coding = &judge.coding;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rng = &mut rng;
    let evaluate = |specs: Vec<Spec>| -> Result<Vec<(f32, Spec)>> {
        let predictions = problem.predictor.predict_ones(&specs, |spec| coding.ones(&spec.genes(coding)))?;
        Ok(predictions.into_iter().map(|prediction| prediction.accuracy).zip(specs).collect())
    };
    let first = (0..POPULATION).map(|_| within(&judge, || Spec::sample(coding, rng))).collect::<Result<_>>()?;
    let mut population = evaluate(first)?;
    for _ in 0..GENERATIONS {
        population.sort_by(|a, b| b.0.total_cmp(&a.0));
        population.truncate(PARENTS);
        let mut children = vec![];
        for child in 0..POPULATION {
            let mother = &population[rng.random_range(0..PARENTS)].1;
            let father = &population[rng.random_range(0..PARENTS)].1;
            children.push(if child < POPULATION / 2 {
                within(&judge, || mother.mutate(coding, rng))?
            } else {
                within(&judge, || mother.cross(father, coding, rng))?
            });
        }
        population.extend(evaluate(children)?);
    }
    Ok(population.iter().map(|(accuracy, _)| *accuracy).fold(f32::MIN, f32::max))
}

/// The first draw within the limits.
fn within(judge: &Judge, mut draw: impl FnMut() -> Spec) -> Result<Spec> {
    let mut draws = (0..DRAWS).map(|_| draw());
    let found = draws.find(|spec| judge.candidate(spec.genes(&judge.coding)).fits());
    found.context("hardly any net meets the limits")
}

impl Spec {
    fn sample(coding: &Coding, rng: &mut impl Rng) -> Self {
        let depths = coding.stages().iter().map(|stage| pick(&stage.depths, rng)).collect();
        Self { full: coding.sample_full(rng), depths }
    }

    fn mutate(&self, coding: &Coding, rng: &mut impl Rng) -> Self {
        let mut child = self.clone();
        coding.redraw(&mut child.full, MUTATION, rng);
        for (depth, stage) in child.depths.iter_mut().zip(coding.stages()) {
            if rng.random_bool(MUTATION) {
                *depth = pick(&stage.depths, rng);
            }
        }
        child
    }

    fn cross(&self, other: &Self, coding: &Coding, rng: &mut impl Rng) -> Self {
        let depth = |(&a, &b): (&u8, &u8)| if rng.random() { a } else { b };
        let depths = self.depths.iter().zip(&other.depths).map(depth).collect();
        Self { full: coding.cross(&self.full, &other.full, rng), depths }
    }

    fn genes(&self, coding: &Coding) -> Genes {
        coding.cut(&self.full, &self.depths)
    }
}
