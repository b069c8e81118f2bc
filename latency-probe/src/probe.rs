//! The firmware that measures layers.

use embedded_hal::digital::OutputPin;
use heapless::Vec;
use runtime::{Layer, Weights};

use crate::meter::{Meter, Timer};
use crate::serve::Service;
use crate::trial::{Trial, checksum};
use crate::wire::{Capacity, RUNS, Refusal, Reply, Request};

/// Measures any layer that its arena and its pool have room for.
#[derive(Debug)]
pub struct Probe<'a> {
    /// Memory of one layer.
    pub arena: &'a mut [u32],
    /// Weights, in flash.
    pub pool: Weights<'a>,
}

impl Probe<'_> {
    fn measure<T: Timer, P: OutputPin>(
        &mut self,
        layer: Layer,
        seed: u32,
        runs: u8,
        meter: &mut Meter<T, P>,
    ) -> Result<Reply<'static>, Refusal> {
        if runs == 0 || usize::from(runs) > RUNS {
            return Err(Refusal::Runs);
        }
        let trial = Trial::new(layer, seed, self.pool)?;
        let net = trial.net();
        let needed = net.arena_bytes();
        let there = size_of_val(self.arena);
        let arena = self.arena.get_mut(..needed / 4).ok_or(Refusal::Arena((needed.saturating_sub(there)) as u32))?;
        let mut ticks = Vec::new();
        let mut sum = 0;
        for _ in 0..runs {
            trial.load(arena);
            let (run, output) = meter.time(|| net.run(arena));
            sum = checksum(output);
            ticks.push(run).map_err(|_| Refusal::Runs)?;
        }
        Ok(Reply::Measured { ticks, checksum: sum })
    }
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
            _ => Err(Refusal::Firmware),
        }
    }
}
