//! The core's instructions and assembly in plain Rust, bit for bit.

use super::filter::{Part, Pixels, Plane, Ring, Source};
use super::matrix::{Lines, at, pairs};
use crate::plan::plane_rows;
use crate::quant::narrow;
use crate::stream::{Filter, Matrix};

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

/// Takes `count` windows of three rows into a tile, from its window `first` on.
pub(crate) fn windows(lines: &Lines<'_>, first: usize, count: usize, tile: &mut [u32]) {
    let row = 3 * lines.channels;
    let fours = row / 4 * 4;
    for i in 0..count {
        let value = |r: usize, at: usize| lines.rows[r][i * lines.steps[r] + at];
        let in_fours = (0..3).flat_map(|r| (0..fours).map(move |at| (r, at / 4 * 4 + [0, 2, 1, 3][at % 4])));
        let values = in_fours.chain((0..3).flat_map(|r| (fours..row).map(move |at| (r, at))));
        let mut column = [0; 3 * 3 * 3 + 1];
        column.iter_mut().zip(values).for_each(|(out, (r, at))| *out = value(r, at));
        for (p, pair_of) in column.chunks(2).take(pairs(3 * row)).enumerate() {
            let group = (first + i) / 4 * 4 * pairs(3 * row);
            tile[group + 4 * p + (first + i) % 4] = pair(pair_of[0], pair_of[1]);
        }
    }
}

/// The pairs of outputs of `count` pixels of a tile.
pub(crate) fn multiply(matrix: &Matrix<'_>, count: usize, output: &mut [i8], tile: &[u32]) {
    let channels = matrix.weights.channels.len();
    for (pixel, output) in output.chunks_exact_mut(channels).take(count).enumerate() {
        for (c, out) in output[..channels / 2 * 2].iter_mut().enumerate() {
            *out = one_output(matrix, count, pixel, c, tile, *out);
        }
    }
}

/// Adds the products of pairs of inputs, four at a time, with words of taps: a pair of both outputs.
pub(crate) fn dots(words: &[[u32; 4]], taps: &[[[u8; 4]; 4]], sums: [i32; 2]) -> [i32; 2] {
    let products = words.as_flattened().iter().zip(taps.as_flattened());
    products.fold(sums, |[a, b], (&word, taps)| {
        let taps = u32::from_le_bytes(*taps);
        [smlad(word, sxtb16(taps), a), smlad(word, sxtb16_ror_8(taps), b)]
    })
}

fn one_output(matrix: &Matrix<'_>, count: usize, pixel: usize, c: usize, tile: &[u32], before: i8) -> i8 {
    let taps = &matrix.weights.taps[c / 2 * 2 * matrix.depth..][..2 * matrix.depth];
    let tap = |i: usize| taps.get(2 * i + c % 2).map_or(0, |&tap| tap as i8);
    let channel = &matrix.weights.channels[c];
    let sum = (0..pairs(matrix.depth)).fold(channel.bias, |sum, p| {
        let word = at(count.div_ceil(4), matrix.depth, pixel / 4, p) + pixel % 4;
        smlad(tile[word], pair(tap(2 * p), tap(2 * p + 1)), sum)
    });
    let added = matrix.residual.map_or(0, |residual| residual.product(before));
    narrow(channel.scaled(sum).wrapping_add(added), matrix.zero)
}

/// The outputs of `count` pixels, a multiple of four, into slot `slot` of a ring, pixel `x` first.
pub(crate) fn expand(matrix: &Matrix<'_>, x: usize, count: usize, tile: &[u32], slot: usize, ring: &mut Ring<'_>) {
    let channels = matrix.weights.channels.len();
    for pixel in 0..count {
        let half = x + pixel + ring.rows / 2;
        for c in 0..channels {
            let value = one_output(matrix, count, pixel, c, tile, 0);
            let word = &mut ring.words
                [c / 4 * ring.quad_words + (half / 4 * 4 + c % 4) * 2 * ring.rows + 2 * slot + half % 4 / 2];
            let value = u32::from(i16::from(value) as u16);
            *word = if half.is_multiple_of(2) { *word & 0xFFFF_0000 | value } else { *word & 0xFFFF | value << 16 };
        }
    }
}

/// Widens rows into the slots from `slot` on of a ring that began as padding.
pub(crate) fn fill(source: &Source<'_>, slot: usize, ring: &mut Ring<'_>) {
    source.fill(slot, ring);
}

/// Output `i` of four whose windows begin in the first of these words of a channel, which has `rows` slots; `row` tells
/// the row of taps for a slot.
fn window_sum(
    filter: &Filter<'_>,
    channel: usize,
    words: &[u32],
    i: usize,
    rows: usize,
    row: impl Fn(usize) -> usize,
) -> i32 {
    let Filter { kernel, stride, weights, .. } = *filter;
    let (half, last) = (i * stride, kernel / 2);
    let taps = &weights.taps[channel * kernel * kernel..][..kernel * kernel];
    (0..kernel).fold(weights.channels[channel].bias, |sum, slot| {
        let tap = |i: usize| taps[row(slot) * kernel + i] as i8;
        let word = |j: usize| words[j / 2 * 8 * rows + 2 * slot + j % 2];
        if half.is_multiple_of(2) {
            let sum = (0..last).fold(sum, |sum, j| smlad(word(half / 2 + j), pair(tap(2 * j), tap(2 * j + 1)), sum));
            smlad(word(half / 2 + last) & 0xFFFF, pair(tap(kernel - 1), 0), sum)
        } else {
            let sum = smlad(word(half / 2) >> 16, pair(tap(0), 0), sum);
            (0..last).fold(sum, |sum, j| smlad(word(half / 2 + 1 + j), pair(tap(2 * j + 1), tap(2 * j + 2)), sum))
        }
    })
}

/// The outputs of a part, into a chunk of a tile.
pub(crate) fn filter(part: &Part<'_>, tile: &mut [u32]) {
    let Filter { kernel, stride, weights, zero, .. } = *part.filter;
    for i in 0..part.quads * part.groups * 16 {
        let (group, quad, c) = (i / 4 % part.groups, i / 4 / part.groups / 4, i / 4 / part.groups % 4);
        let channel = 4 * (part.first + quad) + c;
        let words = &part.ring[quad * part.quad_words + (group * stride * 4 + c) * 2 * kernel..];
        let row = |slot: usize| (slot + kernel - part.turn) % kernel;
        let sum = window_sum(part.filter, channel, words, i % 4, kernel, row);
        let value = u32::from(i16::from(narrow(weights.channels[channel].scaled(sum), zero)) as u16);
        let word = &mut tile[(group * 2 * part.chunk + 2 * quad + c % 2) * 4 + i % 4];
        *word = if c < 2 { *word & 0xFFFF_0000 | value } else { *word & 0xFFFF | value << 16 };
    }
}

/// Outputs of four channels of whole groups of four pixels, which lie `step` values apart.
pub(crate) fn pack(tile: &[[u32; 8]], step: usize, pixels: &mut [i8]) {
    for (i, values) in pixels.chunks_mut(step).take(4 * tile.len()).enumerate() {
        // Channels 0 and 2 of four pixels, then 1 and 3.
        let [even, odd] = [0, 4].map(|first| tile[i / 4][first + i % 4].to_le_bytes());
        let channels = [even[0], odd[0], even[2], odd[2]];
        values.iter_mut().zip(channels).for_each(|(value, channel)| *value = channel as i8);
    }
}

/// Rows of four channels.
pub(crate) fn plane(plane: &Plane<'_>, output: Pixels<'_>) {
    let Filter { stride, weights, zero, output_width, .. } = *plane.filter;
    let rows = plane_rows(stride as u8);
    // As on the core, groups from the last to the first: what they spill is overwritten.
    let pixels = (0..output_width.div_ceil(4))
        .rev()
        .flat_map(|group| (0..plane.rows).flat_map(move |y| (0..4).map(move |i| (y, 4 * group + i))));
    for c in 0..4 {
        for (y, x) in pixels.clone() {
            let words = &plane.words[(x / 4 * stride * 4 + c) * 2 * rows + 2 * y * stride..];
            let sum = window_sum(plane.filter, plane.first + c, words, x % 4, rows, |slot| slot);
            let value = narrow(weights.channels[plane.first + c].scaled(sum), zero);
            output.values[y * output.row + x * output.step + c] = value;
        }
    }
}
