//! Depthwise convolutions of rows that lie widened in a ring.
//!
//! ```text
//!   four channels:  values 0–3 of a row ─┬─ channel 0: slot 0 | slot 1 | … slot k−1      two words each
//!                                        ├─ channel 1: …
//!                                        └─ channels 2, 3
//!                   values 4–7 …
//! ```
//!
//! Values are counted from the row's padding on, so output x has its window at value `x · stride`.

use super::arch::{self, pair};
use super::matrix::{self, CHUNK_PAIRS};
use crate::memory::bytes;
use crate::parts::{part, part_mut, rest, rest_mut, split_mut, value};
use crate::plan::{Place, plane_band, plane_rows, quads};
use crate::stream::Filter;

/// The ring of a filter that has code of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub filter: &'a Filter<'a>,
    quads: usize,
}

/// A row on its way into a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    /// From the first channel of the first pixel on.
    pub row: &'a [i8],
    /// From one pixel to the next.
    pub step: usize,
    pub pixels: usize,
    /// A multiple of four.
    pub channels: usize,
    pub kernel: usize,
    pub padding: i8,
    /// Rows, for as many slots; of four channels, if they are more than one.
    pub rows: usize,
    pub row_step: usize,
}

impl Source<'_> {
    /// Value `i` of a channel, counted from the padding on.
    fn value(&self, row: usize, i: usize, channel: usize) -> i8 {
        let pixel = i.checked_sub(self.kernel / 2).filter(|&x| x < self.pixels);
        pixel.map_or(self.padding, |x| value(self.row, row * self.row_step + x * self.step + channel))
    }

    /// Widens all channels into the slots of a ring from `slot` on.
    pub fn fill(&self, slot: usize, ring: &mut Ring<'_>) {
        for (quad, words) in ring.words.chunks_exact_mut(ring.quad_words.max(1)).take(self.channels / 4).enumerate() {
            for (i, words) in words.chunks_exact_mut((2 * ring.rows).max(1)).enumerate() {
                for (row, words) in
                    rest_mut(words, 2 * slot).as_chunks_mut::<2>().0.iter_mut().take(self.rows).enumerate()
                {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|j| self.value(row, i / 4 * 4 + j, quad * 4 + i % 4));
                    *words = [pair(a, b), pair(c, d)];
                }
            }
        }
    }
}

/// Rows, widened.
#[derive(Debug)]
pub(crate) struct Ring<'a> {
    pub words: &'a mut [u32],
    /// Slots.
    pub rows: usize,
    /// From four channels to the next.
    pub quad_words: usize,
}

impl Ring<'_> {
    /// Makes all of it padding, of which rows then overwrite their part.
    pub fn begin(&mut self, padding: i8) {
        self.words.fill(pair(padding, padding));
    }

    /// Makes a slot a row of padding.
    pub fn pad(&mut self, slot: usize, padding: i8) {
        for channel in self.words.chunks_exact_mut((2 * self.rows).max(1)) {
            if let Some(words) = channel.as_chunks_mut::<2>().0.get_mut(slot) {
                *words = [pair(padding, padding); 2];
            }
        }
    }
}

impl<'a> Rows<'a> {
    /// `None` for kernels that are not 3, 5 or 7, and channels that are no multiple of 4.
    pub fn new(filter: &'a Filter<'a>) -> Option<Self> {
        let own = matches!(filter.kernel, 3 | 5 | 7) && filter.weights.channels.len().is_multiple_of(4);
        own.then(|| Self { filter, quads: quads(filter.output_width as u16, filter.kernel as u8, filter.stride as u8) })
    }

    pub fn channel_quads(&self) -> usize {
        self.filter.weights.channels.len() / 4
    }

    /// Words of four channels.
    pub fn quad_words(&self) -> usize {
        self.quads * 8 * self.filter.kernel
    }

    pub fn ring_words(&self) -> usize {
        self.channel_quads() * self.quad_words()
    }

    /// The ring in these words.
    pub fn ring<'r>(&self, words: &'r mut [u32]) -> Ring<'r> {
        Ring { words, rows: self.filter.kernel, quad_words: self.quad_words() }
    }

    /// A row of pixels.
    pub fn source<'r>(&self, row: &'r [i8]) -> Source<'r> {
        let Filter { kernel, padding, width, weights, .. } = *self.filter;
        let channels = weights.channels.len();
        Source { row, step: channels, pixels: width, channels, kernel, padding, rows: 1, row_step: 0 }
    }

    /// `count` outputs of row `y` from `x` on, a multiple of 4, of all channels into a tile.
    pub fn apply(&self, y: usize, x: usize, count: usize, ring: &[u32], tile: &mut [u32]) {
        let Filter { kernel, stride, .. } = *self.filter;
        for first in (0..self.channel_quads()).step_by(CHUNK_QUADS) {
            let quads = (self.channel_quads() - first).min(CHUNK_QUADS);
            let part = Part {
                filter: self.filter,
                ring: rest(ring, first * self.quad_words() + x / 4 * stride * 8 * kernel),
                quad_words: self.quad_words(),
                first,
                quads,
                chunk: quads,
                groups: count.div_ceil(4),
                turn: y * stride % kernel.max(1),
            };
            part.run(count, tile);
        }
    }
}

/// Quads of channels whose outputs lie in one chunk of a tile.
pub(super) const CHUNK_QUADS: usize = CHUNK_PAIRS / 2;

/// A part of a row's outputs: `groups` of four pixels, `quads` of four channels from quad `first` on, all in one chunk of
/// a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub filter: &'a Filter<'a>,
    /// From the first window of the first channel on.
    pub ring: &'a [u32],
    /// From four channels to the next.
    pub quad_words: usize,
    pub first: usize,
    pub quads: usize,
    /// Quads of the chunk of the tile that they lie in.
    pub chunk: usize,
    pub groups: usize,
    /// The slot in which windows begin.
    pub turn: usize,
}

impl Part<'_> {
    /// Its `count` outputs into a tile. That of a single pixel is no chunk of groups.
    pub fn run(&self, count: usize, tile: &mut [u32]) {
        if count > 1 {
            let depth = self.filter.weights.channels.len();
            return arch::filter(self, rest_mut(tile, matrix::at(self.groups, depth, 0, 2 * self.first)));
        }
        let mut group = [0; 8 * CHUNK_QUADS];
        arch::filter(&Self { chunk: self.quads, ..*self }, &mut group);
        let pairs = part(&group, 0, 8 * self.quads).as_chunks::<4>().0.iter().zip(rest_mut(tile, 2 * self.first));
        pairs.for_each(|(pixels, pair)| *pair = pixels[0]);
    }
}

/// Whole channels, four at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plane<'a> {
    pub filter: &'a Filter<'a>,
    /// First of the four channels.
    pub first: usize,
    /// The ring's words.
    pub words: &'a [u32],
    /// Output rows; the window of row 0 begins in slot 0.
    pub rows: usize,
}

/// Where outputs go, from the first channel of the first pixel on.
#[derive(Debug)]
pub(crate) struct Pixels<'a> {
    pub values: &'a mut [i8],
    /// From one pixel to the next.
    pub step: usize,
    /// From one row to the next.
    pub row: usize,
}

/// The depthwise convolution of a map, channels that are a multiple of four, band after band of rows.
pub(super) fn depthwise(filter: &Filter<'_>, outputs: usize, maps: &mut [i8], place: &Place, scratch: &mut [u32]) {
    let Filter { kernel, stride, width, output_width, padding, floor, .. } = *filter;
    let channels = filter.weights.channels.len();
    let rows = plane_rows(stride as u8);
    let quad_words = quads(output_width as u16, kernel as u8, stride as u8) * 8 * rows;
    let (words, line) = split_mut(scratch, quad_words);
    let line = part_mut(bytes(line), 0, 4 * output_width.next_multiple_of(4));
    let mut ring = Ring { words, rows, quad_words };
    // Rows overwrite all but the padding that they do not reach.
    if (width + kernel / 2).div_ceil(4) * 8 * rows < quad_words {
        ring.begin(padding);
    }
    let band = plane_band(kernel, stride);
    let spilled = (output_width.next_multiple_of(4) - output_width).div_ceil(output_width.max(1));
    let row_bytes = output_width * channels;
    for first in (0..channels).step_by(4) {
        for y in (0..outputs).step_by(band) {
            let count = band.min(outputs - y);
            // Slots from `above` to `below` are rows of the map.
            let (slots, start) = ((count - 1) * stride + kernel, y * stride);
            let above = (kernel / 2).saturating_sub(start).min(slots);
            let below = (filter.height + kernel / 2).saturating_sub(start).clamp(above, slots);
            // A single band has the same for all channels.
            if first == 0 || outputs > band {
                (0..above).chain(below..slots).for_each(|slot| ring.pad(slot, padding));
            }
            if above < below {
                let row = start + above - kernel / 2;
                let source = Source {
                    row: rest(maps, place.input + row * width * channels + first),
                    step: channels,
                    pixels: width,
                    channels: 4,
                    kernel,
                    padding,
                    rows: below - above,
                    row_step: width * channels,
                };
                arch::fill(&source, above, &mut ring);
            }
            // Groups of four write too much behind their row, which the rows below mend; the last rows have none.
            let direct = outputs.saturating_sub(spilled + y).min(count);
            let plane = Plane { filter, first, words: ring.words, rows: direct };
            let output = part_mut(maps, place.output + y * row_bytes, (outputs - y) * row_bytes);
            if direct > 0 {
                let values = rest_mut(output, first);
                arch::plane(&plane, Pixels { values, step: channels, row: row_bytes });
            }
            let output = part_mut(output, 0, count * row_bytes);
            for (row, output) in output.chunks_exact_mut(row_bytes.max(1)).enumerate().skip(direct) {
                let words = rest(plane.words, 2 * row * stride);
                arch::plane(&Plane { words, rows: 1, ..plane }, Pixels { values: line, step: 4, row: 0 });
                let pixels = output.chunks_exact_mut(channels.max(1)).zip(line.as_chunks::<4>().0);
                pixels.for_each(|(pixel, values)| {
                    if let Some(own) = rest_mut(pixel, first).first_chunk_mut() {
                        *own = *values;
                    }
                });
            }
            if floor > i8::MIN {
                for pixel in output.chunks_exact_mut(channels.max(1)) {
                    part_mut(pixel, first, 4).iter_mut().for_each(|value| *value = (*value).max(floor));
                }
            }
        }
    }
}
