//! The core's instructions and assembly in plain Rust, bit for bit.

use super::filter::{LINE, Source, Tables};
use super::matrix::{at, pairs};
use crate::quant::{Channel, narrow};
use crate::stream::Matrix;

/// Bytes 0 and 2 of a word, sign-extended to int16.
#[inline(always)]
pub(crate) fn sxtb16(word: u32) -> u32 {
    let [a, _, b, _] = word.to_le_bytes();
    pair(a as i8, b as i8)
}

/// Bytes 1 and 3 of a word, sign-extended to int16.
#[inline(always)]
pub(crate) fn sxtb16_ror_8(word: u32) -> u32 {
    sxtb16(word.rotate_right(8))
}

/// `sum` plus the products of the lower and of the upper halves.
#[inline(always)]
pub(crate) fn smlad(a: u32, b: u32, sum: i32) -> i32 {
    let half = |word: u32, shift: u32| i32::from((word >> shift) as i16);
    let products = [0, 16].map(|shift| half(a, shift).wrapping_mul(half(b, shift)));
    sum.wrapping_add(products[0]).wrapping_add(products[1])
}

/// Two values as int16, the first in the lower half.
#[inline(always)]
pub(crate) fn pair(low: i8, high: i8) -> u32 {
    u32::from(i16::from(low) as u16) | u32::from(i16::from(high) as u16) << 16
}

/// Widens `quads` times four values of each of four times `groups` pixels, which lie `depth` values apart, to
/// consecutive words of the tile; `skip` words of it are left out after each group.
pub(crate) fn widen(pixels: &[i8], depth: usize, quads: usize, groups: usize, tile: &mut [u32], skip: usize) {
    for (group, tile) in tile.chunks_mut(quads * 8 + skip).take(groups).enumerate() {
        for (i, word) in tile[..quads * 8].iter_mut().enumerate() {
            let (quad, odd, pixel) = (i / 8, i / 4 % 2, i % 4);
            let at = (group * 4 + pixel) * depth + quad * 4 + odd;
            *word = pair(pixels[at], pixels[at + 2]);
        }
    }
}

/// The pairs of outputs of `count` pixels of a tile, `channels` values apart.
pub(crate) fn multiply(matrix: &Matrix<'_>, count: usize, output: &mut [i8], tile: &[u32]) {
    let channels = matrix.weights.channels.len();
    let groups = count.div_ceil(4);
    for pixel in 0..count {
        for c in 0..channels / 2 * 2 {
            let taps = &matrix.weights.taps[c / 2 * 2 * matrix.depth..][..2 * matrix.depth];
            let tap = |i: usize| taps.get(2 * i + c % 2).map_or(0, |&tap| tap as i8);
            let channel = &matrix.weights.channels[c];
            let sum = (0..pairs(matrix.depth)).fold(channel.bias, |sum, p| {
                let word = at(groups, matrix.depth, pixel / 4, p) + pixel % 4;
                smlad(tile[word], pair(tap(2 * p), tap(2 * p + 1)), sum)
            });
            let out = &mut output[pixel * channels + c];
            let added = matrix.residual.map_or(0, |residual| residual.product(*out));
            *out = narrow(channel.scaled(sum).wrapping_add(added), matrix.zero);
        }
    }
}

/// Widens four channels of a row, from `first` on, into slot `slot` of their part of a ring that began as padding.
pub(crate) fn fill(source: &Source<'_>, first: usize, slot: usize, ring: &mut [u32]) {
    source.fill(first, slot, ring);
}

/// Four channels of `groups` times four outputs, whose windows begin in the first word of the ring.
pub(crate) fn filter(stride: usize, ring: &[u32], tables: &Tables, zero: i8, groups: usize, line: &mut [u32; LINE]) {
    let kernel = tables.kernel;
    for (i, out) in line[..groups * 4].iter_mut().enumerate() {
        let value = |c: usize| {
            let half = i % 4 * stride;
            let sum = (0..kernel).fold(tables.channels[c].bias, |sum, slot| {
                let table = &tables.rows(c)[slot * (kernel - 1)..];
                let word = |j: usize| {
                    let quad = i / 4 * stride + j / 2;
                    ring[(quad * 4 + c) * 2 * kernel + 2 * slot + j % 2]
                };
                let (even, odd) = (|j: usize| table[2 * j], |j: usize| table[2 * j + 1]);
                let last = kernel / 2;
                if half % 2 == 0 {
                    let sum = (0..last).fold(sum, |sum, j| smlad(word(half / 2 + j), even(j), sum));
                    smlad(word(half / 2 + last) & 0xFFFF, odd(last - 1) >> 16, sum)
                } else {
                    let sum = smlad(word(half / 2) >> 16, even(0) & 0xFFFF, sum);
                    (0..last).fold(sum, |sum, j| smlad(word(half / 2 + 1 + j), odd(j), sum))
                }
            });
            let channel: &Channel = &tables.channels[c];
            narrow(channel.scaled(sum), zero) as u8
        };
        *out = u32::from_le_bytes([value(0), value(1), value(2), value(3)]);
    }
}
