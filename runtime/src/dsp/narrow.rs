//! Blocks whose ring stays int8: half the memory, and no padding.
//!
//! ```text
//!   ring: k rows of pixels ─ four channels ─ widen ─▶ k rows as in a wide ring ─ × taps ─▶ tiles of an output row
//! ```

use super::filter::{CHUNK_QUADS, Part, Rows, Source};
use super::matrix;
use super::{Dsp, arch};
use crate::memory::bytes;
use crate::parts::{self, copy, part_mut, rest_mut, split_mut};
use crate::plan::{SEGMENT, segment, tile_bytes};
use crate::stream::{Filter, Fused, Kernels};

/// The ring, and the rest: four channels of it widened, then tiles.
fn memory<'s>(filter: &Filter<'_>, scratch: &'s mut [u32]) -> (&'s mut [i8], &'s mut [u32]) {
    let ring = filter.kernel * filter.row();
    let (words, rest) = split_mut(scratch, ring.div_ceil(4));
    (part_mut(bytes(words), 0, ring), rest)
}

/// Makes the widened channels padding, of which rows then overwrite their part.
pub(super) fn begin(rows: &Rows<'_>, scratch: &mut [u32]) {
    let (_, rest) = memory(rows.filter, scratch);
    rows.ring(part_mut(rest, 0, rows.quad_words())).begin(rows.filter.padding);
}

pub(super) fn take(fused: &Fused<'_>, rows: &Rows<'_>, slot: usize, row: Option<&[i8]>, scratch: &mut [u32]) {
    let filter = &fused.filter;
    let (ring, rest) = memory(filter, scratch);
    let slot = part_mut(ring, slot * filter.row(), filter.row());
    match (row, &fused.expand) {
        (None, _) => slot.fill(filter.padding),
        (Some(row), None) => copy(row, slot),
        (Some(row), Some(expand)) => Dsp::product(expand, SEGMENT, row, slot, rest_mut(rest, rows.quad_words())),
    }
}

pub(super) fn give(fused: &Fused<'_>, rows: &Rows<'_>, y: usize, output: &mut [i8], scratch: &mut [u32]) {
    let filter = &fused.filter;
    let Filter { kernel, stride, output_width, .. } = *filter;
    let depth = filter.weights.channels.len();
    let (ring, rest) = memory(filter, scratch);
    let (plane, tiles) = split_mut(rest, rows.quad_words());
    let segment = segment(output_width as u16);
    let tile_words = (tile_bytes(segment, depth) / 4).max(1);
    for quad in 0..rows.channel_quads() {
        widen(rows, quad, ring, plane);
        let first = quad / CHUNK_QUADS * CHUNK_QUADS;
        for (x, tile) in (0..output_width).step_by(segment).zip(tiles.chunks_mut(tile_words)) {
            let count = segment.min(output_width - x);
            let part = Part {
                filter,
                ring: parts::rest(plane, x / 4 * stride * 8 * kernel),
                quad_words: rows.quad_words(),
                first: quad,
                quads: 1,
                chunk: (rows.channel_quads() - first).min(CHUNK_QUADS),
                groups: count.div_ceil(4),
                turn: y * stride % kernel.max(1),
            };
            part.run(count, tile);
        }
    }
    let channels = fused.project.weights.channels.len();
    for (x, tile) in (0..output_width).step_by(segment).zip(tiles.chunks_mut(tile_words)) {
        let count = segment.min(output_width - x);
        matrix::multiply(&fused.project, count, part_mut(output, x * channels, count * channels), tile);
    }
}

/// Widens four channels of the ring.
fn widen(rows: &Rows<'_>, quad: usize, ring: &[i8], plane: &mut [u32]) {
    let Filter { kernel, width, padding, weights, .. } = *rows.filter;
    let (step, row_step) = (weights.channels.len(), rows.filter.row());
    let row = parts::rest(ring, 4 * quad);
    let source = Source { row, step, pixels: width, channels: 4, kernel, padding, rows: kernel, row_step };
    arch::fill(&source, 0, &mut rows.ring(plane));
}

/// Row `y` of outputs as pixels, for who does more with them than to multiply them.
pub(super) fn filter(rows: &Rows<'_>, y: usize, ring: &[i8], lines: &mut [u32], output: &mut [i8]) {
    let Filter { kernel, stride, output_width, padding, weights, .. } = *rows.filter;
    let channels = weights.channels.len();
    let groups = output_width.div_ceil(4);
    let (plane, tile) = split_mut(lines, rows.quad_words());
    rows.ring(plane).begin(padding);
    for quad in 0..rows.channel_quads() {
        widen(rows, quad, ring, plane);
        let turn = y * stride % kernel.max(1);
        let (filter, quad_words) = (rows.filter, rows.quad_words());
        let part = Part { filter, ring: plane, quad_words, first: quad, quads: 1, chunk: 1, groups, turn };
        arch::filter(&part, part_mut(tile, 0, 8 * groups));
        for (group, pixels) in tile.as_chunks::<8>().0.iter().zip(output.chunks_mut((4 * channels).max(1))) {
            // Channels 0 and 2 of four pixels, then 1 and 3.
            let (even, odd) = (&group[..4], &group[4..]);
            let mut at = 4 * quad;
            for i in 0..4 {
                let values = (even[i] & 0x00FF_00FF | (odd[i] & 0x00FF_00FF) << 8).to_le_bytes();
                let Some(own) = pixels.get_mut(at..).and_then(|own| own.first_chunk_mut()) else { break };
                *own = values.map(|value| value as i8);
                at += channels;
            }
        }
    }
}
