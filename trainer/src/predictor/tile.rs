//! Products of a block of weights and slices of nets: in plain Rust, and with the processor's vectors. The bits are the
//! same.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::network::{LANES, Lanes, Slice};

/// The fastest code that this processor runs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Tile {
    Plain,
    /// Only made where the processor has AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Tile {
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self::Avx2;
        }
        Self::Plain
    }

    /// Adds to the sums of each net its values times their weights, one value after the other. Sums behind the first
    /// `outputs` may be left as they are.
    pub fn add(self, weights: &[Lanes], slices: &[Slice], sums: &mut [Lanes], outputs: usize) {
        match self {
            Self::Plain => plain(weights, slices, sums),
            // SAFETY: the processor has AVX2.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 if outputs <= 8 => unsafe { avx2::<1>(weights, slices, sums) },
            // SAFETY: the processor has AVX2.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::<{ LANES / 8 }>(weights, slices, sums) },
        }
    }
}

/// Sixteen outputs at a time, whose sums stay in registers.
fn plain(weights: &[Lanes], slices: &[Slice], sums: &mut [Lanes]) {
    for (slice, sums) in slices.iter().zip(sums) {
        for (i, to) in sums.0.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let mut sums = *to;
            for value in slice.values() {
                let weights = &weights[value.position as usize].0.as_chunks::<16>().0[i];
                sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value.value * weight);
            }
            *to = sums;
        }
    }
}

/// The first outputs, eight in a vector. Multiplied, then added: a fused product would not be rounded.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<const VECTORS: usize>(weights: &[Lanes], slices: &[Slice], sums: &mut [Lanes]) {
    for (slice, sums) in slices.iter().zip(sums) {
        let mut vectors = [_mm256_setzero_ps(); VECTORS];
        for (i, vector) in vectors.iter_mut().enumerate() {
            *vector = load(sums, i);
        }
        for value in slice.values() {
            let weights = &weights[value.position as usize];
            let value = _mm256_set1_ps(value.value);
            for (i, vector) in vectors.iter_mut().enumerate() {
                *vector = _mm256_add_ps(*vector, _mm256_mul_ps(value, load(weights, i)));
            }
        }
        for (to, vector) in sums.0.as_chunks_mut::<8>().0.iter_mut().zip(vectors) {
            // SAFETY: there is room for eight values; the store needs no alignment.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), vector) };
        }
    }
}

/// Eight of the values.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn load(values: &Lanes, i: usize) -> __m256 {
    // SAFETY: there are eight values; the load needs no alignment.
    unsafe { _mm256_loadu_ps(values.0.as_chunks::<8>().0[i].as_ptr()) }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_fastest_code_says_what_the_plain_code_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut lanes = || Lanes(std::array::from_fn(|_| rng.random_range(-1.0..1.0)));
        let (weights, sums): (Vec<_>, Vec<_>) = (0..LANES).map(|_| (lanes(), lanes())).unzip();
        let slices: Vec<_> = (0..LANES).map(|_| slice(&mut rng)).collect();
        for outputs in [1, 8, 9, LANES] {
            let [fast, plain] = [Tile::detect(), Tile::Plain].map(|tile| {
                let mut sums = sums.clone();
                tile.add(&weights, &slices, &mut sums, outputs);
                sums.iter().flat_map(|sums| sums.0[..outputs].iter().map(|sum| sum.to_bits())).collect::<Vec<_>>()
            });
            assert_eq!(fast, plain, "{outputs} outputs");
        }
    }

    /// Of none to all values.
    fn slice(rng: &mut ChaCha8Rng) -> Slice {
        let (mut slice, share) = (Slice::default(), rng.random_range(0.0..=1.0));
        for position in 0..LANES {
            if rng.random_bool(share) {
                slice.push(position, rng.random_range(0.0..1.0));
            }
        }
        slice
    }
}
