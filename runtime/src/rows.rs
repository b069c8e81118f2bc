//! Images row by row: a camera's line buffer goes straight into the stem, and no memory holds the whole image.
//!
//! ```text
//!   row ─▶ | stem's output ▓▓▓▓▓─▶       | k rows of the image | scratch |
//!          | what the layers after the stem need, at the same place      |
//! ```
//!
//! The stem is a dense convolution: each of its output rows needs as many rows of the image as its kernel is high. They
//! lie one after the other, and move up by the stride from one output row to the next. Where that takes less, the block
//! behind it [takes the stem's rows](crate::join) as they are made, and what lies there is the block's output. Windows are
//! gathered in smaller parts than where the whole image is there: who gives rows wants the memory.

use core::fmt;

use crate::join::{Flow, Joined, Site};
use crate::layer::{Conv, Layer, Shape};
use crate::memory::{Arena, bytes};
use crate::model::{Native, Net};
use crate::parts::{copy, part_mut, split_mut};
use crate::plan::{Step, bytes_from, max, segment};
use crate::quant::{Channel, Quant};
use crate::stream::{Dense, Kernels};

/// Where the stem's maps lie in the arena.
#[derive(Clone, Copy, Debug)]
struct Stem {
    conv: Conv,
    quant: Quant,
    /// With the block behind it, where the two run as one.
    joined: Option<Joined>,
    /// Bytes before its output, or the block's.
    output: usize,
    /// Bytes before the rows of the image.
    rows: usize,
    /// Bytes before the scratch memory.
    scratch: usize,
    /// Bytes of the arena, the layers behind it included.
    arena: usize,
}

impl Stem {
    /// Of a net whose first layer is a dense convolution that skips no row. It is joined with the block behind it in the way,
    /// and its output lies where the arena is the smallest.
    const fn new(steps: &[Step]) -> Option<Self> {
        let Layer::Conv(conv) = steps[0].layer else { return None };
        if conv.kernel < conv.stride {
            return None;
        }
        let mut smallest = Self::smallest(steps, conv, None);
        let Some(ways) = Joined::ways(steps) else { return Some(smallest) };
        let mut i = 0;
        while i < ways.len() {
            let stem = Self::smallest(steps, conv, Some(ways[i]));
            if stem.arena < smallest.arena {
                smallest = stem;
            }
            i += 1;
        }
        Some(smallest)
    }

    /// Its output at the arena's start, or as far on as the next layer needs that moves the map.
    const fn smallest(steps: &[Step], conv: Conv, joined: Option<Joined>) -> Self {
        let start = Self::at(steps, conv, joined, 0);
        let mut next = start.layers();
        while next < steps.len() && steps[next].layer.in_place() {
            next += 1;
        }
        if next == steps.len() {
            return start;
        }
        let further = Self::at(steps, conv, joined, steps[next].layer.lead_ascending().next_multiple_of(4));
        if further.arena < start.arena { further } else { start }
    }

    const fn at(steps: &[Step], conv: Conv, joined: Option<Joined>, output: usize) -> Self {
        let (kernel, row) = (conv.kernel as usize, conv.input.row());
        let part = Self::part(&conv);
        let joined = match joined {
            Some(joined) => Some(joined.in_parts(part)),
            None => None,
        };
        let mut stem = Self { conv, quant: steps[0].quant, joined, output, rows: 0, scratch: 0, arena: 0 };
        // The kernels count whole strides from a map's top: that many rows may lie before the first one that they read.
        stem.rows = max(output + stem.output().len(), Self::above(&conv) * row).next_multiple_of(4);
        stem.scratch = (stem.rows + kernel * row).next_multiple_of(4);
        let own = match joined {
            Some(joined) => joined.scratch_bytes(),
            None => conv.row_scratch_bytes(part),
        };
        stem.arena = max(stem.scratch + own, bytes_from(steps, stem.layers(), output));
        stem
    }

    /// How many layers it stands for.
    const fn layers(&self) -> usize {
        if self.joined.is_some() { 2 } else { 1 }
    }

    /// The map that it writes.
    const fn output(&self) -> Shape {
        match &self.joined {
            Some(joined) => joined.block.output(),
            None => self.conv.output(),
        }
    }

    /// Where the kernels work: the map that they are shown begins above the rows that lie there.
    const fn site(&self) -> Site {
        let image = self.rows - Self::above(&self.conv) * self.conv.input.row();
        Site { image, output: self.output, scratch: self.scratch }
    }

    /// Windows of a row that are gathered at a time.
    const fn part(conv: &Conv) -> usize {
        segment(conv.output().width)
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
    /// The output row of the stem that is next.
    next: usize,
    /// How far the block has come, where it is joined with the stem.
    flow: Flow,
}

impl<'a> Image<'a> {
    fn new(net: &'a Net<'a>, stem: Stem, arena: &'a mut [u32]) -> Self {
        let mut image = Self { net, stem, arena, taken: 0, held: 0, next: 0, flow: Flow::default() };
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
        self.pad::<K>();
        Ok(self.net.run_from::<K>(stem.layers(), stem.output, self.arena, |_, _, _| ()))
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

    /// Makes the next row of the stem's map, which the block takes if the two are joined.
    fn give<K: Kernels>(&mut self) {
        let Stem { conv, quant, output, scratch, .. } = self.stem;
        // A map of the window's rows alone: none of them is padding, that is among them as rows.
        let (above, kernel) = (Stem::above(&conv), usize::from(conv.kernel));
        let shown = Conv { input: Shape { height: (above + kernel) as u16, ..conv.input }, ..conv };
        let of = (&shown, (above + kernel / 2) / usize::from(conv.stride).max(1));
        let (mut weights, site) = (self.net.weights(), self.stem.site());
        if let Some(joined) = &self.stem.joined {
            let weighed = joined.weighed(weights);
            self.flow.make::<K>(&weighed, of, site, self.arena);
            return self.flow.take::<K>(&weighed, true, site, self.arena);
        }
        let (maps, own) = split_mut(self.arena, scratch / 4);
        let output = output + self.next * conv.output().row();
        Dense { part: Stem::part(&conv), ..Dense::new(&conv, &quant, &mut weights) }.row::<K>(
            of,
            bytes(maps),
            (site.image, output),
            own,
        );
    }

    /// Lets the block take the padding below the stem's map, and make what rows are left.
    fn pad<K: Kernels>(&mut self) {
        let Some(joined) = &self.stem.joined else { return };
        let (weighed, site) = (joined.weighed(self.net.weights()), self.stem.site());
        for _ in 0..joined.block.kernel / 2 {
            self.flow.take::<K>(&weighed, false, site, self.arena);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::Dsp;
    use crate::scalar::Scalar;
    #[cfg(ofa_vectors)]
    use crate::simd::Simd;
    use crate::tests::{config, nets};
    use proptest::prelude::*;
    use std::vec::Vec;
    use std::{assert_eq, vec};

    /// In an arena of exactly the planned size with anything in it.
    fn row_by_row<K: Kernels>(net: &Net<'_>, stem: Stem, image: &[i8]) -> Vec<i8> {
        let mut arena = vec![0xAAAA_AAAA; stem.arena / 4];
        let mut rows = Image::new(net, stem, &mut arena);
        image.chunks(net.input().row()).for_each(|row| assert_eq!(rows.push::<K>(row), Ok(())));
        rows.finish::<K>().expect("the image is whole").to_vec()
    }

    proptest! {
        #![proptest_config(config(512))]

        #[test]
        fn row_by_row_a_net_computes_the_same(sample in nets()) {
            let net = sample.net();
            let Some(stem) = Stem::new(net.steps()) else { return Ok(()) };
            let mut arena = vec![0x5555_5555; net.arena_bytes() / 4];
            bytes(&mut arena)[..sample.image.len()].copy_from_slice(&sample.image);
            let scores = net.run(&mut arena).to_vec();
            // Whether or not it is smaller so.
            let ways = Joined::ways(net.steps()).into_iter().flatten().map(Some);
            for way in ways.chain([None]) {
                let stem = Stem::smallest(net.steps(), stem.conv, way);
                prop_assert_eq!(&row_by_row::<Scalar>(&net, stem, &sample.image), &scores);
                prop_assert_eq!(&row_by_row::<Dsp>(&net, stem, &sample.image), &scores);
                #[cfg(ofa_vectors)]
                prop_assert_eq!(&row_by_row::<Simd>(&net, stem, &sample.image), &scores);
            }
            let mut arena = vec![0; stem.arena / 4];
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
