//! What a board and its probe must be able to do before a table of theirs means anything.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use latency_probe::{CHUNK, Refusal};
use runtime::{Activation, Block, Conv, Depthwise, Layer, Linear, Pool, Shape};

use super::pool::HostPool;
use crate::board::Board;
use crate::device::Device;
use crate::link::{LinkError, Measured, Port};

const SEED: u32 = 7;
/// Runs of each layer in a round.
const RUNS: u8 = 5;
/// Rounds in which layers take turns, at least and at most: what else a machine does slows all runs of a round alike.
const ROUNDS: usize = 8;
const MOST_ROUNDS: usize = 400;

/// Small enough for the smallest board.
const BLOCK: Block = Block {
    input: Shape::new(6, 6, 8),
    expanded: 24,
    kernel: 3,
    stride: 1,
    squeeze: 0,
    channels: 8,
    residual: true,
    activation: Activation::Relu6,
};

/// A thing that was looked at: what, and what there is to say, or what is wrong.
pub type Check = (&'static str, Result<String>);

/// Looks at everything, also after something is wrong.
///
/// ```
/// # mod probe { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/probe.rs")); }
/// use trainer::board::Board;
/// use trainer::measure::Bench;
/// use trainer::measure::selftest::selftest;
///
/// let board = Board::load("host")?;
/// let address = probe::start();
/// let bench = Bench::new(&board, Some(&address))?;
/// let checks = selftest(&board, &*bench.port)?;
/// let (_, kernels) = checks.iter().find(|(what, _)| *what == "kernels").expect("it is among them");
/// assert!(kernels.as_ref().is_ok_and(|said| said.ends_with("of every kind are exact")), "{kernels:?}");
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the board does not answer at all.
pub fn selftest(board: &Board, port: &dyn Port) -> Result<Vec<Check>> {
    let mut device = Device::connect(port, &board.name)?;
    let capacity = device.link.hello()?.1;
    let pool = HostPool::of(&capacity);
    Ok(vec![
        ("facts", facts(board, &mut device)),
        ("memory", memory(board, &mut device)),
        ("link", link(&mut device)),
        ("kernels", kernels(&mut device, &pool)),
        ("chain", chain(&mut device, &pool)),
        ("timer", timer(board, &mut device)),
        ("clock", clock(board, &mut device)),
    ])
}

/// Its description and its firmware say the same.
fn facts(board: &Board, device: &mut Device) -> Result<String> {
    let (facts, _) = device.link.hello()?;
    ensure!(facts.unit == board.unit, "its firmware counts {}, its board.toml says {}", facts.unit, board.unit);
    // What this machine is only the program knows that runs on it.
    if !board.folder.as_os_str().is_empty() {
        ensure!(facts.core == board.core, "its firmware says {}, its board.toml {}", facts.core, board.core);
        let [there, here] = [
            [facts.clock_hz, facts.flash_bytes, facts.ram_bytes],
            [board.clock_hz, board.flash_bytes, board.ram_bytes],
        ];
        ensure!(there == here, "its firmware says clock, flash and RAM are {there:?}, its board.toml {here:?}");
    }
    Ok(format!("{}, {}, firmware {} of version {}", facts.core, facts.unit, facts.firmware, facts.version))
}

/// The probe's room is within the board's.
fn memory(board: &Board, device: &mut Device) -> Result<String> {
    let (_, capacity) = device.link.hello()?;
    let (arena, taps) = (capacity.arena_bytes, capacity.pool_taps);
    ensure!(arena > 0 && taps > 0, "this firmware measures no layers; flash the probe");
    ensure!(arena < board.ram_bytes, "an arena of {arena} bytes is not within {} bytes of RAM", board.ram_bytes);
    ensure!(taps < board.flash_bytes, "a pool of {taps} bytes is not within {} bytes of flash", board.flash_bytes);
    Ok(format!(
        "{arena} of {} bytes of RAM for a layer, {taps} of {} bytes of flash for weights",
        board.ram_bytes, board.flash_bytes
    ))
}

/// The longest frames come through, with every byte there is, many times.
fn link(device: &mut Device) -> Result<String> {
    let start = Instant::now();
    let mut count = 0;
    for round in 0..8_u8 {
        let image: Vec<i8> = (0..CHUNK).map(|i| (i as u8).wrapping_mul(7).wrapping_add(round) as i8).collect();
        // A probe has no image: that it says so is the proof that it has read the request.
        match device.link.infer(&image, 1) {
            Err(LinkError::Refused(Refusal::Firmware)) => count += CHUNK,
            Err(error) => return Err(error.into()),
            Ok(_) => anyhow::bail!("this firmware runs a net; flash the probe"),
        }
    }
    Ok(format!("{:.0} bytes a second", count as f64 / start.elapsed().as_secs_f64()))
}

/// A few layers of each kind, small enough for the smallest board: odd sizes, channels that no vector divides.
pub fn layers() -> Vec<Layer> {
    let activation = Activation::Relu6;
    let conv = Conv { input: Shape::new(8, 8, 4), channels: 8, kernel: 3, stride: 1, activation };
    let block = BLOCK;
    let depthwise = Depthwise { input: Shape::new(7, 7, 12), kernel: 3, stride: 1, activation };
    vec![
        Layer::Conv(conv),
        Layer::Conv(Conv { stride: 2, input: Shape::new(17, 13, 3), channels: 7, ..conv }),
        Layer::Conv(Conv { kernel: 1, input: Shape::new(5, 5, 13), channels: 9, ..conv }),
        Layer::Block(block),
        Layer::Block(Block { kernel: 5, stride: 2, channels: 12, residual: false, ..block }),
        Layer::Block(Block { kernel: 7, activation: Activation::HSwish, ..block }),
        Layer::Block(Block { squeeze: 6, activation: Activation::Relu, ..block }),
        Layer::Depthwise(depthwise),
        Layer::Depthwise(Depthwise { stride: 2, kernel: 5, ..depthwise }),
        Layer::Pool(Pool { input: Shape::new(7, 7, 48) }),
        Layer::Pool(Pool { input: Shape::new(3, 5, 7) }),
        Layer::Linear(Linear { inputs: 64, outputs: 10, activation: Activation::None }),
        Layer::Linear(Linear { inputs: 129, outputs: 7, activation: Activation::Relu }),
    ]
}

/// Every output is this host's.
fn kernels(device: &mut Device, pool: &HostPool) -> Result<String> {
    let layers = layers();
    for layer in &layers {
        let Measured { checksum, .. } = device.link.measure(*layer, SEED, 1).with_context(|| layer.to_string())?;
        let expected = pool.expected(*layer, SEED)?;
        ensure!(checksum == expected, "{layer} has checksum {checksum:08x} there and {expected:08x} here");
    }
    Ok(format!("{} layers of every kind are exact", layers.len()))
}

/// So is the output of layers one after the other.
fn chain(device: &mut Device, pool: &HostPool) -> Result<String> {
    let activation = Activation::Relu6;
    let stem = Conv { input: Shape::new(12, 12, 1), channels: 8, kernel: 3, stride: 2, activation };
    let block = Block { input: stem.output(), ..BLOCK };
    let layers = [
        Layer::Conv(stem),
        Layer::Block(block),
        Layer::Pool(Pool { input: block.output() }),
        Layer::Linear(Linear { inputs: 8, outputs: 10, activation: Activation::None }),
    ];
    let Measured { checksum, .. } = device.link.measure_chain(&layers, SEED, 1)?;
    let expected = pool.expected_of_chain(&layers, SEED)?;
    ensure!(checksum == expected, "the net has checksum {checksum:08x} there and {expected:08x} here");
    Ok(format!("a net of {} layers is exact", layers.len()))
}

/// A layer of that many rows.
fn rows(height: u16) -> Layer {
    let input = Shape::new(height, 16, 8);
    Layer::Conv(Conv { input, channels: 8, kernel: 1, stride: 1, activation: Activation::None })
}

/// Time passes, the same work takes the same, and twice the work about twice as long.
fn timer(board: &Board, device: &mut Device) -> Result<String> {
    let (mut once, mut twice) = (vec![], vec![]);
    // The shortest, as whatever else a machine does makes a run longer only.
    let least = |ticks: &[u32]| f64::from(ticks.iter().copied().min().unwrap_or(1));
    let most = if board.is_deterministic() { ROUNDS } else { MOST_ROUNDS };
    let mut ratio = f64::NAN;
    for round in 1..=most {
        once.extend(device.link.measure(rows(16), SEED, RUNS)?.ticks);
        twice.extend(device.link.measure(rows(32), SEED, RUNS)?.ticks);
        ensure!(once.iter().chain(&twice).all(|&ticks| ticks > 0), "it stands still: a layer takes no ticks");
        ratio = least(&twice) / least(&once);
        // A busy machine has an undisturbed moment sooner or later; a timer that is wrong stays so.
        if round >= ROUNDS && is_double(ratio) {
            break;
        }
    }
    if board.is_deterministic() {
        let same = |ticks: &[u32]| ticks.iter().all(|&other| other == ticks[0]);
        ensure!(same(&once) && same(&twice), "the same work takes {once:?} {} one time and another", board.unit);
    }
    ensure!(is_double(ratio), "twice the work takes {ratio:.2} times as long; does the counter wrap or stop?");
    Ok(format!("twice the work takes {ratio:.3} times the {}", board.unit))
}

/// About.
fn is_double(ratio: f64) -> bool {
    (1.6..2.4).contains(&ratio)
}

/// What a layer takes by the board's clock it takes by this host's, at least; where the timer counts time.
fn clock(board: &Board, device: &mut Device) -> Result<String> {
    let hertz = match board.unit.as_str() {
        "nanoseconds" => 1e9,
        "microseconds" => 1e6,
        "cycles" if board.clock_hz > 0 => f64::from(board.clock_hz),
        unit => return Ok(format!("{unit} are no time, so there is no clock to compare")),
    };
    let start = Instant::now();
    let Measured { ticks, .. } = device.link.measure(rows(64), SEED, 16)?;
    let here = start.elapsed();
    let there = Duration::from_secs_f64(ticks.iter().map(|&ticks| f64::from(ticks)).sum::<f64>() / hertz);
    ensure!(
        there <= here,
        "16 runs take {there:?} there and, with the link, {here:?} here; is clock_hz the core's clock?"
    );
    Ok(format!("16 runs take {there:?} there and, with the link, {here:?} here"))
}
