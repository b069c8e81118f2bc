//! Blocks whose channels go in groups, where memory for all of them at once is scarce: see [`crate::held`].
//!
//! ```text
//!   of a band of output rows, for some channels after others:
//!       input row ─ expand ─▶ ring of k rows ─ depthwise ─▶ their place in the pixels of the filtered map
//!   then for all channels:   filtered map ─ project ─▶ output rows
//! ```
//!
//! One band is the whole map, if there is room for the filtered one. Of several bands each makes the expanded rows that it
//! shares with the one before it again.

use crate::held::{Held, pixels};
use crate::layer::Block;
use crate::memory::bytes;
use crate::parts::{part, part_mut, rest_mut, split_mut};
use crate::plan::{CHUNK, Place, line_words, max, min, tile_bytes, words};
use crate::stream::{Event, Filter, Fused, Kernels, Matrix, in_order, windows};

/// Channels of a group: a power of two between these.
const FEWEST_CHANNELS: usize = 8;
const MOST_CHANNELS: usize = 32;

impl Block {
    /// The fewest bands, and of them the largest groups, that keep to half of what the block takes layer by layer, and their
    /// scratch memory, if what the bands make again is no more than a sixth of the block's work. Not of a residual block, whose
    /// output goes where windows of later bands would read.
    pub(crate) const fn grouped(&self) -> Option<(Held, usize)> {
        if !self.expands() || self.residual || !self.expanded.is_multiple_of(4) {
            return None;
        }
        let (output, row, taps) = (self.output(), self.input.row(), self.kernel as usize * self.kernel as usize);
        let work = self.input.len() + pixels(output) * (taps + self.channels as usize);
        let (height, half) = (output.height as usize, self.unfused_bytes() / 2);
        let mut bands = 1;
        while bands <= height {
            let rows = height.div_ceil(bands);
            if 6 * self.taken(rows).saturating_sub(self.input.height as usize) * row > work {
                return None;
            }
            let mut channels = MOST_CHANNELS;
            while channels >= FEWEST_CHANNELS {
                let bytes = self.grouped_bytes(rows, channels);
                if self.input.len() + bytes <= half {
                    return Some((Held::Grouped { rows, channels }, bytes));
                }
                channels /= 2;
            }
            bands += 1;
        }
        None
    }

    /// Input rows that bands of so many output rows take, those that two of them share twice.
    pub(crate) const fn taken(&self, rows: usize) -> usize {
        let (height, half, stride) = (self.input.height as usize, self.kernel as usize / 2, self.stride as usize);
        let (outputs, mut taken, mut first) = (self.output().height as usize, 0, 0);
        while first < outputs {
            let last = min(first + rows, outputs) - 1;
            taken += min(last * stride + half + 1, height) - (first * stride).saturating_sub(half);
            first += max(rows, 1);
        }
        taken
    }

    /// So many rows of the filtered map, and beside them the ring of so many channels with its lines or the tile of expand,
    /// or the tile of project.
    pub(crate) const fn grouped_bytes(&self, rows: usize, channels: usize) -> usize {
        let width = self.input.width as usize;
        let ring = words(self.kernel as usize * width * min(channels, self.expanded as usize)) * 4;
        let lines = line_words(self.output().width, self.kernel, self.stride) * 4;
        let expand = tile_bytes(min(width, CHUNK), self.input.channels as usize);
        let project = tile_bytes(self.together(), self.expanded as usize);
        words(rows * self.depthwise_map().row()) * 4 + max(ring + max(lines, expand), project)
    }
}

/// Runs the block, so many output rows and channels at a time.
pub(crate) fn run<K: Kernels>(
    fused: &Fused<'_>,
    block: &Block,
    (rows, channels): (usize, usize),
    place: &Place,
    maps: &mut [i8],
    scratch: &mut [u32],
) {
    let (output, row) = (block.output(), block.depthwise_map().row());
    let height = usize::from(output.height);
    let (filtered, rest) = split_mut(scratch, (rows * row).div_ceil(4));
    in_order(height.div_ceil(rows.max(1)), place.descending, |band| {
        let band = band * rows..((band + 1) * rows).min(height);
        let filtered = part_mut(bytes(filtered), 0, band.len() * row);
        let input = part(maps, place.input, block.input.len());
        groups(fused, channels, |first, expand, filter| {
            let (ring, work) = split_mut(rest, (filter.kernel * filter.row()).div_ceil(4));
            windows((filter.kernel, filter.stride), filter.height, band.clone(), false, |event| match event {
                Event::Take { slot, row } => {
                    let slot = part_mut(bytes(ring), slot * filter.row(), filter.row());
                    match row {
                        None => slot.fill(filter.padding),
                        Some(row) => {
                            let row = part(input, row * block.input.row(), block.input.row());
                            K::product(expand, CHUNK, row, slot, work);
                        }
                    }
                }
                Event::Give { row: y } => {
                    let output = rest_mut(filtered, (y - band.start) * row + first);
                    K::filter(filter, y, ring, work, block.expanded.into(), output);
                }
            });
        });
        let output = part_mut(maps, place.output + band.start * output.row(), band.len() * output.row());
        K::product(&fused.project, block.together(), filtered, output, rest);
    });
}

/// The first of each so many channels, and their part of the two convolutions.
fn groups(fused: &Fused<'_>, together: usize, mut each: impl FnMut(usize, &Matrix<'_>, &Filter<'_>)) {
    let (Some(expand), filter) = (&fused.expand, &fused.filter) else { return };
    let (mut expanding, mut filtering) = (expand.weights, filter.weights);
    for first in (0..filter.weights.channels.len()).step_by(together.max(1)) {
        let channels = together.min(filter.weights.channels.len() - first);
        let expand = Matrix { weights: expanding.take(channels, channels * expand.depth), ..*expand };
        let taps = channels * filter.kernel * filter.kernel;
        each(first, &expand, &Filter { weights: filtering.take(channels, taps), ..*filter });
    }
}
