//! Weights for any layer: pseudo-random numbers that lie in flash, where a net's weights lie too.

use runtime::{Channel, Weights};

use crate::random::Random;

const TAPS_SEED: u32 = 1;
const CHANNELS_SEED: u32 = 2;

/// `TAPS` taps and `CHANNELS` biases and multipliers.
///
/// ```
/// #[allow(long_running_const_eval)]
/// static POOL: latency_probe::Pool<4096, 64> = latency_probe::Pool::new();
/// ```
#[derive(Debug)]
#[repr(C)]
pub struct Pool<const TAPS: usize, const CHANNELS: usize> {
    channels: [Channel; CHANNELS],
    taps: [u8; TAPS],
}

impl<const TAPS: usize, const CHANNELS: usize> Pool<TAPS, CHANNELS> {
    /// The pool of that size; a host of other sizes has the same [by `fill`](fill).
    pub const fn new() -> Self {
        let mut pool = Self { channels: [Channel { bias: 0, multiplier: 0 }; CHANNELS], taps: [0; TAPS] };
        fill(&mut pool.channels, &mut pool.taps);
        pool
    }

    /// All of it.
    pub const fn weights(&self) -> Weights<'_> {
        Weights { channels: &self.channels, taps: &self.taps }
    }
}

impl<const TAPS: usize, const CHANNELS: usize> Default for Pool<TAPS, CHANNELS> {
    fn default() -> Self {
        Self::new()
    }
}

/// Fills a pool: taps of any int8, biases of ±2¹², positive multipliers from 2⁻¹² to 2⁻⁸ whose octaves are equally
/// likely, so that the outputs of a layer of any fan-in neither all vanish nor all saturate.
pub const fn fill(channels: &mut [Channel], taps: &mut [u8]) {
    let mut random = Random::new(TAPS_SEED);
    // Word by word, because the compiler's evaluation of every step counts in the build of a probe.
    let (words, rest) = taps.as_chunks_mut();
    let mut i = 0;
    while i < words.len() {
        words[i] = random.next().to_le_bytes();
        i += 1;
    }
    let word: [u8; 4] = random.next().to_le_bytes();
    let mut i = 0;
    while i < rest.len() {
        rest[i] = word[i];
        i += 1;
    }
    let mut random = Random::new(CHANNELS_SEED);
    let mut i = 0;
    while i < channels.len() {
        let bias = random.below(1 << 13) as i32 - (1 << 12);
        let mantissa = (1 << 20) + random.below(1 << 20) as i32;
        channels[i] = Channel { bias, multiplier: mantissa << random.below(4) };
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_of_the_compiler_is_the_pool_of_the_host() {
        static POOL: Pool<1023, 33> = Pool::new();
        let (mut channels, mut taps) = (std::vec![Channel { bias: 0, multiplier: 0 }; 33], std::vec![0; 1023]);
        fill(&mut channels, &mut taps);
        assert_eq!(POOL.weights().channels, channels);
        assert_eq!(POOL.weights().taps, taps);
    }

    #[test]
    fn a_smaller_pool_is_the_larger_ones_beginning() {
        let (small, large) = (Pool::<5, 3>::new(), Pool::<64, 8>::new());
        assert_eq!(small.taps, large.taps[..5]);
        assert_eq!(small.channels, large.channels[..3]);
    }

    #[test]
    fn taps_lie_at_words() {
        let pool = Pool::<8, 3>::new();
        assert_eq!(pool.taps.as_ptr().addr() % 4, 0);
    }

    #[test]
    fn multipliers_and_biases_keep_their_ranges() {
        let pool = Pool::<0, 4096>::new();
        for octave in 20..24 {
            let inside = pool.channels.iter().filter(|channel| channel.multiplier.ilog2() == octave).count();
            assert!((824..1224).contains(&inside), "{inside} of 4096 in octave {octave}");
        }
        assert!(pool.channels.iter().all(|channel| channel.bias.abs() <= 1 << 12));
    }
}
