//! The firmware that runs a compiled net.

use embedded_hal::digital::OutputPin;
use runtime::{Arena, Channel, Model, assert_fits};

use crate::meter::{Meter, Timer};
use crate::serve::Service;
use crate::wire::{CHUNK, Capacity, FRAME, Facts, Refusal, Reply, Request};

/// Runs a net on the images that the host loads.
#[derive(Debug)]
pub struct Runner<'a, const IMAGE: usize, const ARENA: usize, const CLASSES: usize> {
    model: &'static Model<IMAGE, ARENA, CLASSES>,
    /// Holds the image from its start; after an inference, the scores.
    arena: &'a mut Arena<ARENA>,
    /// Bytes of the image that are there.
    loaded: usize,
    /// Whether the arena holds the scores.
    inferred: bool,
    stack_depth: fn() -> u32,
}

impl<'a, const IMAGE: usize, const ARENA: usize, const CLASSES: usize> Runner<'a, IMAGE, ARENA, CLASSES> {
    /// Its image goes directly to where the net reads it. `stack_depth` says how many bytes the stack has had at its
    /// deepest.
    ///
    /// ```
    /// # mod board { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/board.rs")); }
    /// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/doc/model.rs")); }
    /// use latency_probe::{FRAME, Meter, NoPin, Reply, Request, Runner, Service};
    ///
    /// let mut arena = runtime::Arena::new();
    /// let mut runner = Runner::new(&model::MODEL, &mut arena, || 0);
    /// let mut meter = Meter { timer: board::Calls(0.into()), pin: NoPin };
    /// runner.answer(Request::Load { offset: 0, bytes: &[100; 4] }, &mut meter)?;
    /// assert_eq!(runner.answer(Request::Infer, &mut meter)?, Reply::Inferred { ticks: 1 });
    /// let scores = [100, -100].into_iter().collect();
    /// assert_eq!(runner.answer(Request::Scores { offset: 0 }, &mut meter)?, Reply::Scores(scores));
    /// # Ok::<(), latency_probe::Refusal>(())
    /// ```
    pub fn new(
        model: &'static Model<IMAGE, ARENA, CLASSES>,
        arena: &'a mut Arena<ARENA>,
        stack_depth: fn() -> u32,
    ) -> Self {
        Self { model, arena, loaded: 0, inferred: false, stack_depth }
    }

    /// A build error that says by how many bytes the net alone misses the board, when called in a `const`. What
    /// the code needs beside it only the linker knows.
    ///
    /// ```
    /// # mod board { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/board.rs")); }
    /// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/doc/model.rs")); }
    /// const _: () = latency_probe::Runner::assert_fits(&model::MODEL, &board::FACTS);
    /// ```
    ///
    /// # Panics
    /// If the net misses the board.
    pub const fn assert_fits(model: &Model<IMAGE, ARENA, CLASSES>, facts: &Facts<'_>) {
        let steps = model.net().steps();
        let mut flash = size_of_val(steps);
        let mut i = 0;
        while i < steps.len() {
            flash += steps[i].layer.taps() + steps[i].layer.channels() * size_of::<Channel>();
            i += 1;
        }
        assert_fits("flash", flash, facts.flash_bytes as usize);
        assert_fits("SRAM", ARENA + FRAME, facts.ram_bytes as usize);
    }

    fn load(&mut self, offset: u32, bytes: &[u8]) -> Result<Reply<'static>, Refusal> {
        let offset = offset as usize;
        let image = self.arena.bytes().get_mut(..IMAGE).ok_or(Refusal::Range)?;
        let place = image.get_mut(offset..).and_then(|rest| rest.get_mut(..bytes.len())).ok_or(Refusal::Range)?;
        for (value, &byte) in place.iter_mut().zip(bytes) {
            *value = byte as i8;
        }
        self.inferred = false;
        if offset <= self.loaded {
            self.loaded = self.loaded.max(offset + bytes.len());
        }
        Ok(Reply::Loaded)
    }

    fn infer<T: Timer, P: OutputPin>(&mut self, meter: &mut Meter<T, P>) -> Result<Reply<'static>, Refusal> {
        if self.loaded != IMAGE {
            return Err(Refusal::Image);
        }
        let (ticks, scores) = meter.time(|| self.model.infer_in_place(self.arena));
        let scores = *scores;
        for (value, score) in self.arena.bytes().iter_mut().zip(scores) {
            *value = score;
        }
        self.loaded = 0;
        self.inferred = true;
        Ok(Reply::Inferred { ticks })
    }

    fn scores(&mut self, offset: u32) -> Result<Reply<'static>, Refusal> {
        let offset = offset as usize;
        if !self.inferred {
            return Err(Refusal::Image);
        }
        if offset >= CLASSES {
            return Err(Refusal::Range);
        }
        let scores = self.arena.bytes().iter().take(CLASSES).skip(offset).take(CHUNK);
        Ok(Reply::Scores(scores.copied().collect()))
    }
}

impl<const IMAGE: usize, const ARENA: usize, const CLASSES: usize> Service for Runner<'_, IMAGE, ARENA, CLASSES> {
    fn capacity(&self) -> Capacity {
        Capacity {
            arena_bytes: ARENA as u32,
            image_bytes: IMAGE as u32,
            classes: CLASSES as u32,
            ..Capacity::default()
        }
    }

    fn answer<T: Timer, P: OutputPin>(
        &mut self,
        request: Request<'_>,
        meter: &mut Meter<T, P>,
    ) -> Result<Reply<'static>, Refusal> {
        match request {
            Request::Load { offset, bytes } => self.load(offset, bytes),
            Request::Infer => self.infer(meter),
            Request::Scores { offset } => self.scores(offset),
            Request::Stack => Ok(Reply::Stack { bytes: (self.stack_depth)() }),
            Request::Hello | Request::Measure { .. } | Request::Chain { .. } | Request::MeasureChain { .. } => {
                Err(Refusal::Firmware)
            }
        }
    }
}
