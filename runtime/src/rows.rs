//! Images row by row: a camera's line buffer goes straight into the stem, and no memory holds the whole image.
//!
//! ```text
//!   row ─▶ | stem's output ▓▓▓▓▓─▶       | k rows of the image | scratch |
//!          | what the layers after the stem need, at the same place      |
//! ```
//!
//! The stem is a dense convolution: each of its output rows needs as many rows of the image as its kernel is high. They
//! lie one after the other, and move up by the stride from one output row to the next.

use core::fmt;

use crate::layer::{Conv, Layer};
use crate::memory::{Arena, bytes};
use crate::model::{Native, Net};
use crate::parts::{copy, part, part_mut, split_mut};
use crate::plan::{Place, Step, column_bytes, tile_bytes, window_parts};
use crate::quant::{Channel, Quant};
use crate::stream::{Kernels, Matrix, Part, Window};

/// Where the stem's maps lie in the arena.
#[derive(Clone, Copy, Debug)]
struct Stem {
    conv: Conv,
    quant: Quant,
    /// Bytes before its output.
    output: usize,
    /// Bytes before the rows of the image.
    rows: usize,
    /// Bytes before the scratch memory.
    scratch: usize,
    /// Bytes of the arena, the layers after the stem included.
    arena: usize,
}

impl Stem {
    /// Of a net whose first layer is a dense convolution that skips no row. Its output lies where the rest of the net needs the least.
    const fn new(steps: &[Step]) -> Option<Self> {
        let Layer::Conv(conv) = steps[0].layer else { return None };
        if conv.kernel < conv.stride {
            return None;
        }
        let start = Self::at(steps, conv, 0);
        let mut next = 1;
        while next < steps.len() && steps[next].layer.in_place() {
            next += 1;
        }
        if next == steps.len() {
            return Some(start);
        }
        let further = Self::at(steps, conv, steps[next].layer.lead_ascending().next_multiple_of(4));
        Some(if further.arena < start.arena { further } else { start })
    }

    const fn at(steps: &[Step], conv: Conv, output: usize) -> Self {
        let (kernel, row) = (conv.kernel as usize, conv.input.row());
        // The kernels count whole strides from a map's top: that many rows may lie before the first one that they read.
        let end = output + conv.output().len();
        let before = Self::above(&conv) * row;
        let rows = (if end > before { end } else { before }).next_multiple_of(4);
        let scratch = (rows + kernel * row).next_multiple_of(4);
        let depth = kernel * kernel * conv.input.channels as usize;
        let mut arena = scratch + column_bytes(depth) + tile_bytes(window_parts(&conv).0, depth);
        let (mut input, mut i) = (output, 1);
        while i < steps.len() {
            let place = Place::new(steps, i, input);
            let end = place.scratch + steps[i].layer.scratch_bytes();
            arena = if end > arena { end } else { arena };
            input = place.output;
            i += 1;
        }
        Self { conv, quant: steps[0].quant, output, rows, scratch, arena }
    }

    /// Rows between the top of the map that the kernels are shown, and the first row of a window of it.
    const fn above(conv: &Conv) -> usize {
        let half = conv.kernel as usize / 2;
        half.next_multiple_of(conv.stride as usize) - half
    }
}

/// Bytes of the arena in which a net takes its image row by row: less than [`crate::arena_bytes`] by about the image,
/// where the stem is what needs most. 0 where the net does not begin with a dense convolution, or that skips rows.
///
/// ```
/// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
/// assert_eq!(runtime::rows_arena_bytes(&model::STEPS), model::ROWS_ARENA_BYTES);
/// assert_eq!(runtime::rows_arena_bytes(&model::STEPS[1..]), 0, "a pooling comes first");
/// ```
pub const fn rows_arena_bytes(steps: &[Step]) -> usize {
    match Stem::new(steps) {
        Some(stem) => stem.arena,
        None => 0,
    }
}

/// A net that takes its image row by row, with its shapes in its type: rows of `ROW` values in, `CLASSES` scores out,
/// in an arena of `ARENA` bytes. It computes what the [`Model`](crate::Model) of the same steps computes.
///
/// `ofa compile` writes one as `ROWS`.
///
/// ```
/// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
/// use model::ROWS;
///
/// let mut arena = runtime::Arena::new();
/// let mut rows = ROWS.start(&mut arena);
/// for line in [[100, 90], [110, 100]] {
///     rows.push(&line)?;
/// }
/// assert_eq!(runtime::argmax(rows.finish()?), 0, "a bright image");
/// # Ok::<(), runtime::RowCount>(())
/// ```
#[derive(Debug)]
pub struct RowModel<const ROW: usize, const ARENA: usize, const CLASSES: usize> {
    net: Net<'static>,
    stem: Stem,
}

impl<const ROW: usize, const ARENA: usize, const CLASSES: usize> RowModel<ROW, ARENA, CLASSES> {
    /// A model of these steps; in a `static`, a mistake in it is a build error.
    ///
    /// # Panics
    /// Where [`Net::new`] returns an error, the first step is no dense convolution or skips rows, or a number in the type is not the
    /// net's.
    pub const fn new(steps: &'static [Step], channels: &'static [Channel], taps: &'static [u8]) -> Self {
        let net = match Net::new(steps, channels, taps) {
            Ok(net) => net,
            Err(message) => panic!("{}", message),
        };
        let Some(stem) = Stem::new(steps) else { panic!("the net does not begin with a dense convolution") };
        assert!(net.input().row() == ROW, "ROW is not the length of a row of the net's input");
        assert!(stem.arena == ARENA, "ARENA is not the net's rows_arena_bytes");
        assert!(net.classes() == CLASSES, "CLASSES is not the length of the net's output");
        Self { net, stem }
    }

    /// Begins an image.
    pub fn start<'a>(&'a self, arena: &'a mut Arena<ARENA>) -> Rows<'a, ROW, CLASSES> {
        Rows { image: Image::new(&self.net, self.stem, arena.words()) }
    }
}

/// An image on its way into a net.
#[derive(Debug)]
pub struct Rows<'a, const ROW: usize, const CLASSES: usize> {
    image: Image<'a>,
}

impl<'a, const ROW: usize, const CLASSES: usize> Rows<'a, ROW, CLASSES> {
    /// Takes the next row, from the top: each pixel less 128, channels innermost. Runs the stem as far as it gets.
    ///
    /// ```
    /// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
    /// let mut arena = runtime::Arena::new();
    /// let mut rows = model::ROWS.start(&mut arena);
    /// assert_eq!([[100, 90], [110, 100]].map(|line| rows.push(&line)), [Ok(()); 2]);
    /// assert_eq!(rows.push(&[0, 0]), Err(runtime::RowCount::TooMany));
    /// ```
    ///
    /// # Errors
    /// [`RowCount::TooMany`] if the image is whole already.
    pub fn push(&mut self, row: &[i8; ROW]) -> Result<(), RowCount> {
        self.image.push::<Native>(row)
    }

    /// Runs what is left of the net; the scores.
    ///
    /// ```
    /// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
    /// let mut arena = runtime::Arena::new();
    /// let mut rows = model::ROWS.start(&mut arena);
    /// rows.push(&[100, 90])?;
    /// assert_eq!(rows.finish(), Err(runtime::RowCount::Missing(1)));
    /// # Ok::<(), runtime::RowCount>(())
    /// ```
    ///
    /// # Errors
    /// [`RowCount::Missing`] if the image is not whole.
    pub fn finish(self) -> Result<&'a [i8; CLASSES], RowCount> {
        // `new` compared the lengths.
        Ok(self.image.finish::<Native>()?.first_chunk().unwrap_or(const { &[0; CLASSES] }))
    }
}

/// An image that has not as many rows as the net reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowCount {
    /// One more than that.
    TooMany,
    /// So many are missing.
    Missing(u16),
}

impl fmt::Display for RowCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str("the image has more rows than the net reads"),
            Self::Missing(rows) => write!(f, "the image lacks {rows} of the rows that the net reads"),
        }
    }
}

impl core::error::Error for RowCount {}

/// [`Rows`] of any length.
#[derive(Debug)]
struct Image<'a> {
    net: &'a Net<'a>,
    stem: Stem,
    arena: &'a mut [u32],
    /// Rows of the image that came.
    taken: u16,
    /// Rows, of the image or of padding, that lie in the arena.
    held: usize,
    /// The output row that is next.
    next: usize,
}

impl<'a> Image<'a> {
    fn new(net: &'a Net<'a>, stem: Stem, arena: &'a mut [u32]) -> Self {
        let mut image = Self { net, stem, arena, taken: 0, held: 0, next: 0 };
        (0..stem.conv.kernel / 2).for_each(|_| image.hold(None));
        image
    }

    fn push<K: Kernels>(&mut self, row: &[i8]) -> Result<(), RowCount> {
        if self.taken == self.stem.conv.input.height {
            return Err(RowCount::TooMany);
        }
        self.taken += 1;
        self.hold(Some(row));
        self.advance::<K>();
        Ok(())
    }

    fn finish<K: Kernels>(mut self) -> Result<&'a [i8], RowCount> {
        let Self { stem, taken, .. } = self;
        if taken < stem.conv.input.height {
            return Err(RowCount::Missing(stem.conv.input.height - taken));
        }
        while self.next < usize::from(stem.conv.output().height) {
            self.hold(None);
            self.advance::<K>();
        }
        Ok(self.net.run_from::<K>(1, stem.output, self.arena, |_, _, _| ()))
    }

    /// Keeps a row, `None` for one of padding.
    fn hold(&mut self, row: Option<&[i8]>) {
        let len = self.stem.conv.input.row();
        let place = part_mut(bytes(self.arena), self.stem.rows + self.held * len, len);
        match row {
            Some(row) => copy(row, place),
            None => place.fill(self.stem.quant.input_zero),
        }
        self.held += 1;
    }

    /// Makes the next output row if its window is there, and drops the rows that no other window has.
    fn advance<K: Kernels>(&mut self) {
        let conv = self.stem.conv;
        let kernel = usize::from(conv.kernel);
        if self.held < kernel {
            return;
        }
        if self.next < usize::from(conv.output().height) {
            self.give::<K>();
            self.next += 1;
        }
        let (stride, row) = (usize::from(conv.stride), conv.input.row());
        let rows = part_mut(bytes(self.arena), self.stem.rows, kernel * row);
        if stride * row <= rows.len() {
            rows.copy_within(stride * row.., 0);
        }
        self.held = kernel - stride;
    }

    fn give<K: Kernels>(&mut self) {
        let Stem { conv, quant, output, rows, scratch, .. } = self.stem;
        let mut weights = self.net.weights();
        let taps = weights.take(conv.channels.into(), conv.matrix_taps());
        let matrix = Matrix::new(taps, conv.activation, quant.output(conv.activation));
        let matrix = Matrix { fours: conv.order().fours(), ..matrix };
        let table = weights.take_table(conv.activation);
        let (maps, scratch) = split_mut(self.arena, scratch / 4);
        let maps = bytes(maps);
        let (kernel, stride, row) = (usize::from(conv.kernel), usize::from(conv.stride), conv.input.row());
        // A map of the window's rows alone: none of them is padding, that is among them as rows.
        let above = Stem::above(&conv);
        let shown = Conv { input: crate::Shape { height: (above + kernel) as u16, ..conv.input }, ..conv };
        let window = Window { conv: &shown, padding: quant.input_zero };
        let y = (above + kernel / 2) / stride.max(1);
        let (map, channels) = (conv.output(), usize::from(conv.channels));
        let (width, segment) = (usize::from(map.width), window_parts(&conv).0);
        for x in (0..width).step_by(segment) {
            let count = segment.min(width - x);
            let input = part(maps, rows - above * row, (above + kernel) * row);
            K::load_windows(&window, &Part { y, x, count, first: 0, all: count }, input, scratch);
            let output = part_mut(maps, output + self.next * map.row() + x * channels, count * channels);
            K::multiply(&matrix, count, output, scratch);
            if let Some(table) = &table {
                table.map(output);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::Dsp;
    use crate::scalar::Scalar;
    use crate::tests::{cases, nets};
    use proptest::prelude::*;
    use std::vec;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(cases(512)))]

        #[test]
        fn row_by_row_a_net_computes_the_same(sample in nets()) {
            let net = sample.net();
            let Some(stem) = Stem::new(net.steps()) else { return Ok(()) };
            let mut arena = vec![0x5555_5555; net.arena_bytes() / 4];
            bytes(&mut arena)[..sample.image.len()].copy_from_slice(&sample.image);
            let scores = net.run(&mut arena).to_vec();
            let mut arena = vec![0xAAAA_AAAA; stem.arena / 4];
            let mut rows = Image::new(&net, stem, &mut arena);
            for row in sample.image.chunks(net.input().row()) {
                prop_assert!(rows.push::<Scalar>(row).is_ok());
            }
            prop_assert_eq!(rows.finish::<Scalar>(), Ok(&scores[..]));
            let mut rows = Image::new(&net, stem, &mut arena);
            for row in sample.image.chunks(net.input().row()) {
                prop_assert!(rows.push::<Dsp>(row).is_ok());
            }
            prop_assert_eq!(rows.push::<Dsp>(&sample.image), Err(RowCount::TooMany));
            prop_assert_eq!(rows.finish::<Dsp>(), Ok(&scores[..]));
            if net.input().height > 1 {
                let mut rows = Image::new(&net, stem, &mut arena);
                prop_assert!(rows.push::<Dsp>(&sample.image[..net.input().row()]).is_ok());
                prop_assert_eq!(rows.finish::<Dsp>(), Err(RowCount::Missing(net.input().height - 1)));
            }
        }
    }
}
