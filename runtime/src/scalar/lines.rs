//! Depthwise convolutions of kernels 3, 5 and 7, four channels at a time.
//!
//! Rows are laid out so that what four neighbouring outputs read lies together, padding included:
//!
//! ```text
//!   column 0: slot 0 | slot 1 | … slot k−1     column 1: …          four channels of a pixel in each slot
//! ```
//!
//! Columns are counted from the row's padding on, so output x has its window from column `x · stride` on.

use core::iter;

use super::filter::Overlap;
use crate::memory::bytes;
use crate::parts::{part, part_mut, rest, rest_mut, split_mut};
use crate::plan::{Place, line_columns};
use crate::quant::Channel;
use crate::stream::{Event, Filter, windows};

/// Outputs that are summed at a time.
const TOGETHER: usize = 4;

/// Of the largest kernel, twice.
const MOST_TAPS: usize = 2 * 7 * 7;

/// Rows of four channels, or of fewer, and a row of their outputs.
pub(super) struct Lines<'a, 'm> {
    filter: &'a Filter<'a>,
    /// Slot after slot of each column.
    words: &'m mut [u32],
    outputs: &'m mut [u32],
}

impl<'a, 'm> Lines<'a, 'm> {
    /// For rows of so many outputs; `None` for other kernels, and beside packed ones: the few layers that those leave are
    /// not worth the flash.
    pub fn new(filter: &'a Filter<'a>, outputs: usize, memory: &'m mut [u32]) -> Option<Self> {
        let Filter { kernel, stride, .. } = *filter;
        if cfg!(ofa_dsp) || !matches!(kernel, 3 | 5 | 7) {
            return None;
        }
        let (words, rest) = split_mut(memory, line_columns(outputs, kernel, stride) * kernel);
        Some(Self { filter, words, outputs: part_mut(rest, 0, outputs.next_multiple_of(TOGETHER)) })
    }

    /// `count` outputs of row `y` from `x` on, of all channels, from a ring of whole pixels.
    pub fn apply(&mut self, (y, x): (usize, usize), count: usize, ring: &mut [u32], step: usize, output: &mut [i8]) {
        let Filter { kernel, stride, height, width, padding, weights, .. } = *self.filter;
        let channels = weights.channels.len();
        let rows = Overlap::new(y, kernel, stride, height);
        let before = (kernel / 2).saturating_sub(x * stride);
        let start = (x * stride).saturating_sub(kernel / 2);
        let pixels = width - start;
        self.words.fill(word([padding; 4]));
        let mut weights = weights;
        for first in (0..channels).step_by(4) {
            let lanes = (channels - first).min(4);
            for row in rows.skipped..rows.skipped + rows.len {
                let at = ((y * stride + row) % kernel.max(1) * width + start) * channels + first;
                if channels.is_multiple_of(4) {
                    let pixels = rest(ring, at / 4).iter().step_by((channels / 4).max(1)).take(pixels);
                    self.fill(row, before, pixels.copied());
                } else {
                    self.fill(row, before, fours(rest(bytes(ring), at), channels, lanes).take(pixels));
                }
            }
            let own = weights.take(lanes, lanes * kernel * kernel);
            self.sum(own.channels, (own.taps, kernel * kernel), count);
            self.give(lanes, count, step, rest_mut(output, first));
        }
    }

    /// The depthwise convolution of a map whose output goes elsewhere in the same memory, or in its place.
    pub fn depthwise(&mut self, rows: usize, maps: &mut [u32], place: &Place) {
        let Filter { kernel, stride, height, width, output_width, padding, weights, .. } = *self.filter;
        let channels = weights.channels.len();
        let padding = word([padding; 4]);
        self.words.fill(padding);
        // Whole words of channels, as is usual.
        let whole = channels.is_multiple_of(4) && place.input.is_multiple_of(4) && place.output.is_multiple_of(4);
        let step = (channels / 4).max(1);
        let mut weights = weights;
        for first in (0..channels).step_by(4) {
            let lanes = (channels - first).min(4);
            let own = weights.take(lanes, lanes * kernel * kernel);
            // Twice, so that the rows follow one another from any of them on.
            let (mut taps, filter) = ([0; 4 * MOST_TAPS], kernel * kernel);
            for (taps, own) in taps.chunks_exact_mut((2 * filter).max(1)).zip(own.taps.chunks_exact(filter.max(1))) {
                taps.iter_mut().zip(own.iter().chain(own)).for_each(|(to, tap)| *to = *tap);
            }
            windows((kernel, stride), height, 0..rows, place.descending, |event| match event {
                Event::Take { slot, row: Some(row) } => {
                    let start = place.input + row * width * channels + first;
                    if whole {
                        let pixels = rest(maps, start / 4).iter().step_by(step).take(width);
                        self.fill(slot, kernel / 2, pixels.copied());
                    } else {
                        self.fill(slot, kernel / 2, fours(rest(bytes(maps), start), channels, lanes).take(width));
                    }
                }
                Event::Take { slot, row: None } => {
                    let columns = rest_mut(self.words, slot).iter_mut().step_by(kernel.max(1));
                    columns.for_each(|word| *word = padding);
                }
                Event::Give { row } => {
                    let start = kernel - row * stride % kernel.max(1);
                    self.sum(own.channels, (rest(&taps, start * kernel), 2 * kernel * kernel), output_width);
                    let start = place.output + row * output_width * channels + first;
                    if whole {
                        let pixels = rest_mut(maps, start / 4).iter_mut().step_by(step);
                        pixels.zip(&*self.floored(output_width)).for_each(|(pixel, word)| *pixel = *word);
                    } else {
                        self.give(lanes, output_width, channels, rest_mut(bytes(maps), start));
                    }
                }
            });
        }
    }

    /// Sets a slot of the columns from `before` on.
    fn fill(&mut self, slot: usize, before: usize, pixels: impl Iterator<Item = u32>) {
        let kernel = self.filter.kernel.max(1);
        let columns = rest_mut(self.words, before * kernel + slot).iter_mut().step_by(kernel);
        columns.zip(pixels).for_each(|(word, pixel)| *word = pixel);
    }

    /// Makes outputs of four channels or fewer, with taps as [`sum_channels`] takes them, row after row for the slots.
    fn sum(&mut self, channels: &[Channel], taps: (&[u8], usize), count: usize) {
        let Self { filter, words, outputs } = self;
        let outputs = part_mut(outputs, 0, count.next_multiple_of(TOGETHER));
        let (columns, outputs) = (bytes(words).as_chunks().0, bytes(outputs).as_chunks_mut().0);
        let sum = match (filter.kernel, filter.stride) {
            (3, 1) => sum_channels::<3, 1>,
            (3, _) => sum_channels::<3, 2>,
            (5, 1) => sum_channels::<5, 1>,
            (5, _) => sum_channels::<5, 2>,
            (_, 1) => sum_channels::<7, 1>,
            _ => sum_channels::<7, 2>,
        };
        sum(channels, filter.zero, taps, filter.kernel, columns, outputs);
    }

    /// So many outputs, none below the smallest.
    fn floored(&mut self, count: usize) -> &mut [u32] {
        let floor = self.filter.floor;
        let outputs = part_mut(self.outputs, 0, count);
        if floor > i8::MIN {
            bytes(outputs).iter_mut().for_each(|value| *value = (*value).max(floor));
        }
        outputs
    }

    /// Writes outputs, each at a multiple of `step`.
    fn give(&mut self, lanes: usize, count: usize, step: usize, output: &mut [i8]) {
        let mut at = 0;
        for values in bytes(self.floored(count)).as_chunks::<4>().0 {
            match output.get_mut(at..).and_then(|own| own.first_chunk_mut()) {
                Some(own) if lanes == 4 => *own = *values,
                _ => rest_mut(output, at).iter_mut().zip(values).take(lanes).for_each(|(own, value)| *own = *value),
            }
            at += step;
        }
    }
}

/// Four channels of a pixel, as they lie in memory.
fn word(values: [i8; 4]) -> u32 {
    u32::from_ne_bytes(values.map(|value| value as u8))
}

/// The first channels of pixels, so many `lanes` of which are used.
#[inline(always)]
fn fours(pixels: &[i8], step: usize, lanes: usize) -> impl Iterator<Item = u32> {
    let mut at = 0;
    iter::repeat_with(move || {
        let pixel = pixels.get(at..).unwrap_or_default();
        at += step;
        match pixel.first_chunk() {
            Some(&values) => word(values),
            None => {
                let mut values = [0; 4];
                values.iter_mut().zip(pixel).take(lanes).for_each(|(to, from)| *to = *from);
                word(values)
            }
        }
    })
}

/// Each channel on its own; its rows of taps lie `step` taps behind those of the channel before it.
fn sum_channels<const KERNEL: usize, const STRIDE: usize>(
    channels: &[Channel],
    zero: i8,
    (taps, step): (&[u8], usize),
    rows: usize,
    columns: &[[i8; 4]],
    outputs: &mut [[i8; 4]],
) {
    for (lane, channel) in channels.iter().enumerate() {
        // As many as the kernel has, which the compiler is not told: unrolled, rows would not stay in registers.
        let taps = part(taps, lane * step, rows * KERNEL).as_chunks().0;
        sum_channel::<KERNEL, STRIDE>(channel, zero, taps, lane % 4, columns, outputs);
    }
}

/// Four neighbouring outputs at a time, whose sums stay in registers, and so do the taps of a row.
#[inline(always)]
fn sum_channel<const KERNEL: usize, const STRIDE: usize>(
    channel: &Channel,
    zero: i8,
    rows: &[[u8; KERNEL]],
    lane: usize,
    mut columns: &[[i8; 4]],
    outputs: &mut [[i8; 4]],
) {
    let width = KERNEL + (TOGETHER - 1) * STRIDE;
    for outputs in outputs.as_chunks_mut::<TOGETHER>().0 {
        let mut sums = [channel.bias; TOGETHER];
        for (taps, slot) in rows.iter().zip(part(columns, 0, width * KERNEL).windows((width - 1) * KERNEL + 1)) {
            for column in 0..width {
                let value = i32::from(slot[column * KERNEL][lane]);
                for output in 0..TOGETHER {
                    if (output * STRIDE..output * STRIDE + KERNEL).contains(&column) {
                        let tap = i32::from(taps[column - output * STRIDE] as i8);
                        sums[output] = sums[output].wrapping_add(tap.wrapping_mul(value));
                    }
                }
            }
        }
        for output in 0..TOGETHER {
            outputs[output][lane] = channel.narrowed(sums[output], zero);
        }
        columns = rest(columns, TOGETHER * STRIDE * KERNEL);
    }
}
