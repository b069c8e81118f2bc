//! Matrices times tiles of pixels.
//!
//! A tile holds activations as pairs of int16 in the order of [`crate::pack`], four pixels side by side. It lies in
//! chunks of 16 pairs, as many weights as the registers hold:
//!
//! ```text
//!   chunk 0                                                          chunk 1 …
//!   pixels 0–3: pair 0 | pair 1 | … pair 15    pixels 4–7: pair 0 …  pixels 0–3: pair 16 …
//! ```
//!
//! A single pixel has no neighbours to lie beside: its pairs follow one another.

use super::arch::{self, pair, smlad, sxtb16, sxtb16_ror_8};
use crate::memory::bytes;
use crate::order::Order;
use crate::parts::{copy, part, part_mut, rest, rest_mut, set, split, split_mut, value};
use crate::plan::tile_bytes;
use crate::stream::{Matrix, Part, Window};

/// Pairs of a chunk.
pub(crate) const CHUNK_PAIRS: usize = 16;

/// Pairs of `depth` values.
pub(crate) const fn pairs(depth: usize) -> usize {
    depth.div_ceil(2)
}

/// Word of a tile of `groups` times four pixels where the first pixel of a group has a pair.
pub(crate) fn at(groups: usize, depth: usize, group: usize, pair: usize) -> usize {
    let first = pair / CHUNK_PAIRS * CHUNK_PAIRS;
    let chunk = (pairs(depth) - first).min(CHUNK_PAIRS);
    4 * (first * groups + chunk * group + pair - first)
}

/// Inputs that are in no four, as pairs.
fn left(values: &[i8]) -> impl Iterator<Item = u32> {
    let (pairs, last) = values.as_chunks::<2>();
    pairs.iter().map(|&[a, b]| pair(a, b)).chain(last.iter().map(|&a| pair(a, 0)))
}

/// Takes pixels of `depth` values into a tile.
pub(super) fn load(depth: usize, pixels: &[i8], tile: &mut [u32]) {
    let count = pixels.len() / depth.max(1);
    load_groups((depth, depth / 4 * 4), depth, pixels, count, (0, count.div_ceil(4)), tile);
}

/// Takes `count` pixels of `depth` values, the first of them in `fours`, into a tile of `groups` from group `first` on.
/// They lie `step` values apart.
fn load_groups(
    (depth, fours): (usize, usize),
    step: usize,
    pixels: &[i8],
    count: usize,
    (first, groups): (usize, usize),
    tile: &mut [u32],
) {
    let full = count / 4;
    for start in (0..pairs(fours)).step_by(CHUNK_PAIRS) {
        let chunk = (pairs(depth) - start).min(CHUNK_PAIRS);
        let quads = (fours / 4 - start / 2).min(CHUNK_PAIRS / 2);
        let tile = rest_mut(tile, at(groups, depth, first, start));
        if full > 0 {
            arch::widen(rest(pixels, 2 * start), step, quads, full, tile, 4 * chunk - 8 * quads);
        }
        if !count.is_multiple_of(4) {
            let pixels = rest(pixels, 4 * full * step + 2 * start);
            widen_some(pixels, step, quads, count % 4, rest_mut(tile, 4 * chunk * full));
        }
    }
    if fours == depth {
        return;
    }
    for (pixel, values) in pixels.chunks(step.max(1)).take(count).enumerate() {
        for (i, word) in left(part(values, fours, depth - fours)).enumerate() {
            set(tile, at(groups, depth, first + pixel / 4, fours / 2 + i) + pixel % 4, word);
        }
    }
}

/// As [`arch::widen`], for less than four pixels.
#[inline(never)]
fn widen_some(pixels: &[i8], step: usize, quads: usize, count: usize, tile: &mut [u32]) {
    for lane in 0..count.min(4) {
        let values = rest(pixels, lane * step).as_chunks::<4>().0.iter().take(quads);
        for (values, [even, odd]) in values.zip(tile.as_chunks_mut::<4>().0.as_chunks_mut::<2>().0) {
            let word = u32::from_le_bytes(values.map(|value| value as u8));
            (even[lane], odd[lane]) = (sxtb16(word), sxtb16_ror_8(word));
        }
    }
}

/// Takes a single pixel, the first of whose values lie in `fours`.
pub(super) fn load_vector(fours: usize, values: &[i8], words: &mut [u32]) {
    let (in_fours, rest) = split(values, fours);
    let (word_pairs, words_left) = split_mut(words, fours / 2);
    for (values, words) in in_fours.as_chunks::<4>().0.iter().zip(word_pairs.as_chunks_mut::<2>().0) {
        let word = u32::from_le_bytes(values.map(|value| value as u8));
        *words = [sxtb16(word), sxtb16_ror_8(word)];
    }
    words_left.iter_mut().zip(left(rest)).for_each(|(word, pair)| *word = pair);
}

/// Takes the windows of a part of a row.
pub(super) fn load_windows(window: &Window<'_>, of: &Part, input: &[i8], scratch: &mut [u32]) {
    let order = window.conv.order();
    let Order { depth, .. } = order;
    let (tile, columns) = split_mut(scratch, tile_bytes(of.all, depth) / 4);
    if of.all > 1 && window.conv.kernel == 3 && matches!(window.conv.input.channels, 1 | 3) {
        return load_lines(window, of, input, tile);
    }
    let columns = bytes(columns);
    let step = depth.next_multiple_of(4).max(4);
    for first in (0..of.count).step_by(4) {
        let pixels = (of.count - first).min(4);
        for (i, column) in columns.chunks_exact_mut(step).take(pixels).enumerate() {
            window.gather(of.y, of.x + first + i, input, part_mut(column, 0, depth));
        }
        match of.all {
            1 => load_vector(order.fours(), part(columns, 0, depth), tile),
            all => {
                let groups = ((of.first + first) / 4, all.div_ceil(4));
                load_groups((depth, order.fours()), step, columns, pixels, groups, tile);
            }
        }
    }
}

/// The three rows of windows of 3×3 pixels, from the first window on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines<'a> {
    /// Of a pixel.
    pub channels: usize,
    pub rows: [&'a [i8]; 3],
    /// From one window to the next.
    pub steps: [usize; 3],
}

/// As [`load_windows`], for images.
fn load_lines(window: &Window<'_>, of: &Part, input: &[i8], tile: &mut [u32]) {
    let Part { y, x, count, first, .. } = *of;
    let map = window.conv.input;
    let (channels, stride) = (usize::from(map.channels).max(1), usize::from(window.conv.stride));
    let (height, width) = (usize::from(map.height), usize::from(map.width));
    let padding = [window.padding; 3 * 3];
    let row = |i: usize| {
        let row = (y * stride + i).checked_sub(1).filter(|&row| row < height)?;
        Some(part(input, row * map.row(), map.row()))
    };
    let rows = [row(0), row(1), row(2)];
    // Those that have all three columns, from `left` to `right`.
    let left = usize::from(x == 0).min(count);
    let right = (width.saturating_sub(2) / stride.max(1) + 1).saturating_sub(x).clamp(left, count);
    if left < right {
        let start = ((x + left) * stride - 1) * channels;
        let lines = Lines {
            channels,
            rows: rows.map(|row| row.map_or(&padding[..], |row| rest(row, start))),
            steps: rows.map(|row| row.map_or(0, |_| stride * channels)),
        };
        arch::windows(&lines, first + left, right - left, tile);
    }
    for i in (0..left).chain(right..count) {
        let column = (x + i) * stride;
        let (start, skipped) = (column.saturating_sub(1), usize::from(column == 0));
        let values = (column + 2).min(width).saturating_sub(start) * channels;
        let mut edge = [padding; 3];
        for (edge, row) in edge.iter_mut().zip(rows) {
            if let Some(row) = row {
                copy(part(row, start * channels, values), part_mut(edge, skipped * channels, values));
            }
        }
        let lines = Lines { channels, rows: [&edge[0], &edge[1], &edge[2]], steps: [0; 3] };
        arch::windows(&lines, first + i, 1, tile);
    }
}

/// The outputs of the `count` pixels of a tile.
pub(super) fn multiply(matrix: &Matrix<'_>, count: usize, output: &mut [i8], tile: &[u32]) {
    let channels = matrix.weights.channels.len();
    if count == 1 {
        multiply_vector(matrix, output, tile);
        return;
    }
    arch::multiply(matrix, count, output, tile);
    if let ([], [channel]) | ([_, ..], [channel]) = matrix.weights.channels.as_chunks::<2>() {
        let taps = rest(matrix.weights.taps, (channels - 1) * matrix.depth);
        let groups = count.div_ceil(4);
        for (pixel, out) in output.chunks_exact_mut(channels.max(1)).enumerate() {
            let sum = tap_pairs(taps).enumerate().fold(channel.bias, |sum, (p, taps)| {
                smlad(value(tile, at(groups, matrix.depth, pixel / 4, p) + pixel % 4), taps, sum)
            });
            if let Some(out) = out.last_mut() {
                *out = matrix.finish(channel, sum, *out);
            }
        }
    }
    if matrix.floor > i8::MIN {
        output.iter_mut().for_each(|out| *out = (*out).max(matrix.floor));
    }
}

/// The taps of an output that lies alone.
fn tap_pairs(taps: &[u8]) -> impl Iterator<Item = u32> {
    let (pairs, last) = taps.as_chunks::<2>();
    pairs.iter().map(|&[a, b]| pair(a as i8, b as i8)).chain(last.iter().map(|&a| pair(a as i8, 0)))
}

fn multiply_vector(matrix: &Matrix<'_>, output: &mut [i8], words: &[u32]) {
    let words = part(words, 0, pairs(matrix.depth));
    let (channel_pairs, channel_left) = matrix.weights.channels.as_chunks::<2>();
    let (outputs, output_left) = output.as_chunks_mut::<2>();
    let depth = matrix.depth.max(1);
    let (taps, taps_left) = split(matrix.weights.taps, channel_pairs.len() * 2 * depth);
    for ((channels, taps), out) in channel_pairs.iter().zip(taps.chunks_exact((2 * depth).max(1))).zip(outputs) {
        let (fours, half) = taps.as_chunks::<4>();
        let (tap_fours, taps_left) = fours.as_chunks::<4>();
        let (word_fours, words_left) = part(words, 0, fours.len()).as_chunks::<4>();
        let [mut a, mut b] = arch::dots(word_fours, tap_fours, [channels[0].bias, channels[1].bias]);
        for (taps, &word) in taps_left.iter().zip(words_left) {
            let taps = u32::from_le_bytes(*taps);
            (a, b) = (smlad(word, sxtb16(taps), a), smlad(word, sxtb16_ror_8(taps), b));
        }
        if let (&[tap_a, tap_b], Some(&word)) = (half, words.last()) {
            a = smlad(word, pair(tap_a as i8, 0), a);
            b = smlad(word, pair(tap_b as i8, 0), b);
        }
        *out = [matrix.finish(&channels[0], a, out[0]), matrix.finish(&channels[1], b, out[1])];
    }
    if let ([channel], [out]) = (channel_left, output_left) {
        let sum = tap_pairs(taps_left).zip(words).fold(channel.bias, |sum, (taps, &word)| smlad(word, taps, sum));
        *out = matrix.finish(channel, sum, *out);
    }
}
