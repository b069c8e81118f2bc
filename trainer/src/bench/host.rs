//! The same layers on the machine that this runs on, by the clock.

use std::time::Instant;

use latency_probe::Trial;
use runtime::{Channel, Layer, Weights};

use crate::table::median;

/// Runs of a layer whose median counts.
const RUNS: usize = 25;

/// What one layer took.
pub(super) struct Timed {
    /// Of one run.
    pub nanoseconds: u32,
    /// Whether each value of the output is that of the plain formulas.
    pub exact: bool,
}

/// Runs a layer with the weights and the input of that seed; or why it cannot run.
pub(super) fn time(layer: Layer, seed: u64) -> Result<Timed, String> {
    layer.check().map_err(|invalid| invalid.to_string())?;
    let mut channels = vec![Channel { bias: 0, multiplier: 0 }; layer.channels()];
    let mut taps = vec![0; layer.taps()];
    latency_probe::fill(&mut channels, &mut taps);
    let pool = Weights { channels: &channels, taps: &taps };
    let trial = Trial::new(layer, seed as u32, pool).map_err(|refusal| refusal.to_string())?;
    let net = trial.net();
    let mut arena = vec![0; net.arena_bytes() / 4];
    trial.load(&mut arena);
    let input = runtime::bytes(&mut arena)[..layer.input().len()].to_vec();
    let (mut hidden, mut expected) = (vec![0; layer.hidden_bytes()], vec![0; layer.output().len()]);
    runtime::execute(&trial.step(), trial.weights(), &input, &mut hidden, &mut expected);
    let mut exact = true;
    let mut times = Vec::new();
    for _ in 0..RUNS {
        trial.load(&mut arena);
        let start = Instant::now();
        let output = net.run(&mut arena);
        times.push(u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX));
        exact &= output == expected;
    }
    Ok(Timed { nanoseconds: median(&times), exact })
}
