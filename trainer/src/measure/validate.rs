//! Random whole nets on a board, beside the sums of the table's layers: how far a latency table can be trusted.

use anyhow::{Context, Result, bail, ensure};
use latency_probe::RUNS;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use runtime::Layer;
use serde::Serialize;

use super::pool::HostPool;
use crate::board::Board;
use crate::device::Device;
use crate::link::{LinkError, Port};
use crate::metrics::spearman;
use crate::space::Space;
use crate::table::{LatencyTable, median};

/// Nets drawn for each that is wanted, at most: a board may refuse some.
const DRAWS: usize = 20;
/// Rounds over all nets where ticks differ from run to run.
const ROUNDS: usize = 3;

/// How well a table foretells nets.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Validation {
    /// Its name.
    pub board: String,
    /// What a tick is.
    pub unit: String,
    /// How many nets ran; each gave the output that this host computes.
    pub nets: usize,
    /// How many that were drawn the board refused, as one of their layers or the whole does not fit.
    pub refused: usize,
    /// Mean of the absolute differences, in per cent of what was measured.
    pub mape: f64,
    /// Per cent of the nets whose difference is 5 per cent or less.
    pub within_5_percent: f64,
    /// Spearman's rank correlation.
    pub spearman: f64,
    /// The same of multiply-accumulates alone, at the median of the nets' ticks for each.
    pub macs_only: MacsOnly,
}

/// What multiply-accumulates alone foretell.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MacsOnly {
    /// As of [`Validation::mape`].
    pub mape: f64,
    /// As of [`Validation::spearman`].
    pub spearman: f64,
}

/// Nets of the space, evenly drawn, as lists of layers: so many, and as many more as a board may refuse.
pub fn draw(space: &Space, nets: usize, seed: u64) -> Vec<Vec<Layer>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..nets * DRAWS).map(|_| space.layers(&space.sample(&mut rng))).collect()
}

/// Measures the first `nets` of those nets that the board does not refuse; `done` is called after each.
///
/// ```
/// # mod probe { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/probe.rs")); }
/// use trainer::board::Board;
/// use trainer::measure::validate::{draw, validate};
/// use trainer::measure::{Bench, Settings, measure_missing};
/// use trainer::space::Space;
///
/// let (board, space) = (Board::load("host")?, Space::load("fashion")?);
/// let address = probe::start();
/// let bench = Bench::new(&board, Some(&address))?;
/// let nets = draw(&space, 2, 1);
/// let folder = tempfile::tempdir()?;
/// let settings = Settings { seed: 0, runs: 1, boards: 1 };
/// let mut layers = nets[..2].concat();
/// layers.sort();
/// layers.dedup();
/// let table = measure_missing(&folder.path().join("host.json"), &bench, &space, &layers, settings, &|| ())?;
/// let validation = validate(&board, &*bench.port, &table, &nets[..2], 2, &|| ())?;
/// assert_eq!((validation.nets, validation.refused), (2, 0));
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the board fails, computes something else than this host, or refuses too many.
pub fn validate(
    board: &Board,
    port: &dyn Port,
    table: &LatencyTable,
    drawn: &[Vec<Layer>],
    nets: usize,
    done: &(dyn Fn() + Sync),
) -> Result<Validation> {
    ensure!(nets >= 2, "two nets or more can be compared");
    let seed = table.header.seed as u32;
    let mut device = Device::connect(port, &board.name)?;
    let pool = HostPool::of(&device.link.hello()?.1);
    let mut measure = |layers: &[Layer], runs: u8| match device.link.measure_chain(layers, seed, runs) {
        Ok(measured) => Ok(Some(measured)),
        Err(LinkError::Refused(_)) => Ok(None),
        Err(error) => Err(error).context("cannot run a net"),
    };
    let mut running: Vec<(&[Layer], Vec<u32>)> = Vec::new();
    let mut refused = 0;
    for layers in drawn {
        if running.len() == nets {
            break;
        }
        if layers.iter().any(|layer| table.ticks(layer).is_none()) {
            // The table refuses a layer, or names the command that measures it.
            if layers.iter().any(|layer| table.entry(layer).is_none()) {
                table.latency(layers)?;
            }
            refused += 1;
            continue;
        }
        let expected = pool.expected_of_chain(layers, seed);
        match (measure(layers, 1)?, expected) {
            (Some(measured), Ok(expected)) if measured.checksum == expected => running.push((layers, measured.ticks)),
            (None, Err(_)) => {
                refused += 1;
                continue;
            }
            (measured, expected) => bail!(
                "{} does not compute what this host computes: net {} has {measured:?} there and {expected:?} here",
                board.name,
                running.len() + refused
            ),
        }
        done();
    }
    ensure!(
        running.len() == nets,
        "{} runs {} of {} nets only: it has no room for the others",
        board.name,
        running.len(),
        drawn.len()
    );
    if !board.is_deterministic() {
        for (_, ticks) in &mut running {
            ticks.clear();
        }
        for _ in 0..ROUNDS {
            for (layers, ticks) in &mut running {
                let measured = measure(layers, RUNS as u8)?.context("a net that ran is refused")?;
                // The first run warms caches up.
                ticks.extend(&measured.ticks[1..]);
            }
        }
    }
    let measured: Vec<_> = running.iter().map(|(_, ticks)| f64::from(median(ticks))).collect();
    let sums = running.iter().map(|(layers, _)| Ok(table.latency(layers)? as f64)).collect::<Result<Vec<_>>>()?;
    let macs: Vec<f64> = running.iter().map(|(layers, _)| layers.iter().map(Layer::macs).sum::<u64>() as f64).collect();
    let fitted = fit(&macs, &measured);
    Ok(Validation {
        board: board.name.clone(),
        unit: board.unit.clone(),
        nets,
        refused,
        mape: round(mape(&sums, &measured)),
        within_5_percent: round(share_within(&sums, &measured, 0.05) * 100.0),
        spearman: round(spearman(&sums, &measured)),
        macs_only: MacsOnly { mape: round(mape(&fitted, &measured)), spearman: round(spearman(&macs, &measured)) },
    })
}

/// Multiply-accumulates as ticks, by the median of the ticks for each.
fn fit(macs: &[f64], measured: &[f64]) -> Vec<f64> {
    let mut ratios: Vec<_> = measured.iter().zip(macs).map(|(measured, macs)| measured / macs.max(1.0)).collect();
    ratios.sort_by(f64::total_cmp);
    let scale = ratios.get(ratios.len() / 2).copied().unwrap_or(0.0);
    macs.iter().map(|macs| macs * scale).collect()
}

fn mape(predicted: &[f64], measured: &[f64]) -> f64 {
    let errors = predicted.iter().zip(measured).map(|(predicted, measured)| (predicted / measured - 1.0).abs());
    errors.sum::<f64>() / measured.len() as f64 * 100.0
}

fn share_within(predicted: &[f64], measured: &[f64], share: f64) -> f64 {
    let errors = predicted.iter().zip(measured).map(|(predicted, measured)| (predicted / measured - 1.0).abs());
    errors.filter(|error| *error <= share).count() as f64 / measured.len() as f64
}

fn round(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_in_per_cent_of_what_was_measured() {
        let (predicted, measured) = ([110.0, 194.0, 300.0], [100.0, 200.0, 300.0]);
        assert!((mape(&predicted, &measured) - 13.0 / 3.0).abs() < 1e-9);
        assert!((share_within(&predicted, &measured, 0.05) - 2.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn macs_are_scaled_by_the_median_net() {
        assert_eq!(fit(&[1.0, 2.0, 4.0], &[10.0, 20.0, 80.0]), [10.0, 20.0, 40.0]);
    }

    #[test]
    fn the_same_seed_draws_the_same_nets() {
        let space = Space::load("fashion").unwrap();
        assert_eq!(draw(&space, 3, 7), draw(&space, 3, 7));
        assert_ne!(draw(&space, 3, 7), draw(&space, 3, 8));
    }
}
