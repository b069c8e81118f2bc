//! The firmware that measures layers, alone and in chains.

use embedded_hal::digital::OutputPin;
use heapless::Vec;
use runtime::{Layer, Net, Weights};

use crate::chain::Chain;
use crate::meter::{Meter, Timer};
use crate::serve::Service;
use crate::trial::{Trial, checksum, load};
use crate::wire::{Capacity, RUNS, Refusal, Reply, Request};

/// Measures any layer, and any chain of layers, that its arena and its pool have room for.
#[derive(Debug)]
pub struct Probe<'a> {
    arena: &'a mut [u32],
    pool: Weights<'a>,
    chain: Chain,
}

impl<'a> Probe<'a> {
    /// The arena is memory of one layer or chain, the pool has weights and lies in flash.
    ///
    /// ```
    /// use latency_probe::{Pool, Probe, Service};
    ///
    /// #[allow(long_running_const_eval)]
    /// static POOL: Pool<4096, 64> = Pool::new();
    /// let mut arena = [0; 1024];
    /// let capacity = Probe::new(&mut arena, POOL.weights()).capacity();
    /// assert_eq!((capacity.arena_bytes, capacity.pool_taps, capacity.pool_channels), (4096, 4096, 64));
    /// ```
    pub const fn new(arena: &'a mut [u32], pool: Weights<'a>) -> Self {
        Self { arena, pool, chain: Chain::new() }
    }

    fn measure<T: Timer, P: OutputPin>(
        &mut self,
        layer: Layer,
        seed: u32,
        runs: u8,
        meter: &mut Meter<T, P>,
    ) -> Result<Reply<'static>, Refusal> {
        check_runs(runs)?;
        let trial = Trial::new(layer, seed, self.pool)?;
        time(&trial.net(), seed, runs, self.arena, meter)
    }

    fn measure_chain<T: Timer, P: OutputPin>(
        &mut self,
        layers: u8,
        seed: u32,
        runs: u8,
        meter: &mut Meter<T, P>,
    ) -> Result<Reply<'static>, Refusal> {
        check_runs(runs)?;
        if self.chain.layers() != usize::from(layers) {
            return Err(Refusal::Chain);
        }
        time(&self.chain.net(seed, self.pool)?, seed, runs, self.arena, meter)
    }
}

fn check_runs(runs: u8) -> Result<(), Refusal> {
    if runs == 0 || usize::from(runs) > RUNS { Err(Refusal::Runs) } else { Ok(()) }
}

fn time<T: Timer, P: OutputPin>(
    net: &Net<'_>,
    seed: u32,
    runs: u8,
    arena: &mut [u32],
    meter: &mut Meter<T, P>,
) -> Result<Reply<'static>, Refusal> {
    let needed = net.arena_bytes();
    let there = size_of_val(arena);
    let arena = arena.get_mut(..needed / 4).ok_or(Refusal::Arena((needed.saturating_sub(there)) as u32))?;
    let mut ticks = Vec::new();
    let mut sum = 0;
    for _ in 0..runs {
        load(seed, net.input().len(), arena);
        let (run, output) = meter.time(|| net.run(arena));
        sum = checksum(output);
        ticks.push(run).map_err(|_| Refusal::Runs)?;
    }
    Ok(Reply::Measured { ticks, checksum: sum })
}

impl Service for Probe<'_> {
    fn capacity(&self) -> Capacity {
        Capacity {
            arena_bytes: size_of_val(self.arena) as u32,
            pool_taps: self.pool.taps.len() as u32,
            pool_channels: self.pool.channels.len() as u32,
            ..Capacity::default()
        }
    }

    fn answer<T: Timer, P: OutputPin>(
        &mut self,
        request: Request<'_>,
        meter: &mut Meter<T, P>,
    ) -> Result<Reply<'static>, Refusal> {
        match request {
            Request::Measure { layer, seed, runs } => self.measure(layer, seed, runs, meter),
            Request::Chain { place, layer } => self.chain.put(place, layer).map(|()| Reply::Chained),
            Request::MeasureChain { layers, seed, runs } => self.measure_chain(layers, seed, runs, meter),
            _ => Err(Refusal::Firmware),
        }
    }
}
