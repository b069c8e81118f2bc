//! How a block holds its expanded map, which is by far its largest.
//!
//! ```text
//!   wide     a ring of k rows, int16 with padding: each row is widened once                        the fastest
//!   narrow   a ring of k rows, int8: four channels at a time are widened again for each output row
//!   tight    the same, and the filtered row goes over the row that no later window has, before it is widened for project
//!   whole    all rows, int8: small maps, on which k rows with padding are more than all without
//!   grouped  a ring of k rows, int8, of some channels: the filtered map is what is held, a band of it      the smallest
//! ```
//!
//! A ring of k rows is more than half of a map of less than 2k rows: such a block goes [by groups](crate::grouped) of
//! channels, if it is a large one. Kernels that compute on int8 hold a map as planned too, but what they do is the same.

use crate::layer::{Block, Depthwise, Shape};
use crate::plan::{SEGMENT, long_segment, max, min, quads, segment, tile_bytes, words};

/// How a block holds its expanded map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    Wide,
    Narrow,
    Tight,
    Whole,
    /// So many channels at a time, for a band of so many output rows.
    Grouped {
        rows: usize,
        channels: usize,
    },
}

/// Pixels that a matrix takes at a time of a map that is held whole.
pub(crate) const TOGETHER: usize = 8;

/// Bytes of input and scratch memory up to which a block is left as fast as it is.
const PLENTY: usize = 9 << 10;

impl Block {
    /// How a block without tables and squeeze-and-excite is held, and the bytes of its scratch memory: in the one of the two
    /// fast ways that needs less, or a narrow ring where that saves enough of input and scratch memory together. That is a
    /// third; or a sixth, where a ring would take more than half of what the block takes layer by layer, or a whole map all
    /// of it, or more than the half that the narrow ring keeps to. Where that does not, a tight one takes its place if it does,
    /// or else, where it is not little, groups of channels that do, or a tight one still where a narrow one saves little.
    pub(crate) const fn held(&self) -> (Held, usize) {
        let (input, layer_by_layer) = (self.input.len(), self.unfused_bytes());
        let (wide, narrow) = (self.wide_bytes(), self.narrow_bytes());
        let (half, narrow_needs) = (layer_by_layer / 2, input + narrow);
        let (fast, bytes, at_most) = match self.whole_bytes() {
            Some(whole) if whole < wide => {
                (Held::Whole, whole, if narrow_needs > half { layer_by_layer } else { half })
            }
            _ => (Held::Wide, wide, half),
        };
        let fast_needs = input + bytes;
        let saves_third = 3 * narrow_needs <= 2 * fast_needs;
        let saves_sixth = 6 * narrow_needs <= 5 * fast_needs;
        if !(saves_third || saves_sixth && fast_needs > at_most) {
            return (fast, bytes);
        }
        if narrow_needs <= half {
            return (Held::Narrow, narrow);
        }
        let tight = self.tight_bytes();
        if input + tight > max(half, PLENTY)
            && let Some(grouped) = self.grouped()
        {
            return grouped;
        }
        let saves_little = narrow_needs > PLENTY && 4 * narrow_needs > 3 * layer_by_layer;
        if tight < narrow && (input + tight <= half || saves_little) {
            return (Held::Tight, tight);
        }
        (Held::Narrow, narrow)
    }

    /// Pixels of the filtered map that project takes at a time, where it is held whole or grouped: few, as there the tile is
    /// what needs the most memory.
    pub(crate) const fn together(&self) -> usize {
        let (pixels, maps) = (pixels(self.output()), self.input.len() + self.expanded_map().len());
        let [four, eight] =
            [maps + tile_bytes(4, self.expanded as usize), maps + tile_bytes(8, self.expanded as usize)];
        if pixels < 16 && eight > PLENTY && four <= PLENTY { 4 } else { TOGETHER }
    }

    /// Bytes of the scratch memory of a block that holds a ring so.
    pub(crate) const fn ring_bytes(&self, held: Held) -> usize {
        match held {
            Held::Wide | Held::Whole => self.wide_bytes(),
            Held::Narrow => self.narrow_bytes(),
            Held::Tight => self.tight_bytes(),
            Held::Grouped { rows, channels } => self.grouped_bytes(rows, channels),
        }
    }

    /// Bytes at the start of the scratch memory that hold what later rows need. Those behind them hold nothing from one
    /// row to the next. Of blocks that hold a ring.
    pub(crate) const fn kept_bytes(&self, held: Held) -> usize {
        match held {
            Held::Wide | Held::Whole | Held::Grouped { .. } => self.wide_ring(),
            Held::Narrow | Held::Tight => self.narrow_ring(),
        }
    }

    const fn wide_ring(&self) -> usize {
        (self.expanded as usize).next_multiple_of(4) * self.quads() * self.kernel as usize * 8
    }

    /// The ring, and beside it an expanded row or the tiles of one of the two matrices.
    const fn wide_bytes(&self) -> usize {
        let row = if self.expands() { words(self.expanded_map().row()) * 4 } else { 0 };
        let project = tile_bytes(segment(self.output().width), self.expanded as usize);
        self.wide_ring() + max(row + self.expand_tile(), project)
    }

    const fn narrow_ring(&self) -> usize {
        words(self.kernel as usize * self.expanded_map().row()) * 4
    }

    /// The ring, and beside it the tile of expand, or four channels widened with the tiles of project for a whole row.
    const fn narrow_bytes(&self) -> usize {
        let width = self.output().width;
        let segment = long_segment(width);
        let tiles = (width as usize).div_ceil(segment) * tile_bytes(segment, self.expanded as usize);
        self.narrow_ring() + max(self.expand_tile(), self.plane() + tiles)
    }

    /// The ring, and beside it the tile of one of the two matrices, or four channels widened with their outputs.
    const fn tight_bytes(&self) -> usize {
        let width = self.output().width;
        let (outputs, project) =
            (tile_bytes(width as usize, 4), tile_bytes(long_segment(width), self.expanded as usize));
        self.narrow_ring() + max(max(self.expand_tile(), project), self.plane() + outputs)
    }

    /// Four channels of a narrow ring, widened.
    const fn plane(&self) -> usize {
        self.quads() * self.kernel as usize * 32
    }

    /// The map, and beside it what one of the three convolutions needs. `None` where the depthwise output cannot take
    /// its input's place.
    const fn whole_bytes(&self) -> Option<usize> {
        let Self { kernel, stride, activation, .. } = *self;
        let depthwise = Depthwise { input: self.expanded_map(), kernel, stride, activation };
        if !self.expands() || !depthwise.may_overwrite() {
            return None;
        }
        let expand = tile_bytes(min(pixels(self.input), TOGETHER), self.input.channels as usize);
        let project = tile_bytes(min(pixels(self.output()), self.together()), self.expanded as usize);
        Some(words(depthwise.input.len()) * 4 + max(max(expand, project), depthwise.plane_bytes()))
    }

    /// Bytes of a tile of the expanding matrix, for a row.
    const fn expand_tile(&self) -> usize {
        let pixels = min(self.input.width as usize, SEGMENT);
        if self.expands() { tile_bytes(pixels, self.input.channels as usize) } else { 0 }
    }

    const fn quads(&self) -> usize {
        quads(self.output().width, self.kernel, self.stride)
    }
}

pub(crate) const fn pixels(map: Shape) -> usize {
    map.height as usize * map.width as usize
}
