//! What a board must compute, computed here: the same pool of weights, the same code.

use latency_probe::{Capacity, Chain, Refusal, Trial, expected, expected_of_chain};
use runtime::{Channel, Layer, Weights};

/// The pool of a device, on this host.
pub(super) struct HostPool {
    capacity: Capacity,
    channels: Vec<Channel>,
    taps: Vec<u8>,
}

impl HostPool {
    pub fn of(capacity: &Capacity) -> Self {
        let mut pool = Self {
            capacity: *capacity,
            channels: vec![Channel { bias: 0, multiplier: 0 }; capacity.pool_channels as usize],
            taps: vec![0; capacity.pool_taps as usize],
        };
        latency_probe::fill(&mut pool.channels, &mut pool.taps);
        pool
    }

    pub fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    pub fn weights(&self) -> Weights<'_> {
        Weights { channels: &self.channels, taps: &self.taps }
    }

    /// The checksum that the device must give for the layer, or its refusal.
    pub fn expected(&self, layer: Layer, seed: u32) -> Result<u32, Refusal> {
        // The board refuses for its arena last, so a layer that gets that far has a size that can be trusted.
        let needed = Trial::new(layer, seed, self.weights())?.net().arena_bytes();
        expected(layer, seed, self.weights(), &mut self.arena(needed))
    }

    /// The same for layers one after the other.
    pub fn expected_of_chain(&self, layers: &[Layer], seed: u32) -> Result<u32, Refusal> {
        let mut chain = Chain::new();
        for (place, layer) in layers.iter().enumerate() {
            chain.put(u8::try_from(place).map_err(|_| Refusal::Chain)?, *layer)?;
        }
        let needed = chain.net(seed, self.weights())?.arena_bytes();
        expected_of_chain(&mut chain, seed, self.weights(), &mut self.arena(needed))
    }

    fn arena(&self, needed: usize) -> Vec<u32> {
        vec![0; needed.min(self.capacity.arena_bytes as usize) / 4]
    }
}
