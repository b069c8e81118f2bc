//! NEON: products of int8 are int16 exactly, and are summed by twos to int32 (`smull`, `sadalp`); where the processor
//! has it, `sdot` sums four products at once.

#![allow(unsafe_code)]

use core::arch::aarch64::*;
use core::arch::asm;
use core::array;

use super::{Group, eight, put};
use crate::quant::Residual;
use crate::stream::{Filter, Matrix};

/// Proof of what the processor has.
#[derive(Clone, Copy)]
pub(super) enum Vectors {
    Neon,
    /// With `sdot`.
    Dot,
}

impl Vectors {
    pub fn detect() -> Option<Self> {
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            Some(Self::Dot)
        } else {
            std::arch::is_aarch64_feature_detected!("neon").then_some(Self::Neon)
        }
    }

    /// The group's outputs of all pixels.
    pub fn multiply(self, matrix: &Matrix<'_>, group: &Group<'_>, pixels: &[i8], output: &mut [i8]) {
        // SAFETY: the processor has what is asked for, as `self` proves; dotprod includes NEON.
        unsafe {
            match self {
                Self::Neon => multiply(matrix, group, pixels, output),
                Self::Dot => multiply_dot(matrix, group, pixels, output),
            }
        }
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
        // SAFETY: the processor has NEON, as `self` proves.
        unsafe { apply(filter, at, count, ring, step, output) }
    }
}

#[target_feature(enable = "neon")]
fn apply(filter: &Filter<'_>, at: (usize, usize), count: usize, ring: &[i8], step: usize, output: &mut [i8]) {
    filter.apply_by::<8>(at, count, ring, step, output);
}

#[target_feature(enable = "neon")]
fn multiply(matrix: &Matrix<'_>, group: &Group<'_>, pixels: &[i8], output: &mut [i8]) {
    let finish = Finish::new(matrix, group);
    let (depth, channels) = (matrix.depth, matrix.weights.channels.len());
    for (pixel, outputs) in output.chunks_exact_mut(channels).enumerate().take(pixels.len() / depth) {
        let sums = sums(group, &pixels[pixel * depth..], depth);
        finish.put(sums, &mut outputs[group.first..][..group.len]);
    }
}

#[target_feature(enable = "neon,dotprod")]
fn multiply_dot(matrix: &Matrix<'_>, group: &Group<'_>, pixels: &[i8], output: &mut [i8]) {
    let finish = Finish::new(matrix, group);
    let (depth, channels) = (matrix.depth, matrix.weights.channels.len());
    let count = pixels.len() / depth;
    for pixel in (0..count).step_by(2) {
        let outputs = &mut output[pixel * channels + group.first..];
        if pixel + 1 < count {
            let [a, b] = dot_sums(group, [&pixels[pixel * depth..], &pixels[(pixel + 1) * depth..]], depth);
            finish.put(a, &mut outputs[..group.len]);
            finish.put(b, &mut outputs[channels..][..group.len]);
        } else {
            let [a] = dot_sums(group, [&pixels[pixel * depth..]], depth);
            finish.put(a, &mut outputs[..group.len]);
        }
    }
}

/// A pixel's sums, without biases: outputs 0 to 3, and 4 to 7.
#[inline]
#[target_feature(enable = "neon")]
fn sums(group: &Group<'_>, pixel: &[i8], depth: usize) -> [int32x4_t; 2] {
    let order = bytes(&[0, 4, 2, 6, 8, 12, 10, 14, 1, 5, 3, 7, 9, 13, 11, 15]);
    let eights = depth / 8;
    // Of the even and of the odd output of each pair.
    let mut sums = [[vdupq_n_s32(0); 2]; 4];
    let mut add = |taps: [&[u8; 16]; 4], values: [i8; 8]| {
        let values = int8(values);
        for (sums, taps) in sums.iter_mut().zip(taps) {
            let taps = vreinterpretq_s8_u8(vqtbl1q_u8(bytes(taps), order));
            sums[0] = vpadalq_s16(sums[0], vmull_s8(vget_low_s8(taps), values));
            sums[1] = vpadalq_s16(sums[1], vmull_s8(vget_high_s8(taps), values));
        }
    };
    for (i, values) in pixel.as_chunks::<8>().0[..eights].iter().enumerate() {
        add(group.taps.map(|taps| &taps[i]), *values);
    }
    if !depth.is_multiple_of(8) {
        add(array::from_fn(|pair| &group.tails[pair]), eight(&pixel[8 * eights..]));
    }
    let [a, b, c, d] = sums.map(|[even, odd]| vpaddq_s32(even, odd));
    [vpaddq_s32(a, b), vpaddq_s32(c, d)]
}

/// The same of some pixels.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn dot_sums<const N: usize>(group: &Group<'_>, pixels: [&[i8]; N], depth: usize) -> [[int32x4_t; 2]; N] {
    // Four inputs of the even output, of the odd one, then the next four; their order is that of the taps.
    let order = bytes(&[0, 4, 2, 6, 1, 5, 3, 7, 8, 12, 10, 14, 9, 13, 11, 15]);
    let eights = depth / 8;
    let mut sums = [[vdupq_n_s32(0); 4]; N];
    let mut add = |taps: [&[u8; 16]; 4], values: [[i8; 8]; N]| {
        let taps = taps.map(|taps| vreinterpretq_s8_u8(vqtbl1q_u8(bytes(taps), order)));
        for (sums, values) in sums.iter_mut().zip(values) {
            let values = vreinterpret_s32_s8(int8(values));
            let values = vreinterpretq_s8_s32(vcombine_s32(vdup_lane_s32::<0>(values), vdup_lane_s32::<1>(values)));
            for (sum, taps) in sums.iter_mut().zip(taps) {
                *sum = sdot(*sum, taps, values);
            }
        }
    };
    for i in 0..eights {
        add(group.taps.map(|taps| &taps[i]), pixels.map(|pixel| pixel.as_chunks::<8>().0[i]));
    }
    if !depth.is_multiple_of(8) {
        add(array::from_fn(|pair| &group.tails[pair]), pixels.map(|pixel| eight(&pixel[8 * eights..])));
    }
    sums.map(|sums| {
        let [a, b, c, d] = sums.map(|sum| vadd_s32(vget_low_s32(sum), vget_high_s32(sum)));
        [vcombine_s32(a, b), vcombine_s32(c, d)]
    })
}

/// Adds to each lane the products of four int8, as `vdotq_s32`, which Rust has not stabilised.
#[inline]
#[target_feature(enable = "neon,dotprod")]
fn sdot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the instruction reads and writes the named registers only, and the processor has it, as the function's
    // features say.
    unsafe {
        asm!(
            "sdot {sums:v}.4s, {a:v}.16b, {b:v}.16b",
            sums = inout(vreg) sums,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

#[inline]
#[target_feature(enable = "neon")]
fn bytes(bytes: &[u8; 16]) -> uint8x16_t {
    // SAFETY: the array is as long as what is loaded, which needs no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn int8(values: [i8; 8]) -> int8x8_t {
    vcreate_s8(u64::from_le_bytes(values.map(|value| value as u8)))
}

#[inline]
#[target_feature(enable = "neon")]
fn int32(values: &[i32; 4]) -> int32x4_t {
    // SAFETY: the array is as long as what is loaded.
    unsafe { vld1q_s32(values.as_ptr()) }
}

/// From sums to outputs, four in a vector.
struct Finish {
    biases: [int32x4_t; 2],
    multipliers: [int32x4_t; 2],
    zero: int32x4_t,
    floor: int8x8_t,
    residual: Option<(int16x8_t, int32x4_t)>,
}

impl Finish {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(matrix: &Matrix<'_>, group: &Group<'_>) -> Self {
        let channel = |half: usize, i: usize| &group.channels[4 * half + i];
        Self {
            biases: array::from_fn(|half| int32(&array::from_fn(|i| channel(half, i).bias))),
            multipliers: array::from_fn(|half| int32(&array::from_fn(|i| channel(half, i).multiplier))),
            zero: vdupq_n_s32(matrix.zero.into()),
            floor: vdup_n_s8(matrix.floor),
            residual: matrix
                .residual
                .map(|Residual { zero, multiplier }| (vdupq_n_s16(zero.into()), vdupq_n_s32(multiplier))),
        }
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn put(&self, sums: [int32x4_t; 2], outputs: &mut [i8]) {
        let added = self.residual.map(|(zero, multiplier)| {
            let before = vsubq_s16(vmovl_s8(int8(eight(outputs))), zero);
            let before = [vmovl_s16(vget_low_s16(before)), vmovl_s16(vget_high_s16(before))];
            before.map(|before| products(vshlq_n_s32::<8>(before), multiplier))
        });
        let narrow = |half: usize| {
            let [mut low, mut high] = products(vaddq_s32(sums[half], self.biases[half]), self.multipliers[half]);
            if let Some(added) = added {
                low = vaddq_s64(low, added[half][0]);
                high = vaddq_s64(high, added[half][1]);
            }
            let one_half = vdupq_n_s64(1 << 31);
            let (low, high) = (vaddq_s64(low, one_half), vaddq_s64(high, one_half));
            let values = vcombine_s32(vshrn_n_s64::<32>(low), vshrn_n_s64::<32>(high));
            vqmovn_s32(vaddq_s32(values, self.zero))
        };
        let values = vmax_s8(vqmovn_s16(vcombine_s16(narrow(0), narrow(1))), self.floor);
        put(vget_lane_u64::<0>(vreinterpret_u64_s8(values)).to_le_bytes().map(|byte| byte as i8), outputs);
    }
}

/// 64-bit products of lanes 0 and 1, and of lanes 2 and 3.
#[inline]
#[target_feature(enable = "neon")]
fn products(a: int32x4_t, b: int32x4_t) -> [int64x2_t; 2] {
    [vmull_s32(vget_low_s32(a), vget_low_s32(b)), vmull_s32(vget_high_s32(a), vget_high_s32(b))]
}
