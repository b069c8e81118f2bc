//! AVX2: sixteen products of int16 in one instruction (`vpmaddwd`), summed by twos to int32.

#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::array;

use super::{Group, eight, put};
use crate::quant::Residual;
use crate::stream::{Filter, Matrix};

/// Proof that the processor has AVX2.
#[derive(Clone, Copy)]
pub(super) struct Vectors(());

impl Vectors {
    pub fn detect() -> Option<Self> {
        std::arch::is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// The group's outputs of all pixels.
    pub fn multiply(self, matrix: &Matrix<'_>, group: &Group<'_>, pixels: &[i8], output: &mut [i8]) {
        // SAFETY: the processor has AVX2, as `self` proves.
        unsafe { multiply(matrix, group, pixels, output) }
    }

    /// [`Filter::apply_by`] eight channels.
    pub fn apply(
        self,
        filter: &Filter<'_>,
        at: (usize, usize),
        count: usize,
        ring: &[i8],
        step: usize,
        output: &mut [i8],
    ) {
        // SAFETY: the processor has AVX2, as `self` proves.
        unsafe { apply(filter, at, count, ring, step, output) }
    }
}

#[target_feature(enable = "avx2")]
fn apply(filter: &Filter<'_>, at: (usize, usize), count: usize, ring: &[i8], step: usize, output: &mut [i8]) {
    filter.apply_by::<8>(at, count, ring, step, output);
}

#[target_feature(enable = "avx2")]
fn multiply(matrix: &Matrix<'_>, group: &Group<'_>, pixels: &[i8], output: &mut [i8]) {
    let finish = Finish::new(matrix, group);
    let (depth, channels) = (matrix.depth, matrix.weights.channels.len());
    let count = pixels.len() / depth;
    for pixel in (0..count).step_by(2) {
        let outputs = &mut output[pixel * channels + group.first..];
        if pixel + 1 < count {
            let [a, b] = sums(group, [&pixels[pixel * depth..], &pixels[(pixel + 1) * depth..]], depth);
            finish.put(a, &mut outputs[..group.len]);
            finish.put(b, &mut outputs[channels..][..group.len]);
        } else {
            let [a] = sums(group, [&pixels[pixel * depth..]], depth);
            finish.put(a, &mut outputs[..group.len]);
        }
    }
}

/// The pixels' sums, without biases. Even outputs are in the lower half, odd ones in the upper.
#[inline]
#[target_feature(enable = "avx2")]
fn sums<const N: usize>(group: &Group<'_>, pixels: [&[i8]; N], depth: usize) -> [__m256i; N] {
    let eights = depth / 8;
    let taps = group.taps.map(|taps| &taps[..eights]);
    let values = pixels.map(|pixel| &pixel.as_chunks::<8>().0[..eights]);
    let mut sums = [[_mm256_setzero_si256(); 4]; N];
    for i in 0..eights {
        let taps = taps.map(|taps| widen_taps(&taps[i]));
        for (sums, values) in sums.iter_mut().zip(values) {
            add(sums, taps, values[i]);
        }
    }
    if !depth.is_multiple_of(8) {
        let taps = array::from_fn(|pair| widen_taps(&group.tails[pair]));
        for (sums, pixel) in sums.iter_mut().zip(pixels) {
            add(sums, taps, eight(&pixel[8 * eights..]));
        }
    }
    sums.map(|[a, b, c, d]| _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(sums: &mut [__m256i; 4], taps: [__m256i; 4], values: [i8; 8]) {
    let values = _mm256_cvtepi8_epi16(_mm_set1_epi64x(word(values)));
    for (sum, taps) in sums.iter_mut().zip(taps) {
        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(taps, values));
    }
}

/// Taps of eight inputs as int16: the even output's in the lower half, the odd one's in the upper.
#[inline]
#[target_feature(enable = "avx2")]
fn widen_taps(taps: &[u8; 16]) -> __m256i {
    let order = _mm_setr_epi8(0, 4, 2, 6, 8, 12, 10, 14, 1, 5, 3, 7, 9, 13, 11, 15);
    // SAFETY: the array is as long as what is loaded, which needs no alignment.
    let taps = unsafe { _mm_loadu_si128(taps.as_ptr().cast()) };
    _mm256_cvtepi8_epi16(_mm_shuffle_epi8(taps, order))
}

#[inline(always)]
fn word(values: [i8; 8]) -> i64 {
    i64::from_le_bytes(values.map(|value| value as u8))
}

/// From sums to outputs. Lanes are outputs 0, 2, 4, 6 and 1, 3, 5, 7; 64-bit products are of every other lane.
struct Finish {
    biases: __m256i,
    multipliers: [__m256i; 2],
    zero: __m256i,
    floor: __m128i,
    residual: Option<(__m256i, __m256i)>,
}

impl Finish {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(matrix: &Matrix<'_>, group: &Group<'_>) -> Self {
        let [a, b, c, d, e, f, g, h] = group.channels.map(|channel| channel.bias);
        let wide = group.channels.map(|channel| i64::from(channel.multiplier));
        Self {
            biases: _mm256_setr_epi32(a, c, e, g, b, d, f, h),
            multipliers: [
                _mm256_setr_epi64x(wide[0], wide[4], wide[1], wide[5]),
                _mm256_setr_epi64x(wide[2], wide[6], wide[3], wide[7]),
            ],
            zero: _mm256_set1_epi32(matrix.zero.into()),
            floor: _mm_set1_epi8(matrix.floor),
            residual: matrix.residual.map(|Residual { zero, multiplier }| {
                (_mm256_set1_epi32(zero.into()), _mm256_set1_epi64x(multiplier.into()))
            }),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn put(&self, sums: __m256i, outputs: &mut [i8]) {
        let half = _mm256_set1_epi64x(1 << 31);
        let sums = both(_mm256_add_epi32(sums, self.biases));
        let mut products: [_; 2] =
            array::from_fn(|i| _mm256_add_epi64(_mm256_mul_epi32(sums[i], self.multipliers[i]), half));
        if let Some((zero, multiplier)) = self.residual {
            let order = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, -1, -1, -1, -1, -1, -1, -1, -1);
            let before = _mm_shuffle_epi8(_mm_set1_epi64x(word(eight(outputs))), order);
            let before = _mm256_slli_epi32::<8>(_mm256_sub_epi32(_mm256_cvtepi8_epi32(before), zero));
            for (product, before) in products.iter_mut().zip(both(before)) {
                *product = _mm256_add_epi64(*product, _mm256_mul_epi32(before, multiplier));
            }
        }
        let [even, odd] = products;
        let values = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
        let values = _mm256_add_epi32(values, self.zero);
        let values = _mm256_packs_epi32(values, values);
        let values = _mm256_packs_epi16(values, values);
        let bytes = _mm_unpacklo_epi8(_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values));
        let bytes = _mm_max_epi8(bytes, self.floor);
        put(_mm_cvtsi128_si64(bytes).to_le_bytes().map(|byte| byte as i8), outputs);
    }
}

/// Lanes 0, 2, 4, 6, and lanes 1, 3, 5, 7, as the operands of 64-bit products.
#[inline]
#[target_feature(enable = "avx2")]
fn both(lanes: __m256i) -> [__m256i; 2] {
    [lanes, _mm256_srli_epi64::<32>(lanes)]
}
