//! Kernels in plain Rust, for cores without instructions of their own: Cortex-M0 and M3, RISC-V, hosts.
//!
//! Scratch memory holds int8 as they are. Hosts' vectors keep to that, so they differ in their [`Arithmetic`] alone.

use core::array;

use crate::layer::KERNEL_LIMIT;
use crate::memory::bytes;
use crate::parts::{copy, part, part_mut, rest, rest_mut, split, split_mut};
use crate::plan::{Place, segment};
use crate::quant::{Channel, narrow};
use crate::stream::{Event, Filter, Fused, Kernels, Matrix, Part, Window, windows};

/// Of a depthwise window.
const MOST_TAPS: usize = KERNEL_LIMIT as usize * KERNEL_LIMIT as usize;

/// The inner loops.
pub(crate) trait Arithmetic {
    /// Channels that a depthwise convolution alone takes at a time: a multiple of 4, at most 8, whose int8 fill no more
    /// than four channels' int16.
    const LANES: usize;
    /// A matrix times some pixels.
    fn multiply(matrix: &Matrix<'_>, pixels: &[i8], output: &mut [i8]);
    /// `count` outputs of row `y` from `x` on, each at a multiple of `step` in `output`.
    fn apply(filter: &Filter<'_>, at: (usize, usize), count: usize, ring: &[i8], step: usize, output: &mut [i8]);
}

/// Plain Rust.
#[derive(Debug)]
pub(crate) enum Scalar {}

impl Arithmetic for Scalar {
    const LANES: usize = 4;

    fn multiply(matrix: &Matrix<'_>, pixels: &[i8], output: &mut [i8]) {
        multiply(matrix, pixels, output);
    }

    /// Four channels at a time, as their sums fit into registers.
    fn apply(filter: &Filter<'_>, at: (usize, usize), count: usize, ring: &[i8], step: usize, output: &mut [i8]) {
        if filter.weights.channels.len().is_multiple_of(4) {
            filter.apply_by::<4>(at, count, ring, step, output);
        } else {
            filter.apply_by::<1>(at, count, ring, step, output);
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
        let (ring, filtered) = split_mut(bytes(scratch), filter.kernel * filter.row());
        let (expanded, channels) = (filter.weights.channels.len(), fused.project.weights.channels.len());
        let segment = segment(filter.output_width as u16);
        for x in (0..filter.output_width).step_by(segment) {
            let count = segment.min(filter.output_width - x);
            let filtered = part_mut(filtered, 0, count * expanded);
            A::apply(filter, (y, x), count, ring, expanded, filtered);
            A::multiply(&fused.project, filtered, part_mut(output, x * channels, count * channels));
        }
    }

    fn depthwise(filter: &Filter<'_>, rows: usize, maps: &mut [i8], place: &Place, scratch: &mut [u32]) {
        let channels = filter.weights.channels.len();
        let mut rest = filter.weights;
        for first in (0..channels).step_by(A::LANES) {
            let lanes = (channels - first).min(A::LANES);
            let filter = Filter { weights: rest.take(lanes, lanes * filter.kernel * filter.kernel), ..*filter };
            let ring = bytes(scratch);
            windows((filter.kernel, filter.stride), filter.height, rows, place.descending, |event| match event {
                Event::Take { slot, row: Some(row) } => {
                    let row = part(maps, place.input + row * filter.width * channels, filter.width * channels);
                    let slot = part_mut(ring, slot * filter.row(), filter.row());
                    let pixels = row.chunks_exact(channels.max(1)).zip(slot.chunks_exact_mut(lanes.max(1)));
                    pixels.for_each(|(pixel, own)| copy(part(pixel, first, lanes), own));
                }
                Event::Take { row: None, .. } => {}
                Event::Give { row } => {
                    let row_start = place.output + row * filter.output_width * channels;
                    let output = rest_mut(maps, row_start + first);
                    A::apply(&filter, (row, 0), filter.output_width, ring, channels, output);
                }
            });
        }
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

/// A matrix times some pixels.
fn multiply(matrix: &Matrix<'_>, pixels: &[i8], output: &mut [i8]) {
    let (depth, channels) = (matrix.depth.max(1), matrix.weights.channels.len().max(1));
    for (pixel, out) in pixels.chunks_exact(depth).zip(output.chunks_exact_mut(channels)) {
        let (pairs, last) = matrix.weights.channels.as_chunks::<2>();
        let (pair_taps, last_taps) = split(matrix.weights.taps, pairs.len() * 2 * depth);
        let (pair_outputs, last_output) = out.as_chunks_mut::<2>();
        for ((pair, taps), out) in pairs.iter().zip(pair_taps.chunks_exact((2 * depth).max(1))).zip(pair_outputs) {
            let sums = two_sums([pair[0].bias, pair[1].bias], taps, split(pixel, matrix.fours));
            *out = array::from_fn(|i| matrix.finish(&pair[i], sums[i], out[i]));
        }
        if let ([channel], [out]) = (last, last_output) {
            *out = matrix.finish(channel, one_sum(channel.bias, last_taps, split(pixel, matrix.fours)), *out);
        }
    }
}

impl Matrix<'_> {
    /// From a sum to an output; `before` is what lies there, a residual's input.
    #[inline(always)]
    pub fn finish(&self, channel: &Channel, sum: i32, before: i8) -> i8 {
        let added = self.residual.map_or(0, |residual| residual.product(before));
        narrow(channel.scaled(sum).wrapping_add(added), self.zero).max(self.floor)
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

impl Filter<'_> {
    /// Values of a row of the ring.
    pub fn row(&self) -> usize {
        self.width * self.weights.channels.len()
    }

    /// As many channels at a time as there are lanes, which divide the number of channels. Windows of a known kernel that
    /// reach past no side of the map add values as they are; the sums of others start as if all of them were padding.
    #[inline(always)]
    pub fn apply_by<const LANES: usize>(
        &self,
        (y, x): (usize, usize),
        count: usize,
        ring: &[i8],
        step: usize,
        output: &mut [i8],
    ) {
        let kernel = self.kernel.max(1);
        let groups = (self.weights.channels.len() / LANES).max(1);
        let ring = ring.as_chunks::<LANES>().0;
        let rows = Overlap::new(y, kernel, self.stride, self.height);
        let mut lines = [0; KERNEL_LIMIT as usize];
        for (row, line) in (rows.skipped..rows.skipped + rows.len).zip(&mut lines) {
            *line = (y * self.stride + row) % kernel * self.width * groups;
        }
        let mut weights = self.weights;
        for group in 0..groups {
            let own = weights.take(LANES, LANES * kernel * kernel);
            let Some(channels) = own.channels.first_chunk::<LANES>() else { return };
            let mut taps = [[0; LANES]; MOST_TAPS];
            for (lane, own) in (0..LANES).zip(own.taps.chunks_exact((kernel * kernel).max(1))) {
                own.iter().zip(&mut taps).for_each(|(&tap, taps)| taps[lane] = tap);
            }
            // What padding adds: all of a window, and the rows that lie outside of the map.
            let bias = channels.map(|channel| channel.bias);
            let padding = |sums, taps: &[[u8; LANES]]| {
                taps.iter().fold(sums, |sums, taps| add(sums, taps, &[self.padding; LANES], 0))
            };
            let all = padding(bias, part(&taps, 0, kernel * kernel));
            let above = padding(bias, part(&taps, 0, rows.skipped * kernel));
            let below = rows.skipped + rows.len;
            let outside = padding(above, part(&taps, below * kernel, (kernel - below) * kernel));
            for i in 0..count {
                let columns = Overlap::new(x + i, kernel, self.stride, self.width);
                let rows =
                    (rows.skipped..below).zip(&lines).map(|(row, line)| (row, line + columns.start * groups + group));
                let inside = Inside { ring, taps: &taps, groups };
                let sums = match (columns.len == kernel, kernel) {
                    (true, 3) => inside.add_rows::<3>(outside, rows),
                    (true, 5) => inside.add_rows::<5>(outside, rows),
                    (true, 7) => inside.add_rows::<7>(outside, rows),
                    _ => rows.fold(all, |sums, (row, line)| {
                        let taps = part(&taps, row * kernel + columns.skipped, columns.len);
                        let values = taps.iter().enumerate().map(|(i, taps)| (taps, ring.get(line + i * groups)));
                        values.fold(sums, |sums, (taps, values)| match values {
                            Some(values) => add(sums, taps, values, self.padding),
                            None => sums,
                        })
                    }),
                };
                let Some(output) = rest_mut(output, i * step + group * LANES).first_chunk_mut::<LANES>() else {
                    return;
                };
                for lane in 0..LANES {
                    output[lane] = narrow(channels[lane].scaled(sums[lane]), self.zero).max(self.floor);
                }
            }
        }
    }
}

/// Windows that lie inside their map, of some channels.
struct Inside<'a, const LANES: usize> {
    ring: &'a [[i8; LANES]],
    taps: &'a [[u8; LANES]],
    /// From one pixel to the next.
    groups: usize,
}

impl<const LANES: usize> Inside<'_, LANES> {
    /// Adds tap · value of rows of a known kernel: the row of taps, and where its first value lies.
    #[inline(always)]
    fn add_rows<const KERNEL: usize>(
        &self,
        mut sums: [i32; LANES],
        rows: impl Iterator<Item = (usize, usize)>,
    ) -> [i32; LANES] {
        for (row, mut at) in rows {
            let Some(taps) = rest(self.taps, row * KERNEL).first_chunk::<KERNEL>() else { break };
            for taps in taps {
                let Some(values) = self.ring.get(at) else { break };
                sums = add(sums, taps, values, 0);
                at += self.groups;
            }
        }
        sums
    }
}

/// Adds tap · (value − zero) in each lane.
#[inline(always)]
fn add<const LANES: usize>(sums: [i32; LANES], taps: &[u8; LANES], values: &[i8; LANES], zero: i8) -> [i32; LANES] {
    array::from_fn(|lane| {
        let value = i32::from(values[lane]) - i32::from(zero);
        sums[lane].wrapping_add(i32::from(taps[lane] as i8) * value)
    })
}

/// The part of a window that lies inside the map, in one direction.
struct Overlap {
    /// Taps before it.
    skipped: usize,
    /// First position of the map.
    start: usize,
    /// Positions.
    len: usize,
}

impl Overlap {
    /// Of the window that output number `i` has over a map of `size`.
    #[inline(always)]
    fn new(i: usize, kernel: usize, stride: usize, size: usize) -> Self {
        let first = i * stride;
        let half = kernel / 2;
        let skipped = half.saturating_sub(first);
        let start = first.saturating_sub(half);
        let end = (first + half + 1).min(size);
        Self { skipped, start, len: end - start }
    }
}
