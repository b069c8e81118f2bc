//! Stems and first blocks, measured as one where they run so.

use anyhow::{Result, bail};
use latency_probe::RUNS;
use runtime::Layer;

use super::collect::{Known, compare};
use super::pool::HostPool;
use super::{Bench, Settings, named};
use crate::board::Board;
use crate::link::{Link, LinkError};
use crate::space::Space;
use crate::table::{LatencyTable, Opening, text};

/// The space's openings that have one of these layers, that the table lacks, and of whose layers it refuses none.
pub(super) fn missing(table: &LatencyTable, space: &Space, layers: &[Layer]) -> Vec<[Layer; 2]> {
    let refused = |layer: &Layer| table.entry(layer).is_some_and(|entry| entry.ticks().is_none());
    let is_missing = |pair: &[Layer; 2]| {
        pair.iter().any(|layer| layers.contains(layer))
            && !pair.iter().any(refused)
            && table.opening_ticks(pair).is_none()
    };
    space.openings().into_iter().filter(is_missing).collect()
}

/// Runs each pair as the first two layers of a net. What has no room on the board, and neither here, is left out.
///
/// # Errors
/// If the board breaks down, or computes something else than this host.
pub(crate) fn measure_openings(bench: &Bench<'_>, pairs: &[[Layer; 2]], settings: Settings) -> Result<Vec<Opening>> {
    if pairs.is_empty() {
        return Ok(vec![]);
    }
    let mut device = bench.device()?;
    let measured = measure_all(&mut device.link, bench.board, pairs, settings);
    measured.map_err(|error| named(bench.board, device.bury(error)))
}

fn measure_all(link: &mut Link, board: &Board, pairs: &[[Layer; 2]], settings: Settings) -> Result<Vec<Opening>> {
    let pool = HostPool::of(&link.hello()?.1);
    let seed = settings.seed as u32;
    // The first run warms caches up, where there is time to be lost.
    let warm_up = usize::from(!board.is_deterministic());
    let mut openings = vec![];
    for pair in pairs {
        let expected = pool.expected_of_chain(pair, seed);
        let mut all = vec![];
        let opening = loop {
            let left = usize::from(settings.runs) - all.len();
            let runs = (left + warm_up).min(RUNS);
            let answer = match link.measure_chain(pair, seed, runs as u8) {
                Ok(measured) => Ok(measured),
                Err(LinkError::Refused(refusal)) => Err(refusal),
                Err(error) => return Err(error.into()),
            };
            match compare(text(pair), answer, expected, warm_up) {
                Known::Runs { ticks, checksum } => {
                    all.extend(ticks);
                    if all.len() >= usize::from(settings.runs) {
                        break Some(Opening::measured(*pair, &all, checksum));
                    }
                }
                Known::Refused(_) => break None,
                Known::Wrong(what) => bail!("{} does not compute what this host computes: {what}", board.name),
            }
        };
        openings.extend(opening);
    }
    Ok(openings)
}

#[cfg(test)]
mod tests {
    use runtime::{Activation, Block, Conv, Shape};

    use super::*;
    use crate::measure::{measure_into, measure_missing};
    use crate::table::Outcome;

    mod probe {
        include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/probe.rs"));
    }

    const SETTINGS: Settings = Settings { seed: 3, runs: 20, boards: 1 };

    #[test]
    fn a_table_has_the_openings_of_its_layers_and_gets_those_that_it_lacks() {
        let (board, space) = (Board::load("host").unwrap(), Space::load("mcu").unwrap());
        let address = probe::start();
        let bench = Bench::new(&board, Some(&address)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host.json");
        let layers = &space.layers(&space.smallest())[..3];
        let table = measure_into(&path, &bench, &space, layers, SETTINGS, &|| ()).unwrap();
        let [opening] = &table.openings[..] else { panic!("{:?}", table.openings) };
        assert_eq!(opening.layers, layers[..2]);
        let expected = HostPool::of(&bench.capacity().unwrap()).expected_of_chain(&layers[..2], 3).unwrap();
        assert_eq!(*opening, Opening { outcome: opening.outcome.clone(), ..Opening::measured(opening.layers, &[], 0) });
        let Outcome::Measured { ticks, runs: 20, checksum, .. } = &opening.outcome else { panic!("{opening:?}") };
        assert_eq!(*checksum, format!("{expected:08x}"));
        let third = table.ticks(&layers[2]).unwrap();
        assert_eq!(table.latency(layers).unwrap(), u64::from(*ticks) + u64::from(third));

        let before = LatencyTable { openings: vec![], ..table };
        before.save(&path).unwrap();
        let same = measure_missing(&path, &bench, &space, &layers[2..], SETTINGS, &|| ()).unwrap();
        assert_eq!(same, before, "no opening has that layer");
        let whole = measure_missing(&path, &bench, &space, &layers[1..], SETTINGS, &|| ()).unwrap();
        assert_eq!(whole.openings.len(), 1);
        assert_eq!(LatencyTable::load(&path, &space).unwrap(), whole);
    }

    #[test]
    fn a_pair_without_room_is_left_out() {
        let board = Board::load("host").unwrap();
        let address = probe::start();
        let bench = Bench::new(&board, Some(&address)).unwrap();
        let activation = Activation::Relu6;
        let stem = Conv { input: Shape::new(2000, 1000, 3), channels: 8, kernel: 3, stride: 2, activation };
        let block = Block {
            input: stem.output(),
            expanded: 8,
            kernel: 3,
            stride: 1,
            squeeze: 0,
            channels: 8,
            residual: false,
            activation,
        };
        let pair = [Layer::Conv(stem), Layer::Block(block)];
        assert_eq!(measure_openings(&bench, &[pair], SETTINGS).unwrap(), []);
    }
}
