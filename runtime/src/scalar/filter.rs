//! Depthwise convolutions of any kernel over rows of whole pixels.

use core::array;

use crate::layer::KERNEL_LIMIT;
use crate::parts::{part, rest, rest_mut};
use crate::stream::Filter;

/// Of a depthwise window.
const MOST_TAPS: usize = KERNEL_LIMIT as usize * KERNEL_LIMIT as usize;

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
                    output[lane] = channels[lane].narrowed(sums[lane], self.zero).max(self.floor);
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
pub(super) struct Overlap {
    /// Taps before it.
    pub skipped: usize,
    /// First position of the map.
    pub start: usize,
    /// Positions.
    pub len: usize,
}

impl Overlap {
    /// Of the window that output number `i` has over a map of `size`.
    #[inline(always)]
    pub fn new(i: usize, kernel: usize, stride: usize, size: usize) -> Self {
        let first = i * stride;
        let half = kernel / 2;
        let skipped = half.saturating_sub(first);
        let start = first.saturating_sub(half);
        let end = (first + half + 1).min(size);
        Self { skipped, start, len: end - start }
    }
}
