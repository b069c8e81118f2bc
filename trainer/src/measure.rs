//! Collects a board's latency table. Each figure comes with the proof that its kernel is exact there: the checksum of
//! the layer's output, which the host computes too.

use anyhow::{Context, Result, bail};
use latency_probe::{Capacity, Refusal, Trial, expected};
use runtime::{Channel, Layer, Weights};
use time::OffsetDateTime;

use crate::board::Board;
use crate::device::{command_line, emulator_version, share_out, with_board};
use crate::files::Header;
use crate::firmware::{self, Binary, Firmware};
use crate::link::{Link, LinkError, Measured};
use crate::model::{self, Compiled, Scale};
use crate::space::Space;
use crate::table::{self, Entry, FirmwareCost, LatencyTable, Provenance};

/// How to measure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Of weights and inputs.
    pub seed: u64,
    /// Of each layer, 1 to 16.
    pub runs: u8,
    /// How many boards measure at the same time; 0: as many as this host can emulate.
    pub boards: usize,
}

/// The table of these layers of the space. `done` is called after each.
///
/// # Errors
/// If the board cannot be started or breaks down, or names the layers whose output is not the host's.
pub fn measure(
    board: &Board,
    space: &Space,
    layers: &[Layer],
    settings: Settings,
    done: &(dyn Fn() + Sync),
) -> Result<LatencyTable> {
    let link = format!("{}: {}", emulator_version(board)?, command_line(board)?);
    let probe = firmware::build(board, Binary::Probe)?;
    let mut layers = layers.to_vec();
    layers.sort_unstable();
    layers.dedup();
    let entries = measure_layers(board, &probe, &layers, settings, done)?;
    let sources = with_board(board, &probe, |link| Ok(link.hello()?.0.firmware.to_string()))?;
    let Settings { seed, runs, .. } = settings;
    let provenance = Provenance {
        command: format!("ofa measure --board {} --space {} --seed {seed} --runs {runs}", board.name, space.name),
        board: board.name.clone(),
        core: board.core.clone(),
        clock_hz: board.clock_hz,
        unit: board.unit.clone(),
        flash_bytes: board.flash_bytes,
        ram_bytes: board.ram_bytes,
        link,
        probe: probe.sha256,
        sources,
        runtime: latency_probe::VERSION.into(),
        ofa: env!("CARGO_PKG_VERSION").into(),
        date: OffsetDateTime::now_utc().date().to_string(),
    };
    let header = Header::new(table::FORMAT, &space.hash(), seed);
    Ok(LatencyTable { header, provenance, firmware: firmware_cost(board, space)?, layers: entries })
}

/// What came of each layer, in their order.
///
/// # Errors
/// As [`measure`].
pub fn measure_layers(
    board: &Board,
    probe: &Firmware,
    layers: &[Layer],
    settings: Settings,
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Entry>> {
    let Settings { seed, runs, boards } = settings;
    let seed = seed as u32 ^ (seed >> 32) as u32;
    let capacity = with_board(board, probe, |link| Ok(link.hello()?.1))?;
    let pool = HostPool::of(&capacity);
    let work = |link: &mut Link, layer: &Layer| {
        let measured = match link.measure(*layer, seed, runs) {
            Ok(measured) => Ok(measured),
            Err(LinkError::Refused(refusal)) => Err(refusal),
            Err(error) => return Err(error).with_context(|| layer.to_string()),
        };
        Ok(compare(*layer, measured, expect(*layer, seed, pool.weights(), &capacity)))
    };
    let compared = share_out(board, probe, boards, layers, work, done)?;
    let wrong: Vec<_> = compared.iter().filter_map(|result| result.as_ref().err()).collect();
    if let [first, rest @ ..] = &wrong[..] {
        let others = if rest.is_empty() { String::new() } else { format!(" (and {} more layers)", rest.len()) };
        bail!("{} does not compute what this host computes: {first}{others}", board.name);
    }
    Ok(compared.into_iter().flatten().collect())
}

/// The entry, or what differs.
fn compare(
    layer: Layer,
    device: Result<Measured, Refusal>,
    host: Result<u32, Refusal>,
) -> std::result::Result<Entry, String> {
    match (device, host) {
        (Ok(Measured { ticks, checksum }), Ok(expected)) if checksum == expected => {
            Ok(Entry::measured(layer, &ticks, checksum))
        }
        (Ok(Measured { checksum, .. }), Ok(expected)) => {
            Err(format!("{layer} has checksum {checksum:08x} there and {expected:08x} here"))
        }
        (Err(refusal), Err(expected)) if refusal == expected => Ok(Entry::refused(layer, refusal)),
        (Ok(_), Err(expected)) => Err(format!("{layer} runs there, and here: {expected}")),
        (Err(refusal), _) => Err(format!("{layer} runs here, and there: {refusal}")),
    }
}

/// The checksum that a device of that capacity must give.
fn expect(layer: Layer, seed: u32, pool: Weights<'_>, capacity: &Capacity) -> Result<u32, Refusal> {
    // The board refuses for its arena last, so a layer that gets that far has a size that can be trusted.
    let trial = Trial::new(layer, seed, pool)?;
    let needed = trial.net().arena_bytes();
    let mut arena = vec![0; needed.min(capacity.arena_bytes as usize) / 4];
    expected(layer, seed, pool, &mut arena)
}

/// The pool of a device, on this host.
struct HostPool {
    channels: Vec<Channel>,
    taps: Vec<u8>,
}

impl HostPool {
    fn of(capacity: &Capacity) -> Self {
        let mut pool = Self {
            channels: vec![Channel { bias: 0, multiplier: 0 }; capacity.pool_channels as usize],
            taps: vec![0; capacity.pool_taps as usize],
        };
        latency_probe::fill(&mut pool.channels, &mut pool.taps);
        pool
    }

    fn weights(&self) -> Weights<'_> {
        Weights { channels: &self.channels, taps: &self.taps }
    }
}

/// Links a runner with the smallest net of the space, whose own bytes are known, and takes the difference; `None` if
/// the runtime cannot run that net.
fn firmware_cost(board: &Board, space: &Space) -> Result<Option<FirmwareCost>> {
    let arch = space.smallest();
    let layers = space.layers(&arch);
    let most = |size: fn(&Layer) -> usize| layers.iter().map(size).max().unwrap_or(0) as u32;
    let capacity =
        Capacity { pool_taps: most(Layer::taps), pool_channels: most(Layer::channels), ..Capacity::default() };
    let pool = HostPool::of(&capacity);
    let Ok(trials) = layers.iter().map(|layer| Trial::new(*layer, 0, pool.weights())).collect::<Result<Vec<_>, _>>()
    else {
        return Ok(None);
    };
    let blank = Compiled {
        header: Header::new(model::FORMAT, &space.hash(), 0),
        arch,
        outputs: vec![Scale { scale: 1.0, zero: 0 }; layers.len()],
        steps: trials.iter().map(Trial::step).collect(),
        channels: trials.iter().flat_map(|trial| trial.weights().channels.to_vec()).collect(),
        taps: trials.iter().flat_map(|trial| trial.weights().taps.to_vec()).collect(),
    };
    let size = firmware::build(board, Binary::Runner(&blank))?.size;
    Ok(Some(FirmwareCost {
        code_bytes: size.flash_bytes.saturating_sub(blank.flash_bytes()),
        static_bytes: size.sram_bytes.saturating_sub(blank.net()?.arena_bytes()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::{Activation, Linear};

    const LAYER: Layer = Layer::Linear(Linear { inputs: 8, outputs: 4, activation: Activation::None });

    fn measured(checksum: u32) -> Result<Measured, Refusal> {
        Ok(Measured { ticks: vec![30, 10, 20], checksum })
    }

    #[test]
    fn equal_checksums_make_an_entry() {
        assert_eq!(compare(LAYER, measured(5), Ok(5)), Ok(Entry::measured(LAYER, &[10, 20, 30], 5)));
        assert_eq!(
            compare(LAYER, Err(Refusal::Arena(9)), Err(Refusal::Arena(9))),
            Ok(Entry::refused(LAYER, "it needs 9 bytes more than the arena has"))
        );
    }

    #[test]
    fn whatever_differs_is_named() {
        let check = |device, host, text: &str| assert_eq!(compare(LAYER, device, host), Err(text.to_string()));
        check(measured(0xA), Ok(0xB), "linear 8 -> 4 none has checksum 0000000a there and 0000000b here");
        check(
            measured(1),
            Err(Refusal::Pool(3)),
            "linear 8 -> 4 none runs there, and here: it needs 3 bytes more than the pool of weights has",
        );
        check(
            Err(Refusal::Pool(3)),
            Ok(1),
            "linear 8 -> 4 none runs here, and there: it needs 3 bytes more than the pool of weights has",
        );
        check(
            Err(Refusal::Arena(1)),
            Err(Refusal::Arena(2)),
            "linear 8 -> 4 none runs here, and there: it needs 1 bytes more than the arena has",
        );
    }
}
