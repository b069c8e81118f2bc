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
use crate::plan::quads;
use crate::stream::Filter;

/// The ring of a filter that has code of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    filter: &'a Filter<'a>,
    quads: usize,
}

/// A row on its way into the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub row: &'a [i8],
    /// Of a pixel.
    pub channels: usize,
    pub kernel: usize,
    pub padding: i8,
}

impl Source<'_> {
    /// Value `i` of a channel, counted from the padding on.
    pub fn value(&self, i: usize, channel: usize) -> i8 {
        let pixel = i.checked_sub(self.kernel / 2).and_then(|x| self.row.get(x * self.channels + channel));
        pixel.copied().unwrap_or(self.padding)
    }

    /// Widens all channels into slot `slot` of a ring, which has `quad_words` for each four channels.
    pub fn fill(&self, slot: usize, quad_words: usize, ring: &mut [u32]) {
        for (i, ring) in ring.chunks_exact_mut(2 * self.kernel).enumerate() {
            let quad = i * 2 * self.kernel / quad_words;
            let (four, channel) = ((i - quad * quad_words / (2 * self.kernel)) / 4, quad * 4 + i % 4);
            let value = |i: usize| self.value(four * 4 + i, channel);
            ring[2 * slot] = pair(value(0), value(1));
            ring[2 * slot + 1] = pair(value(2), value(3));
        }
    }
}

impl<'a> Rows<'a> {
    /// `None` for kernels that are not 3, 5 or 7, and channels that are no multiple of 4.
    pub fn new(filter: &'a Filter<'a>) -> Option<Self> {
        let own = matches!(filter.kernel, 3 | 5 | 7) && filter.weights.channels.len().is_multiple_of(4);
        own.then(|| Self {
            filter,
            quads: quads(filter.output_width as u16, filter.kernel as u8, filter.stride as u8),
        })
    }

    pub fn channel_quads(&self) -> usize {
        self.filter.weights.channels.len() / 4
    }

    /// Words of four channels.
    fn quad_words(&self) -> usize {
        self.quads * 8 * self.filter.kernel
    }

    pub fn ring_words(&self) -> usize {
        self.channel_quads() * self.quad_words()
    }

    /// Makes all of it padding, of which rows then overwrite their part.
    pub fn begin(&self, ring: &mut [u32]) {
        let padding = pair(self.filter.padding, self.filter.padding);
        ring.iter_mut().for_each(|word| *word = padding);
    }

    /// Makes a slot a row of padding.
    pub fn pad(&self, slot: usize, ring: &mut [u32]) {
        let padding = pair(self.filter.padding, self.filter.padding);
        for channel in ring.chunks_exact_mut(2 * self.filter.kernel) {
            channel[2 * slot] = padding;
            channel[2 * slot + 1] = padding;
        }
    }

    /// Takes a row of pixels into a slot.
    pub fn take(&self, slot: usize, row: &[i8], ring: &mut [u32]) {
        let channels = self.filter.weights.channels.len();
        let source = Source { row, channels, kernel: self.filter.kernel, padding: self.filter.padding };
        arch::fill(&source, slot, self.quad_words(), ring);
    }

    /// `count` outputs of row `y` from `x` on, a multiple of 4, of all channels into a tile.
    pub fn apply(&self, y: usize, x: usize, count: usize, ring: &[u32], tile: &mut [u32]) {
        let Filter { kernel, stride, weights, .. } = *self.filter;
        let (depth, groups) = (weights.channels.len(), count.div_ceil(4));
        for first in (0..self.channel_quads()).step_by(CHUNK_QUADS) {
            let quads = (self.channel_quads() - first).min(CHUNK_QUADS);
            let part = Part {
                filter: self.filter,
                ring: &ring[first * self.quad_words() + x / 4 * stride * 8 * kernel..],
                quad_words: self.quad_words(),
                first,
                quads,
                groups,
                turn: y * stride % kernel,
            };
            if count > 1 {
                arch::filter(&part, &mut tile[matrix::at(groups, depth, 0, 2 * first)..]);
                continue;
            }
            let mut group = [0; 8 * CHUNK_QUADS];
            arch::filter(&part, &mut group);
            let pairs = group[..8 * quads].chunks_exact(4).zip(&mut tile[2 * first..]);
            pairs.for_each(|(pixels, pair)| *pair = pixels[0]);
        }
    }
}

/// Quads of channels whose outputs lie in one chunk of a tile.
const CHUNK_QUADS: usize = CHUNK_PAIRS / 2;

/// A part of a row's outputs: `groups` of four pixels, `quads` of four channels from quad `first` on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub filter: &'a Filter<'a>,
    /// From the first window of the first channel on.
    pub ring: &'a [u32],
    /// From four channels to the next.
    pub quad_words: usize,
    pub first: usize,
    pub quads: usize,
    pub groups: usize,
    /// The slot in which windows begin.
    pub turn: usize,
}
