//! Kernels in plain Rust, for cores without instructions of their own: Cortex-M0 and M3, RISC-V, hosts.
//!
//! Scratch memory holds int8 as they are. Hosts' vectors keep to that, so they differ in their [`Arithmetic`] alone.

mod filter;
mod lines;

use core::array;

use crate::memory::bytes;
use crate::parts::{copy, part, part_mut, rest_mut, split, split_mut};
use crate::plan::{Place, lines_words, segment};
use crate::quant::{Channel, narrow};
use crate::stream::{Event, Filter, Fused, Kernels, Matrix, Part, Window, windows};
use filter::Overlap;
use lines::Lines;

/// The inner loops.
pub(crate) trait Arithmetic {
    /// A matrix times some pixels.
    fn multiply(matrix: &Matrix<'_>, pixels: &[i8], output: &mut [i8]);
    /// `count` outputs of row `y` from `x` on, each at a multiple of `step` in `output`, from a ring of whole pixels.
    /// `lines` is [`lines_words`] of scratch memory.
    fn apply(
        filter: &Filter<'_>,
        at: (usize, usize),
        count: usize,
        ring: &mut [u32],
        lines: &mut [u32],
        step: usize,
        output: &mut [i8],
    );
    /// As [`Kernels::depthwise`].
    fn depthwise(filter: &Filter<'_>, rows: usize, maps: &mut [u32], place: &Place, scratch: &mut [u32]);
}

/// Plain Rust.
#[derive(Debug)]
pub(crate) enum Scalar {}

impl Arithmetic for Scalar {
    fn multiply(matrix: &Matrix<'_>, pixels: &[i8], output: &mut [i8]) {
        multiply(matrix, pixels, output);
    }

    fn apply(
        filter: &Filter<'_>,
        at: (usize, usize),
        count: usize,
        ring: &mut [u32],
        lines: &mut [u32],
        step: usize,
        output: &mut [i8],
    ) {
        match Lines::new(filter, count, lines) {
            Some(mut lines) => lines.apply(at, count, ring, step, output),
            // Four channels' sums fit into registers.
            None if filter.weights.channels.len().is_multiple_of(4) => {
                filter.apply_by::<4>(at, count, bytes(ring), step, output);
            }
            None => filter.apply_by::<1>(at, count, bytes(ring), step, output),
        }
    }

    fn depthwise(filter: &Filter<'_>, rows: usize, maps: &mut [u32], place: &Place, scratch: &mut [u32]) {
        match Lines::new(filter, filter.output_width, scratch) {
            Some(mut lines) => lines.depthwise(rows, maps, place),
            None => depthwise_by::<Self>(4, filter, rows, bytes(maps), place, scratch),
        }
    }
}

impl<A: Arithmetic> Kernels for A {
    fn load(_: usize, pixels: &[i8], scratch: &mut [u32]) {
        copy(pixels, part_mut(bytes(scratch), 0, pixels.len()));
    }

    fn load_windows(window: &Window<'_>, part: &Part, input: &[i8], scratch: &mut [u32]) {
        let columns = bytes(scratch).chunks_exact_mut(window.depth().max(1)).skip(part.first).take(part.count);
        for (i, column) in columns.enumerate() {
            window.gather(part.y, part.x + i, input, column);
        }
    }

    fn multiply(matrix: &Matrix<'_>, count: usize, output: &mut [i8], scratch: &mut [u32]) {
        A::multiply(matrix, part(bytes(scratch), 0, count * matrix.depth), output);
    }

    fn begin(_: &Fused<'_>, _: &mut [u32]) {}

    fn take(fused: &Fused<'_>, slot: usize, row: Option<&[i8]>, scratch: &mut [u32]) {
        let Some(row) = row else { return };
        let filter = &fused.filter;
        let slot = part_mut(bytes(scratch), slot * filter.row(), filter.row());
        match &fused.expand {
            Some(expand) => A::multiply(expand, row, slot),
            None => copy(row, slot),
        }
    }

    fn give(fused: &Fused<'_>, y: usize, output: &mut [i8], scratch: &mut [u32]) {
        let filter = &fused.filter;
        let (ring, rest) = split_mut(scratch, (filter.kernel * filter.row()).div_ceil(4));
        let segment = segment(filter.output_width as u16);
        let (lines, filtered) = split_mut(rest, lines_words(segment, filter.kernel, filter.stride));
        let filtered = bytes(filtered);
        let (expanded, channels) = (filter.weights.channels.len(), fused.project.weights.channels.len());
        for x in (0..filter.output_width).step_by(segment) {
            let count = segment.min(filter.output_width - x);
            let filtered = part_mut(filtered, 0, count * expanded);
            A::apply(filter, (y, x), count, ring, lines, expanded, filtered);
            A::multiply(&fused.project, filtered, part_mut(output, x * channels, count * channels));
        }
    }

    fn filter(filter: &Filter<'_>, y: usize, ring: &mut [u32], lines: &mut [u32], step: usize, output: &mut [i8]) {
        A::apply(filter, (y, 0), filter.output_width, ring, lines, step, output);
    }

    fn depthwise(filter: &Filter<'_>, rows: usize, maps: &mut [u32], place: &Place, scratch: &mut [u32]) {
        A::depthwise(filter, rows, maps, place, scratch);
    }

    fn pool(channel: &Channel, zero: i8, input: &[i8], output: &mut [i8]) {
        let channels = output.len().max(1);
        for (c, out) in output.iter_mut().enumerate() {
            let values = input.iter().skip(c).step_by(channels);
            let sum = values.fold(channel.bias, |sum, &value| sum.wrapping_add(i32::from(value)));
            *out = narrow(channel.averaged(sum), zero);
        }
    }
}

/// So many channels at a time: a multiple of 4, at most 8, whose int8 fill no more than four channels' int16.
pub(crate) fn depthwise_by<A: Arithmetic>(
    lanes: usize,
    filter: &Filter<'_>,
    rows: usize,
    maps: &mut [i8],
    place: &Place,
    scratch: &mut [u32],
) {
    let channels = filter.weights.channels.len();
    let (ring, lines) = split_mut(scratch, (filter.kernel * filter.width * lanes).div_ceil(4));
    let mut weights = filter.weights;
    for first in (0..channels).step_by(lanes) {
        let lanes = (channels - first).min(lanes);
        let filter = Filter { weights: weights.take(lanes, lanes * filter.kernel * filter.kernel), ..*filter };
        windows((filter.kernel, filter.stride), filter.height, 0..rows, place.descending, |event| match event {
            Event::Take { slot, row: Some(row) } => {
                let row = part(maps, place.input + row * filter.width * channels, filter.width * channels);
                let slot = part_mut(bytes(ring), slot * filter.row(), filter.row());
                let pixels = row.chunks_exact(channels.max(1)).zip(slot.chunks_exact_mut(lanes.max(1)));
                pixels.for_each(|(pixel, own)| copy(part(pixel, first, lanes), own));
            }
            Event::Take { row: None, .. } => {}
            Event::Give { row } => {
                let row_start = place.output + row * filter.output_width * channels;
                let output = rest_mut(maps, row_start + first);
                A::apply(&filter, (row, 0), filter.output_width, ring, lines, channels, output);
            }
        });
    }
}

/// A matrix times some pixels, two of them at a time, as they share the taps.
fn multiply(matrix: &Matrix<'_>, pixels: &[i8], output: &mut [i8]) {
    let (depth, channels) = (matrix.depth.max(1), matrix.weights.channels.len().max(1));
    for (pixels, out) in pixels.chunks((2 * depth).max(1)).zip(output.chunks_mut((2 * channels).max(1))) {
        match pixels.len() / depth {
            2 => multiply_two(matrix, split(pixels, depth), split_mut(out, channels)),
            _ => multiply_one(matrix, pixels, out),
        }
        if matrix.floor > i8::MIN {
            out.iter_mut().for_each(|out| *out = (*out).max(matrix.floor));
        }
    }
}

fn multiply_two(matrix: &Matrix<'_>, pixels: (&[i8], &[i8]), outputs: (&mut [i8], &mut [i8])) {
    let (pairs, last) = matrix.weights.channels.as_chunks::<2>();
    let (taps, last_taps) = split(matrix.weights.taps, pairs.len() * 2 * matrix.depth);
    let (first, second) = (split(pixels.0, matrix.fours), split(pixels.1, matrix.fours));
    let (first_outputs, second_outputs) = (outputs.0.as_chunks_mut::<2>(), outputs.1.as_chunks_mut::<2>());
    let outputs = first_outputs.0.iter_mut().zip(second_outputs.0);
    for ((pair, taps), (a, b)) in pairs.iter().zip(taps.chunks_exact((2 * matrix.depth).max(1))).zip(outputs) {
        let sums = four_sums(pair.map(|channel| channel.bias), taps, first, second);
        *a = array::from_fn(|i| matrix.narrowed(&pair[i], sums[0][i], a[i]));
        *b = array::from_fn(|i| matrix.narrowed(&pair[i], sums[1][i], b[i]));
    }
    if let ([channel], [a], [b]) = (last, first_outputs.1, second_outputs.1) {
        *a = matrix.narrowed(channel, one_sum(channel.bias, last_taps, first), *a);
        *b = matrix.narrowed(channel, one_sum(channel.bias, last_taps, second), *b);
    }
}

fn multiply_one(matrix: &Matrix<'_>, pixel: &[i8], output: &mut [i8]) {
    let (pairs, last) = matrix.weights.channels.as_chunks::<2>();
    let (taps, last_taps) = split(matrix.weights.taps, pairs.len() * 2 * matrix.depth);
    let (outputs, last_output) = output.as_chunks_mut::<2>();
    let pixel = split(pixel, matrix.fours);
    for ((pair, taps), out) in pairs.iter().zip(taps.chunks_exact((2 * matrix.depth).max(1))).zip(outputs) {
        let sums = two_sums(pair.map(|channel| channel.bias), taps, pixel);
        *out = array::from_fn(|i| matrix.finish(&pair[i], sums[i], out[i]));
    }
    if let ([channel], [out]) = (last, last_output) {
        *out = matrix.finish(channel, one_sum(channel.bias, last_taps, pixel), *out);
    }
}

impl Matrix<'_> {
    /// From a sum to an output; `before` is what lies there, a residual's input.
    #[inline(always)]
    pub fn finish(&self, channel: &Channel, sum: i32, before: i8) -> i8 {
        self.narrowed(channel, sum, before).max(self.floor)
    }

    /// The same, but for the floor.
    #[inline(always)]
    fn narrowed(&self, channel: &Channel, sum: i32, before: i8) -> i8 {
        match self.residual {
            None => channel.narrowed(sum, self.zero),
            Some(residual) => narrow(channel.scaled(sum).wrapping_add(residual.product(before)), self.zero),
        }
    }
}

#[inline(always)]
fn mac(sum: i32, tap: u8, value: i8) -> i32 {
    sum.wrapping_add(i32::from(tap as i8) * i32::from(value))
}

/// Σ tap · value of a pair of outputs, whose taps lie in the order of [`crate::pack`].
#[inline(always)]
fn two_sums([mut a, mut b]: [i32; 2], taps: &[u8], (fours, rest): (&[i8], &[i8])) -> [i32; 2] {
    let (four_taps, rest_taps) = split(taps, 2 * fours.len());
    for (values, taps) in fours.as_chunks::<4>().0.iter().zip(four_taps.as_chunks::<8>().0) {
        for (i, input) in [0, 2, 1, 3].into_iter().enumerate() {
            a = mac(a, taps[2 * i], values[input]);
            b = mac(b, taps[2 * i + 1], values[input]);
        }
    }
    for (&value, taps) in rest.iter().zip(rest_taps.as_chunks::<2>().0) {
        a = mac(a, taps[0], value);
        b = mac(b, taps[1], value);
    }
    [a, b]
}

/// The same of two pixels: the sums of the first, and of the second.
#[inline(always)]
fn four_sums(bias: [i32; 2], taps: &[u8], first: (&[i8], &[i8]), second: (&[i8], &[i8])) -> [[i32; 2]; 2] {
    let ([mut a, mut b], [mut c, mut d]) = (bias, bias);
    let (four_taps, rest_taps) = split(taps, 2 * first.0.len());
    let fours = first.0.as_chunks::<4>().0.iter().zip(second.0.as_chunks::<4>().0);
    for ((first, second), taps) in fours.zip(four_taps.as_chunks::<8>().0) {
        for (i, input) in [0, 2, 1, 3].into_iter().enumerate() {
            a = mac(a, taps[2 * i], first[input]);
            b = mac(b, taps[2 * i + 1], first[input]);
            c = mac(c, taps[2 * i], second[input]);
            d = mac(d, taps[2 * i + 1], second[input]);
        }
    }
    for ((&first, &second), taps) in first.1.iter().zip(second.1).zip(rest_taps.as_chunks::<2>().0) {
        a = mac(a, taps[0], first);
        b = mac(b, taps[1], first);
        c = mac(c, taps[0], second);
        d = mac(d, taps[1], second);
    }
    [[a, b], [c, d]]
}

/// The same of the last of an odd number of outputs.
pub(crate) fn one_sum(start: i32, taps: &[u8], (fours, rest): (&[i8], &[i8])) -> i32 {
    let (four_taps, rest_taps) = split(taps, fours.len());
    let fours = fours.as_chunks::<4>().0.iter().zip(four_taps.as_chunks::<4>().0);
    let sum = fours.fold(start, |sum, (values, taps)| {
        [0, 2, 1, 3].into_iter().zip(taps).fold(sum, |sum, (input, &tap)| mac(sum, tap, values[input]))
    });
    rest.iter().zip(rest_taps).fold(sum, |sum, (&value, &tap)| mac(sum, tap, value))
}

impl Window<'_> {
    /// Values of a window.
    pub fn depth(&self) -> usize {
        usize::from(self.conv.kernel).pow(2) * usize::from(self.conv.input.channels)
    }

    /// The inputs of the window of output (y, x), in the [order](crate::pack) of the taps but for the change of places
    /// in each four: the fours of every row, then what is left of every row.
    pub fn gather(&self, y: usize, x: usize, input: &[i8], column: &mut [i8]) {
        let map = self.conv.input;
        let (kernel, stride) = (usize::from(self.conv.kernel), usize::from(self.conv.stride));
        let (depth, width) = (usize::from(map.channels), usize::from(map.width));
        let rows = Overlap::new(y, kernel, stride, usize::from(map.height));
        let columns = Overlap::new(x, kernel, stride, width);
        if rows.len < kernel || columns.len < kernel {
            column.fill(self.padding);
        }
        let fours = kernel * depth / 4 * 4;
        let (in_fours, left) = split_mut(column, fours * kernel);
        let start = columns.skipped * depth;
        for i in 0..rows.len {
            let from = ((rows.start + i) * width + columns.start) * depth;
            let values = part(input, from, columns.len * depth);
            let row = rows.skipped + i;
            let (fours_of, left_of) =
                (part_mut(in_fours, row * fours, fours), rest_mut(left, row * (kernel * depth - fours)));
            let inside = fours.saturating_sub(start).min(values.len());
            let (in_fours, in_left) = split(values, inside);
            if inside > 0 {
                copy(in_fours, part_mut(fours_of, start, inside));
            }
            copy(in_left, part_mut(left_of, (start + inside).saturating_sub(fours), in_left.len()));
        }
    }
}
