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
use crate::plan::quads;
use crate::quant::Channel;
use crate::stream::Filter;
use crate::weights::Weights;

/// Outputs of four channels that are made at a time.
pub(crate) const LINE: usize = 16;

/// The largest kernel that has code of its own.
const LARGEST: usize = 7;

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

    /// Widens four channels, from `first` on, into slot `slot` of their part of a ring.
    pub fn fill(&self, first: usize, slot: usize, ring: &mut [u32]) {
        for (quad, ring) in ring.chunks_exact_mut(8 * self.kernel).enumerate() {
            for (channel, ring) in ring.chunks_exact_mut(2 * self.kernel).enumerate() {
                let value = |i: usize| self.value(quad * 4 + i, first + channel);
                ring[2 * slot] = pair(value(0), value(1));
                ring[2 * slot + 1] = pair(value(2), value(3));
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
        for (quad, ring) in ring.chunks_exact_mut(self.quad_words()).enumerate() {
            self.take_quad(slot, row, self.filter.weights.channels.len(), 4 * quad, ring);
        }
    }

    /// Takes four channels of a row, from `first` on, of pixels with `channels` values.
    pub fn take_quad(&self, slot: usize, row: &[i8], channels: usize, first: usize, ring: &mut [u32]) {
        let source = Source { row, channels, kernel: self.filter.kernel, padding: self.filter.padding };
        arch::fill(&source, first, slot, ring);
    }

    /// `count` outputs from `x` on, a multiple of 4, of four channels whose part of the ring this is, a word for each.
    pub fn apply(&self, tables: &Tables, x: usize, count: usize, ring: &[u32], line: &mut [u32; LINE]) {
        let from = x / 4 * self.filter.stride * 8 * self.filter.kernel;
        arch::filter(self.filter.stride, &ring[from..], tables, self.filter.zero, count.div_ceil(4), line);
    }

    /// The parts of the ring of four channels each.
    pub fn parts<'r>(&self, ring: &'r [u32]) -> impl Iterator<Item = &'r [u32]> {
        ring.chunks_exact(self.quad_words())
    }
}

/// Taps of four channels, widened to pairs: a row has (0, 1), (1, 2), (2, 3) and so on.
#[derive(Debug)]
pub(crate) struct Tables {
    pub kernel: usize,
    pub channels: [Channel; 4],
    words: [[u32; ROWS * (LARGEST - 1)]; 4],
    /// The row for slot 0.
    first: usize,
}

/// Rows of a table: those of a kernel, and once more all but the last, so that they can begin with any.
const ROWS: usize = 2 * LARGEST - 1;

impl Tables {
    /// From one channel's rows to the next.
    #[cfg(ofa_dsp)]
    pub const STEP_BYTES: usize = ROWS * (LARGEST - 1) * 4;

    pub const fn new(kernel: usize) -> Self {
        let nothing = Channel { bias: 0, multiplier: 0 };
        Self { kernel, channels: [nothing; 4], words: [[0; ROWS * (LARGEST - 1)]; 4], first: 0 }
    }

    /// Takes the taps of four channels for windows that begin in slot `turn`, and no others.
    pub fn take(&mut self, weights: Weights<'_>, turn: usize) {
        self.first = 0;
        self.widen(weights, |row, kernel| {
            let slot = row + turn;
            [if slot < kernel { slot } else { slot - kernel }; 2]
        });
    }

    /// Takes the taps of four channels for windows that [`turn`](Self::turn) as they like.
    pub fn take_all(&mut self, weights: Weights<'_>) {
        self.widen(weights, |row, kernel| [row, if row + 1 < kernel { row + kernel } else { row }]);
        self.turn(0);
    }

    /// Windows begin in slot `turn`.
    pub fn turn(&mut self, turn: usize) {
        self.first = (self.kernel - turn) % self.kernel;
    }

    /// Writes each row of taps to two places.
    fn widen(&mut self, weights: Weights<'_>, places: impl Fn(usize, usize) -> [usize; 2]) {
        let kernel = self.kernel;
        self.channels.copy_from_slice(&weights.channels[..4]);
        for (table, taps) in self.words.iter_mut().zip(weights.taps.chunks_exact(kernel * kernel)) {
            for (row, taps) in taps.chunks_exact(kernel).enumerate() {
                for place in places(row, kernel) {
                    let words = &mut table[place * (kernel - 1)..][..kernel - 1];
                    for (word, taps) in words.iter_mut().zip(taps.windows(2)) {
                        *word = pair(taps[0] as i8, taps[1] as i8);
                    }
                }
            }
        }
    }

    /// A channel's pairs, from the row for slot 0 on.
    pub fn rows(&self, channel: usize) -> &[u32] {
        &self.words[channel][self.first * (self.kernel - 1)..][..self.kernel * (self.kernel - 1)]
    }
}
