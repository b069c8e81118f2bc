//! How fast the search is, and how good beside the original's: on a predictor and a table of the original's form.
//!
//! ```
//! use trainer::search::Problem;
//! use trainer::search::bench::{made_up_costs, made_up_limits, made_up_predictor, search_bench};
//! use trainer::space::Space;
//!
//! let space = Space::load("mobilenetv3@1.2")?;
//! let (predictor, costs) = (made_up_predictor(&space, 8, 1)?, made_up_costs(&space, 1)?);
//! let problem = Problem::new(&space, &predictor, &costs, made_up_limits(&space, &costs, 1));
//! let bench = search_bench(&problem, 500, 1, false)?;
//! assert!(bench.evaluations <= 500 && bench.original.is_none());
//! assert!(bench.best.cost.is_some_and(|cost| cost.latency <= bench.limits.latency));
//! # Ok::<(), anyhow::Error>(())
//! ```

use std::time::Instant;

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{Costs, Effort, Limits, Method, Net, Problem, original, search};
use crate::original::{FEATURES, layers_for, resolutions};
use crate::predictor::{Dense, Predictor};
use crate::space::Space;
use crate::table::Clock;

/// Nets that are sampled to tell how the made-up figures are spread.
const SAMPLE: usize = 1000;
/// Seeds of the original's search.
const SEEDS: u64 = 3;

/// What a search came to and what it took.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SearchBench {
    /// Nets that the predictor was asked about, none twice.
    pub evaluations: usize,
    /// The whole search, on the wall.
    pub seconds: f64,
    /// That it could use.
    pub threads: usize,
    /// What it found.
    pub best: Net,
    /// What bounds it.
    pub limits: Limits,
    /// Where that was asked for.
    pub original: Option<Original>,
}

/// The original's evolution on the same problem.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Original {
    /// Of each seed.
    pub evaluations: usize,
    /// The best accuracy of each seed, as a share of 1.
    pub accuracies: Vec<f32>,
    /// What its seeds took together.
    pub seconds: f64,
}

/// Searches with this many evaluations, and with the original's evolution if `beside`.
///
/// # Errors
/// As [`search`].
pub fn search_bench(problem: &Problem, evaluations: usize, seed: u64, beside: bool) -> Result<SearchBench> {
    let effort = Effort { evaluations, fruitless_populations: usize::MAX };
    let problem = Problem { method: Method::Evolution(effort), ..problem.clone() };
    let start = Instant::now();
    let found = search(&problem, seed)?;
    let seconds = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let seeds = || (0..SEEDS).map(|seed| original::search(&problem, seed)).collect::<Result<Vec<_>>>();
    let accuracies = beside.then(seeds).transpose()?;
    let original = accuracies.map(|accuracies| Original {
        evaluations: original::EVALUATIONS,
        accuracies,
        seconds: start.elapsed().as_secs_f64(),
    });
    let threads = rayon::current_num_threads();
    let limits = problem.boards[0].1;
    Ok(SearchBench { evaluations: found.evaluations, seconds, threads, best: found.best, limits, original })
}

/// A predictor of the original's form, 128 → `hidden` three times → 1, the original's `hidden` being 400, with weights drawn
/// as networks begin (He et al. 2015): over the space its accuracies have a mean of 75 % and a deviation of 1 point.
///
/// # Errors
/// If the space is not the original's.
pub fn made_up_predictor(space: &Space, hidden: usize, seed: u64) -> Result<Predictor> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut layer = |[inputs, outputs]: [usize; 2]| {
        let bound = (6.0 / inputs as f32).sqrt();
        let mut draw = |count| (0..count).map(|_| rng.random_range(-bound..bound)).collect();
        Dense { inputs, weights: draw(inputs * outputs), bias: draw(outputs) }
    };
    let layers = [[FEATURES, hidden], [hidden, hidden], [hidden, hidden], [hidden, 1]].map(&mut layer);
    let mut layers = layers_for(space, layers.into())?;
    let known = resolutions(space);
    let archs: Vec<_> = (0..SAMPLE).map(|_| space.sample(&mut rng)).collect();
    let said = Predictor::new(&layers, space)?.predict(&archs)?;
    let mean = said.iter().sum::<f32>() / SAMPLE as f32;
    let variance = said.iter().map(|said| (said - mean).powi(2)).sum::<f32>() / SAMPLE as f32;
    let scale = 0.01 / variance.sqrt().max(f32::MIN_POSITIVE);
    let last = layers.len() - 1;
    layers[last].weights.iter_mut().for_each(|weight| *weight *= scale);
    layers[last].bias[0] = 0.75 + (layers[last].bias[0] - mean) * scale;
    Predictor::new(&layers, space)?.knowing(&known)
}

/// The costs of a made-up phone: nanoseconds that follow the multiply-accumulates, each layer by a factor of its own.
///
/// # Errors
/// Never: it knows every layer.
pub fn made_up_costs(space: &Space, seed: u64) -> Result<Costs> {
    let ticks = |layer: &runtime::Layer| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ u64::from(crc32fast::hash(layer.to_string().as_bytes())));
        Some(Some(20_000 + (layer.macs() as f64 * rng.random_range(0.07..0.14)) as u32))
    };
    Costs::of_board(space, "made-up", Clock { unit: "ns", hz: Some(1e9) }, 0, ticks)
}

/// A latency that a quarter of the nets meet.
pub fn made_up_limits(space: &Space, costs: &Costs, seed: u64) -> Limits {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut latency = || costs.of(&space.layers(&space.sample(&mut rng))).and_then(|cost| cost.latency);
    let mut latencies: Vec<_> = (0..SAMPLE).filter_map(|_| latency()).collect();
    latencies.sort_unstable();
    Limits { latency: latencies.get(SAMPLE / 4).copied(), ..Limits::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By a smaller predictor, which unoptimised code takes less time for.
    #[test]
    fn the_best_is_at_least_that_of_three_seeds_of_the_original() {
        let space = Space::load("mobilenetv3@1.2").unwrap();
        for seed in 0..2 {
            let predictor = made_up_predictor(&space, 40, seed).unwrap();
            let costs = made_up_costs(&space, seed).unwrap();
            let limits = made_up_limits(&space, &costs, seed);
            let problem = Problem::new(&space, &predictor, &costs, limits);
            let SearchBench { evaluations, best, original, .. } = search_bench(&problem, 50_000, seed, true).unwrap();
            let Original { evaluations: theirs, accuracies, .. } = original.unwrap();
            assert_eq!((evaluations, theirs), (50_000, 50_100));
            assert!(limits.excess(best.cost.as_ref()) <= 1.0);
            let highest = accuracies.iter().copied().fold(0.0, f32::max);
            assert!(best.accuracy >= highest, "{} beside {accuracies:?}", best.accuracy);
        }
    }

    #[test]
    fn limits_that_no_net_meets_end_it() {
        let space = Space::load("mobilenetv3@1.2").unwrap();
        let (predictor, costs) = (made_up_predictor(&space, 8, 7).unwrap(), made_up_costs(&space, 7).unwrap());
        let limits = Limits { latency: Some(1), ..Limits::default() };
        let error = search_bench(&Problem::new(&space, &predictor, &costs, limits), 500, 1, false).unwrap_err();
        assert!(error.is::<crate::search::Infeasible>(), "{error}");
    }

    /// What was found once, on whatever processor, in whatever build.
    #[test]
    fn a_seed_finds_the_same_on_any_number_of_threads_and_in_any_build() {
        let space = Space::load("mobilenetv3@1.2").unwrap();
        let predictor = made_up_predictor(&space, 400, 7).unwrap();
        let costs = made_up_costs(&space, 7).unwrap();
        let problem = Problem::new(&space, &predictor, &costs, made_up_limits(&space, &costs, 7));
        for threads in [1, 2, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| search_bench(&problem, 3000, 1, false)).unwrap();
            assert_eq!((found.evaluations, found.threads), (3000, threads));
            let text = serde_json::to_string(&found.best).unwrap();
            assert_eq!(crc32fast::hash(text.as_bytes()), 1_252_299_771, "{text}");
        }
    }
}
