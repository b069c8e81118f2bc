//! Sums for four nets times sixteen outputs: in plain Rust, and with the processor's vectors. The bits are the same.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::network::{LANES, NETS};

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

    /// The bias, and for each position in turn its values times its weights.
    pub fn sums(
        self,
        weights: &[[f32; LANES]],
        bias: &[f32; LANES],
        positions: &[u32],
        values: &[[f32; NETS]],
    ) -> [[f32; LANES]; NETS] {
        match self {
            Self::Plain => plain(weights, bias, positions, values),
            // SAFETY: the processor has AVX2.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2(weights, bias, positions, values) },
        }
    }
}

fn plain(
    weights: &[[f32; LANES]],
    bias: &[f32; LANES],
    positions: &[u32],
    values: &[[f32; NETS]],
) -> [[f32; LANES]; NETS] {
    let mut sums = [*bias; NETS];
    for (&position, values) in positions.iter().zip(values) {
        let weights = &weights[position as usize];
        for (sums, value) in sums.iter_mut().zip(values) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
        }
    }
    sums
}

/// Eight outputs are a vector. Multiplied, then added: a fused product would not be rounded.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(
    weights: &[[f32; LANES]],
    bias: &[f32; LANES],
    positions: &[u32],
    values: &[[f32; NETS]],
) -> [[f32; LANES]; NETS] {
    let mut sums = [load(bias); NETS];
    for (&position, values) in positions.iter().zip(values) {
        let [low, high] = load(&weights[position as usize]);
        for (sums, value) in sums.iter_mut().zip(values) {
            let value = _mm256_set1_ps(*value);
            sums[0] = _mm256_add_ps(sums[0], _mm256_mul_ps(value, low));
            sums[1] = _mm256_add_ps(sums[1], _mm256_mul_ps(value, high));
        }
    }
    let mut stored = [[0.0; LANES]; NETS];
    for (to, [low, high]) in stored.iter_mut().zip(sums) {
        // SAFETY: there is room for sixteen values; the store needs no alignment.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), low);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), high);
        }
    }
    stored
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn load(values: &[f32; LANES]) -> [__m256; 2] {
    // SAFETY: there are sixteen values; the load needs no alignment.
    unsafe { [_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))] }
}
