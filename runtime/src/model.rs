//! Nets as values: their steps and weights, checked once, then run.

use crate::join::Joined;
use crate::layer::{Layer, Shape};
use crate::memory::{Arena, bytes};
use crate::parts::{copy, part, part_mut};
use crate::plan::{Place, Step, arena_bytes, joined};
use crate::quant::Channel;
use crate::stream::{Kernels, run};
use crate::weights::Weights;

/// A net of any shape: what hosts run and what [`Model`] wraps.
#[derive(Clone, Copy, Debug)]
pub struct Net<'a> {
    steps: &'a [Step],
    channels: &'a [Channel],
    taps: &'a [u8],
    joined: Option<Joined>,
    arena_bytes: usize,
}

impl<'a> Net<'a> {
    /// A net of these steps, whose weights follow one another in `channels` and `taps`.
    ///
    /// ```
    /// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
    /// use model::{CHANNELS, STEPS, TAPS};
    ///
    /// let net = runtime::Net::new(&STEPS, &CHANNELS, &TAPS)?;
    /// assert_eq!((net.input().len(), net.classes()), (4, 2));
    /// assert!(runtime::Net::new(&STEPS[1..], &CHANNELS, &TAPS).is_err(), "these are weights of three layers");
    /// # Ok::<(), &str>(())
    /// ```
    ///
    /// # Errors
    /// Says which rule is broken: each layer is valid, reads the map that the one before it
    /// writes, and the weights are as many as the layers need.
    pub const fn new(steps: &'a [Step], channels: &'a [Channel], taps: &'a [u8]) -> Result<Self, &'static str> {
        if steps.is_empty() {
            return Err("a net without layers");
        }
        let mut channels_needed = 0;
        let mut taps_needed = 0;
        let mut i = 0;
        while i < steps.len() {
            let layer = &steps[i].layer;
            if layer.check().is_err() {
                return Err("a layer of the net is invalid");
            }
            if i > 0 && !same(layer.input(), steps[i - 1].layer.output()) {
                return Err("a layer does not read the map that the layer before it writes");
            }
            channels_needed += layer.channels();
            taps_needed += layer.taps();
            i += 1;
        }
        if channels_needed != channels.len() || taps_needed != taps.len() {
            return Err("the weights are not as many as the layers need");
        }
        Ok(Self { steps, channels, taps, joined: joined(steps), arena_bytes: arena_bytes(steps) })
    }

    /// Its layers.
    pub const fn steps(&self) -> &'a [Step] {
        self.steps
    }

    /// The image that it reads.
    pub const fn input(&self) -> Shape {
        self.steps[0].layer.input()
    }

    /// How many scores it writes.
    pub const fn classes(&self) -> usize {
        match self.steps.last() {
            Some(step) => step.layer.output().len(),
            None => 0,
        }
    }

    /// Bytes of the arena that it runs in.
    pub const fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Runs it on the image that lies at the arena's start, and returns the scores, which lie in the arena too: none, if
    /// the arena is shorter than [`Net::arena_bytes`].
    ///
    /// ```
    /// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
    /// let net = model::MODEL.net();
    /// let mut arena = vec![0; net.arena_bytes() / 4];
    /// runtime::bytes(&mut arena)[..4].copy_from_slice(&[100, 90, 110, 100]);
    /// assert_eq!(net.run(&mut arena), [100, -100]);
    /// assert!(net.run(&mut []).is_empty(), "an arena that is too short gives no scores");
    /// ```
    pub fn run<'m>(&self, arena: &'m mut [u32]) -> &'m [i8] {
        self.run_with(arena, |_, _, _| ())
    }

    /// The same; `each` is told before and after each layer, which of them it is. Where the first two layers run as one
    /// they take turns, row by row, and `each` is told of every turn.
    ///
    /// ```
    /// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
    /// let net = model::MODEL.net();
    /// let mut arena = vec![0; net.arena_bytes() / 4];
    /// let mut layers = vec![];
    /// net.run_with(&mut arena, |moment, i, layer| {
    ///     if moment == runtime::Moment::After {
    ///         layers.push((i, layer.macs()));
    ///     }
    /// });
    /// assert_eq!(layers, [(0, 8), (1, 0), (2, 4)], "a pooling multiplies nothing");
    /// ```
    pub fn run_with<'m>(&self, arena: &'m mut [u32], each: impl FnMut(Moment, usize, &Layer)) -> &'m [i8] {
        if arena.len() < self.arena_bytes / 4 {
            return &[];
        }
        self.run_from::<Native>(0, 0, arena, each)
    }

    /// All steps but the `first` so many; the next one's input lies at `at`.
    pub(crate) fn run_from<'m, K: Kernels>(
        &self,
        mut first: usize,
        mut at: usize,
        arena: &'m mut [u32],
        mut each: impl FnMut(Moment, usize, &Layer),
    ) -> &'m [i8] {
        let mut rest = self.weights();
        if let (0, Some(joined)) = (first, &self.joined) {
            joined.run::<K>(rest, arena, &mut each);
            first = 2;
        }
        for (i, step) in self.steps.iter().enumerate() {
            let weights = rest.take(step.layer.channels(), step.layer.taps());
            if i < first {
                continue;
            }
            let place = Place::new(self.steps, i, at);
            each(Moment::Before, i, &step.layer);
            run::<K>(step, weights, &place, arena);
            each(Moment::After, i, &step.layer);
            at = place.output;
        }
        part(bytes(arena), at, self.classes())
    }

    pub(crate) const fn weights(&self) -> Weights<'a> {
        Weights { channels: self.channels, taps: self.taps }
    }
}

/// When a layer's observer is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// The layer comes next.
    Before,
    /// It is done.
    After,
}

/// The kernels for the target.
#[cfg(ofa_dsp)]
pub(crate) type Native = crate::dsp::Dsp;
#[cfg(all(ofa_vectors, feature = "std"))]
pub(crate) type Native = crate::simd::Simd;
#[cfg(not(any(ofa_dsp, all(ofa_vectors, feature = "std"))))]
pub(crate) type Native = crate::scalar::Scalar;

const fn same(a: Shape, b: Shape) -> bool {
    a.len() == b.len() && a.channels == b.channels || a.height == 1 && a.width == 1 && a.len() == b.len()
}

/// A net with its shapes in its type: `IMAGE` values in, `CLASSES` scores out, in an arena of `ARENA` bytes.
///
/// `ofa compile` writes one as `MODEL`. An image holds pixels less 128, row by row, channels innermost.
///
/// ```
/// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
/// use model::MODEL;
///
/// let mut arena = runtime::Arena::new();
/// let scores = MODEL.infer(&mut arena, &[100, 90, 110, 100]);
/// assert_eq!(scores, &[100, -100]);
/// assert_eq!(runtime::argmax(scores), 0, "a bright image");
/// ```
#[derive(Debug)]
pub struct Model<const IMAGE: usize, const ARENA: usize, const CLASSES: usize> {
    net: Net<'static>,
}

impl<const IMAGE: usize, const ARENA: usize, const CLASSES: usize> Model<IMAGE, ARENA, CLASSES> {
    /// A model of these steps; in a `static`, a mistake in it is a build error.
    ///
    /// # Panics
    /// Where [`Net::new`] returns an error, or a number in the type is not the net's.
    pub const fn new(steps: &'static [Step], channels: &'static [Channel], taps: &'static [u8]) -> Self {
        let net = match Net::new(steps, channels, taps) {
            Ok(net) => net,
            Err(message) => panic!("{}", message),
        };
        assert!(net.input().len() == IMAGE, "IMAGE is not the length of the net's input");
        assert!(net.arena_bytes() == ARENA, "ARENA is not the net's arena_bytes");
        assert!(net.classes() == CLASSES, "CLASSES is not the length of the net's output");
        Self { net }
    }

    /// Scores of an image, one for each class, higher is likelier.
    pub fn infer<'a>(&self, arena: &'a mut Arena<ARENA>, image: &[i8; IMAGE]) -> &'a [i8; CLASSES] {
        copy(image, part_mut(arena.bytes(), 0, IMAGE));
        self.infer_in_place(arena)
    }

    /// The same; `each` is called before and after each layer, with its position: to profile a net, or to feed a
    /// watchdog. Two layers that run as one take turns, row by row: a layer's time is the sum of its turns.
    ///
    /// ```
    /// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
    /// let mut arena = runtime::Arena::new();
    /// let mut calls = 0;
    /// // Where firmware reads its timer.
    /// let scores = model::MODEL.infer_with(&mut arena, &[-100; 4], |_moment, _index, _layer| calls += 1);
    /// assert_eq!((scores, calls), (&[-100, 100], 6));
    /// ```
    pub fn infer_with<'a>(
        &self,
        arena: &'a mut Arena<ARENA>,
        image: &[i8; IMAGE],
        each: impl FnMut(Moment, usize, &Layer),
    ) -> &'a [i8; CLASSES] {
        copy(image, part_mut(arena.bytes(), 0, IMAGE));
        self.net.run_with(arena.words(), each).first_chunk().unwrap_or(const { &[0; CLASSES] })
    }

    /// Scores of the image that lies in the arena's first `IMAGE` bytes, which saves its second copy.
    ///
    /// ```
    /// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/model.rs")); }
    /// let mut arena = runtime::Arena::new();
    /// // As a camera's DMA would.
    /// arena.bytes()[..4].copy_from_slice(&[-100; 4]);
    /// assert_eq!(model::MODEL.infer_in_place(&mut arena), &[-100, 100]);
    /// ```
    pub fn infer_in_place<'a>(&self, arena: &'a mut Arena<ARENA>) -> &'a [i8; CLASSES] {
        // `new` compared the lengths.
        self.net.run(arena.words()).first_chunk().unwrap_or(const { &[0; CLASSES] })
    }

    /// The same net without its shapes in the type.
    pub const fn net(&self) -> &Net<'static> {
        &self.net
    }
}
