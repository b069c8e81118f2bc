//! Kernels for cores that multiply two pairs of int16 in one instruction (Armv7E-M and the DSP extension of Armv8-M).
//!
//! ```text
//!   matrix      pixels ─ widen ─▶ tile: pairs of int16, four pixels side by side
//!               tile × two channels at a time: eight sums in registers, two products an instruction
//!   depthwise   row ─ widen ─▶ ring: four values of a row side by side, then the next channel's, then the next four
//!               ring × taps: four outputs at once
//!               a narrow ring stays int8; four channels of it are widened for each output row
//! ```
//!
//! What runs on the core is in `cortex_m`, with assembly; `portable` has a twin of each of its functions, so that
//! everything else here is the same, and is tested, on any machine.

#[cfg_attr(ofa_dsp, path = "dsp/cortex_m.rs")]
#[cfg_attr(not(ofa_dsp), path = "dsp/portable.rs")]
mod arch;
mod filter;
mod matrix;
mod narrow;

use crate::held::Held;
use crate::memory::bytes;
use crate::parts::{part_mut, split_mut};
use crate::plan::{Place, SEGMENT, segment};
use crate::quant::Channel;
use crate::scalar::Scalar;
use crate::stream::{Filter, Fused, Kernels, Matrix, Part, Window};
use filter::Rows;

/// Armv7E-M.
#[derive(Debug)]
pub(crate) enum Dsp {}

impl Kernels for Dsp {
    fn load(depth: usize, pixels: &[i8], scratch: &mut [u32]) {
        match pixels.len() / depth.max(1) {
            1 => matrix::load_vector(depth / 4 * 4, pixels, scratch),
            _ => matrix::load(depth, pixels, scratch),
        }
    }

    fn load_windows(window: &Window<'_>, part: &Part, input: &[i8], scratch: &mut [u32]) {
        matrix::load_windows(window, part, input, scratch);
    }

    fn multiply(matrix: &Matrix<'_>, count: usize, output: &mut [i8], scratch: &mut [u32]) {
        matrix::multiply(matrix, count, output, scratch);
    }

    fn begin(fused: &Fused<'_>, scratch: &mut [u32]) {
        if let (Some(rows), Held::Wide) = (Rows::new(&fused.filter), fused.held) {
            rows.ring(part_mut(scratch, 0, rows.ring_words())).begin(fused.filter.padding);
        }
    }

    fn take(fused: &Fused<'_>, slot: usize, row: Option<&[i8]>, scratch: &mut [u32]) {
        let Some(rows) = Rows::new(&fused.filter) else { return Scalar::take(fused, slot, row, scratch) };
        if let Held::Narrow | Held::Tight = fused.held {
            return narrow::take(fused, slot, row, scratch);
        }
        let (ring, rest) = split_mut(scratch, rows.ring_words());
        let mut ring = rows.ring(ring);
        match (row, &fused.expand) {
            (None, _) => ring.pad(slot, fused.filter.padding),
            (Some(row), None) => arch::fill(&rows.source(row), slot, &mut ring),
            (Some(row), Some(expand)) if fused.filter.width.is_multiple_of(4) => {
                let depth = expand.depth.max(1);
                for (part, pixels) in row.chunks((SEGMENT * depth).max(1)).enumerate() {
                    Self::load(depth, pixels, rest);
                    let count = pixels.len() / depth;
                    arch::expand(expand, part * SEGMENT, count, rest, slot, &mut ring);
                }
            }
            // The last group of four pixels would overwrite padding.
            (Some(row), Some(expand)) => {
                let (expanded, tile) = split_mut(rest, fused.filter.row().div_ceil(4));
                let expanded = part_mut(bytes(expanded), 0, fused.filter.row());
                Self::product(expand, SEGMENT, row, expanded, tile);
                arch::fill(&rows.source(expanded), slot, &mut ring);
            }
        }
    }

    fn give(fused: &Fused<'_>, y: usize, output: &mut [i8], scratch: &mut [u32]) {
        let filter = &fused.filter;
        let Some(rows) = Rows::new(filter) else { return Scalar::give(fused, y, output, scratch) };
        match fused.held {
            Held::Narrow => return narrow::give(fused, &rows, y, output, scratch),
            Held::Tight => return narrow::give_tight(fused, &rows, y, output, scratch),
            Held::Wide | Held::Whole | Held::Grouped { .. } => (),
        }
        let (ring, tile) = split_mut(scratch, rows.ring_words());
        let channels = fused.project.weights.channels.len();
        let segment = segment(filter.output_width as u16);
        for x in (0..filter.output_width).step_by(segment) {
            let count = segment.min(filter.output_width - x);
            rows.apply(y, x, count, ring, tile);
            matrix::multiply(&fused.project, count, part_mut(output, x * channels, count * channels), tile);
        }
    }

    fn filter(filter: &Filter<'_>, y: usize, ring: &mut [u32], lines: &mut [u32], step: usize, output: &mut [i8]) {
        match Rows::new(filter) {
            Some(rows) => narrow::filter(&rows, y, bytes(ring), lines, step, output),
            None => Scalar::filter(filter, y, ring, lines, step, output),
        }
    }

    fn depthwise(filter: &Filter<'_>, outputs: usize, maps: &mut [u32], place: &Place, scratch: &mut [u32]) {
        match Rows::new(filter) {
            Some(_) => filter::depthwise(filter, outputs, bytes(maps), place, scratch),
            None => Scalar::depthwise(filter, outputs, maps, place, scratch),
        }
    }

    fn pool(channel: &Channel, zero: i8, input: &[i8], output: &mut [i8]) {
        Scalar::pool(channel, zero, input, output);
    }
}
