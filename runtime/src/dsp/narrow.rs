//! Blocks whose ring stays int8: half the memory, and no padding.
//!
//! ```text
//!   narrow   k rows of pixels ─ four channels ─ widen ─▶ k rows as in a wide ring ─ × taps ─▶ tiles of an output row
//!   tight                                                                         ─ × taps ─▶ pixels, over a row that is spent
//! ```

use super::filter::{CHUNK_QUADS, Part, Rows, Source};
use super::matrix;
use super::{Dsp, arch};
use crate::memory::bytes;
use crate::parts::{self, copy, part_mut, rest_mut, split_mut};
use crate::plan::{SEGMENT, long_segment, tile_bytes};
use crate::stream::{Filter, Fused, Kernels};

/// The ring, and the rest: four channels of it widened, then tiles.
fn memory<'s>(filter: &Filter<'_>, scratch: &'s mut [u32]) -> (&'s mut [i8], &'s mut [u32]) {
    let ring = filter.kernel * filter.row();
    let (words, rest) = split_mut(scratch, ring.div_ceil(4));
    (part_mut(bytes(words), 0, ring), rest)
}

pub(super) fn take(fused: &Fused<'_>, slot: usize, row: Option<&[i8]>, scratch: &mut [u32]) {
    let filter = &fused.filter;
    let (ring, rest) = memory(filter, scratch);
    let slot = part_mut(ring, slot * filter.row(), filter.row());
    match (row, &fused.expand) {
        (None, _) => slot.fill(filter.padding),
        (Some(row), None) => copy(row, slot),
        (Some(row), Some(expand)) => Dsp::product(expand, SEGMENT, row, slot, rest),
    }
}

pub(super) fn give(fused: &Fused<'_>, rows: &Rows<'_>, y: usize, output: &mut [i8], scratch: &mut [u32]) {
    let filter = &fused.filter;
    let (ring, rest) = memory(filter, scratch);
    let (plane, tiles) = split_mut(rest, rows.quad_words());
    let segment = long_segment(filter.output_width as u16);
    let tile_words = (tile_bytes(segment, filter.weights.channels.len()) / 4).max(1);
    pad(rows, plane);
    for quad in 0..rows.channel_quads() {
        widen(rows, quad, ring, plane);
        let first = quad / CHUNK_QUADS * CHUNK_QUADS;
        let chunk = (rows.channel_quads() - first).min(CHUNK_QUADS);
        for (x, tile) in (0..filter.output_width).step_by(segment).zip(tiles.chunks_mut(tile_words)) {
            let count = segment.min(filter.output_width - x);
            Part { chunk, ..outputs(rows, quad, (y, x), count, plane) }.run(count, tile);
        }
    }
    let channels = fused.project.weights.channels.len();
    for (output, tile) in output.chunks_mut((segment * channels).max(1)).zip(tiles.chunks(tile_words)) {
        matrix::multiply(&fused.project, output.len() / channels.max(1), output, tile);
    }
}

/// The same by way of the row that no later window has.
pub(super) fn give_tight(fused: &Fused<'_>, rows: &Rows<'_>, y: usize, output: &mut [i8], scratch: &mut [u32]) {
    let filter = &fused.filter;
    let (ring, rest) = memory(filter, scratch);
    let (plane, tile) = split_mut(rest, rows.quad_words());
    let channels = filter.weights.channels.len();
    let spent = (y * filter.stride + fused.spent) % filter.kernel.max(1) * filter.row();
    pad(rows, plane);
    for quad in 0..rows.channel_quads() {
        widen(rows, quad, ring, plane);
        let filtered = part_mut(ring, spent, filter.output_width * channels);
        filter_pixels(rows, quad, y, plane, tile, (channels, filtered));
    }
    let filtered = part_mut(ring, spent, filter.output_width * channels);
    Dsp::product(&fused.project, long_segment(filter.output_width as u16), filtered, output, rest);
}

/// Makes the words behind the pixels padding; those before them are widened with them.
fn pad(rows: &Rows<'_>, plane: &mut [u32]) {
    let Filter { kernel, width, padding, .. } = *rows.filter;
    let widened = (width + kernel / 2).div_ceil(4) * 8 * kernel;
    plane.iter_mut().skip(widened).for_each(|word| *word = arch::pair(padding, padding));
}

/// Widens four channels of the ring.
fn widen(rows: &Rows<'_>, quad: usize, ring: &[i8], plane: &mut [u32]) {
    let Filter { kernel, width, padding, weights, .. } = *rows.filter;
    let (step, row_step) = (weights.channels.len(), rows.filter.row());
    let row = parts::rest(ring, 4 * quad);
    let source = Source { row, step, pixels: width, channels: 4, kernel, padding, rows: kernel, row_step };
    arch::fill(&source, 0, &mut rows.ring(plane));
}

/// `count` outputs of four channels from column `x` on.
fn outputs<'a>(rows: &Rows<'a>, quad: usize, (y, x): (usize, usize), count: usize, plane: &'a [u32]) -> Part<'a> {
    let Filter { kernel, stride, .. } = *rows.filter;
    Part {
        filter: rows.filter,
        ring: parts::rest(plane, x / 4 * stride * 8 * kernel),
        quad_words: rows.quad_words(),
        first: quad,
        quads: 1,
        chunk: 1,
        groups: count.div_ceil(4),
        turn: y * stride % kernel.max(1),
    }
}

/// Row `y` of outputs as pixels, which begin `step` values apart.
pub(super) fn filter(rows: &Rows<'_>, y: usize, ring: &[i8], lines: &mut [u32], step: usize, output: &mut [i8]) {
    let (plane, tile) = split_mut(lines, rows.quad_words());
    pad(rows, plane);
    for quad in 0..rows.channel_quads() {
        widen(rows, quad, ring, plane);
        filter_pixels(rows, quad, y, plane, tile, (step, output));
    }
}

/// Four channels of row `y` of outputs, into pixels that begin `step` values apart.
fn filter_pixels(
    rows: &Rows<'_>,
    quad: usize,
    y: usize,
    plane: &[u32],
    tile: &mut [u32],
    (step, output): (usize, &mut [i8]),
) {
    let Filter { output_width, .. } = rows.filter;
    let part = outputs(rows, quad, (y, 0), *output_width, plane);
    arch::filter(&part, part_mut(tile, 0, 8 * part.groups));
    let (whole, left) = (output_width / 4, output_width % 4);
    let (groups, last) = (tile.as_chunks::<8>().0, 4 * whole * step);
    if whole > 0 {
        arch::pack(parts::part(groups, 0, whole), step, rest_mut(output, 4 * quad));
    }
    if left > 0 {
        // A group of which not all pixels are there.
        let mut pixels = [0; 16];
        arch::pack(parts::part(groups, whole, 1), 4, &mut pixels);
        let rest = rest_mut(output, last + 4 * quad).chunks_mut(step.max(1));
        for (pixel, own) in pixels.as_chunks::<4>().0.iter().zip(rest).take(left) {
            if let Some(own) = own.first_chunk_mut() {
                *own = *pixel;
            }
        }
    }
}
