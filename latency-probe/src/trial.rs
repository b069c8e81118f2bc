//! One layer with weights, zero points and input that follow from a seed: what is measured and what is compared.

use core::slice;

use runtime::{Activation, Block, Channel, Conv, Depthwise, HIDDEN_ZERO, Layer, Linear, Net, Quant, Step, Weights};

use crate::random::Random;
use crate::wire::{CRC, Refusal};

/// A layer ready to run, as a net of that layer alone.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'p> {
    step: Step,
    weights: Weights<'p>,
    /// The multiplier of a pooling depends on the map's size, so the pool of weights has none for it.
    averaging: Channel,
    seed: u32,
}

impl<'p> Trial<'p> {
    /// The layer with the seed's slices of the pool.
    ///
    /// # Errors
    /// What makes the layer impossible to run with that pool.
    pub fn new(layer: Layer, seed: u32, pool: Weights<'p>) -> Result<Self, Refusal> {
        layer.check().map_err(Refusal::Invalid)?;
        let mut random = Random::new(seed);
        let quant = quant(&layer, &mut random);
        let averaging = averaging(&layer, quant.input_zero, &mut random);
        let channels = if is_pooling(&layer) { 0 } else { layer.channels() };
        let lack = |needed: usize, there: usize| needed.saturating_sub(there);
        let lack = lack(channels, pool.channels.len()) * size_of::<Channel>() + lack(layer.taps(), pool.taps.len());
        if lack > 0 {
            return Err(Refusal::Pool(lack as u32));
        }
        let weights = Weights {
            channels: pick(pool.channels, channels, 1, &mut random),
            taps: pick(pool.taps, layer.taps(), 4, &mut random),
        };
        Ok(Self { step: Step { layer, quant }, weights, averaging, seed })
    }

    /// The layer with its zero points.
    pub fn step(&self) -> Step {
        self.step
    }

    /// Its weights.
    pub fn weights(&self) -> Weights<'_> {
        let pooling = is_pooling(&self.step.layer);
        let channels = if pooling { slice::from_ref(&self.averaging) } else { self.weights.channels };
        Weights { channels, ..self.weights }
    }

    /// The net of this layer alone, which runs it exactly as a net of many does.
    pub fn net(&self) -> Net<'_> {
        let weights = self.weights();
        match Net::new(slice::from_ref(&self.step), weights.channels, weights.taps) {
            Ok(net) => net,
            Err(_) => unreachable!("`new` took a checked layer and as many weights as it needs"),
        }
    }

    /// Puts the input where the net reads it, at the arena's start.
    pub fn load(&self, arena: &mut [u32]) {
        load(self.seed, self.step.layer.input().len(), arena);
    }
}

/// Puts `len` values at the arena's start, which follow from the seed.
pub(crate) fn load(seed: u32, len: usize, arena: &mut [u32]) {
    let mut random = Random::new(!seed);
    for value in runtime::bytes(arena).iter_mut().take(len) {
        *value = (random.next() >> 24) as i8;
    }
}

/// Any zero points that the layer may have in a compiled net.
pub(crate) fn quant(layer: &Layer, random: &mut Random) -> Quant {
    let (input_zero, output_zero) = (random.below(128) as i8 - 64, random.below(64) as i8 - 32);
    Quant {
        input_zero,
        output_zero: if ends_in_relu(layer) { HIDDEN_ZERO } else { output_zero },
        residual: residual(layer, random),
        hidden_zeros: hidden_zeros(layer, random),
    }
}

/// CRC-32 of a layer's output.
pub(crate) fn checksum(output: &[i8]) -> u32 {
    let mut digest = CRC.digest();
    for &value in output {
        digest.update(&value.to_le_bytes());
    }
    digest.finalize()
}

/// The checksum that a device with that pool gives for the layer. The arena is memory to work in, of
/// [`Layer::arena_bytes`].
///
/// ```
/// use latency_probe::{Pool, Refusal, expected};
/// use runtime::{Activation, Layer, Linear};
///
/// #[allow(long_running_const_eval)]
/// static POOL: Pool<4096, 64> = Pool::new();
/// let layer = Layer::Linear(Linear { inputs: 16, outputs: 4, activation: Activation::None });
/// let mut arena = vec![0; layer.arena_bytes() / 4];
/// let of_seed = |seed, arena: &mut [u32]| expected(layer, seed, POOL.weights(), arena);
/// assert_ne!(of_seed(1, &mut arena)?, of_seed(2, &mut arena)?);
/// assert!(matches!(of_seed(1, &mut []), Err(Refusal::Arena(_))));
/// # Ok::<(), Refusal>(())
/// ```
///
/// # Errors
/// What such a device refuses the layer for.
pub fn expected(layer: Layer, seed: u32, pool: Weights<'_>, arena: &mut [u32]) -> Result<u32, Refusal> {
    let trial = Trial::new(layer, seed, pool)?;
    let lack = layer.arena_bytes().saturating_sub(size_of_val(arena));
    if lack > 0 {
        return Err(Refusal::Arena(lack as u32));
    }
    trial.load(arena);
    Ok(checksum(trial.net().run(arena)))
}

fn is_pooling(layer: &Layer) -> bool {
    matches!(layer, Layer::Pool(_))
}

/// About 0.7, in units of 2⁻²⁴.
fn residual(layer: &Layer, random: &mut Random) -> i32 {
    match layer {
        Layer::Block(block) if block.residual => 11_000_000 + random.below(1 << 20) as i32,
        _ => 0,
    }
}

/// Then its zero point is the smallest value, and the saturation of int8 is its clamp: another one would cost a layer more
/// here than in a net.
fn ends_in_relu(layer: &Layer) -> bool {
    let (Layer::Conv(Conv { activation, .. })
    | Layer::Depthwise(Depthwise { activation, .. })
    | Layer::Linear(Linear { activation, .. })) = layer
    else {
        return false;
    };
    matches!(activation, Activation::Relu | Activation::Relu6)
}

/// Those after a ReLU are fixed.
fn hidden_zeros(layer: &Layer, random: &mut Random) -> [i8; 2] {
    match layer {
        Layer::Block(Block { activation: Activation::None | Activation::HSwish, .. }) => {
            [(); 2].map(|()| random.below(64) as i8 - 96)
        }
        _ => [HIDDEN_ZERO; 2],
    }
}

/// A mean whose scale grows by up to a quarter, in units of 2⁻²⁴.
fn averaging(layer: &Layer, input_zero: i8, random: &mut Random) -> Channel {
    let map = layer.input();
    let pixels = i32::from(map.height) * i32::from(map.width);
    let mean = (1 << 24) / pixels;
    Channel { bias: -i32::from(input_zero) * pixels, multiplier: mean + random.below(mean as u32 / 4 + 1) as i32 }
}

/// `len` of them, from a random multiple of `step` on; there are at least as many.
pub(crate) fn pick<'p, T>(pool: &'p [T], len: usize, step: usize, random: &mut Random) -> &'p [T] {
    let starts = (pool.len() - len) / step + 1;
    &pool[random.below(starts as u32) as usize * step..][..len]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use runtime::{Activation, Block, Conv, Linear, Shape};
    use std::vec;
    use std::vec::Vec;

    static POOL: Pool<8192, 256> = Pool::new();

    const BLOCK: Block = Block {
        input: Shape::new(6, 6, 16),
        expanded: 64,
        kernel: 5,
        stride: 1,
        squeeze: 0,
        channels: 16,
        residual: true,
        activation: Activation::Relu6,
    };

    fn layers() -> [Layer; 9] {
        let conv =
            Conv { input: Shape::new(9, 9, 3), channels: 16, kernel: 3, stride: 2, activation: Activation::Relu6 };
        [
            Layer::Conv(conv),
            Layer::Block(BLOCK),
            Layer::Block(Block { stride: 2, channels: 24, residual: false, ..BLOCK }),
            Layer::Pool(runtime::Pool { input: Shape::new(7, 7, 48) }),
            Layer::Linear(Linear { inputs: 128, outputs: 40, activation: Activation::None }),
            Layer::Linear(Linear { inputs: 128, outputs: 40, activation: Activation::HSwish }),
            Layer::Block(Block { squeeze: 16, ..BLOCK }),
            Layer::Block(Block { squeeze: 16, activation: Activation::HSwish, ..BLOCK }),
            Layer::Block(Block { input: Shape::new(16, 16, 8), channels: 8, squeeze: 8, kernel: 3, ..BLOCK }),
        ]
    }

    fn output(layer: Layer, seed: u32) -> Vec<i8> {
        let trial = Trial::new(layer, seed, POOL.weights()).unwrap();
        let mut arena = vec![0; layer.arena_bytes() / 4];
        trial.load(&mut arena);
        trial.net().run(&mut arena).to_vec()
    }

    #[test]
    fn outputs_neither_all_vanish_nor_all_saturate() {
        for layer in layers() {
            for seed in 0..20 {
                let output = output(layer, seed);
                let ends = output.iter().filter(|value| matches!(**value, i8::MIN | i8::MAX)).count();
                let distinct: std::collections::BTreeSet<_> = output.iter().collect();
                assert!(ends * 10 < output.len() * 9, "{layer}, seed {seed}: {ends} of {} saturate", output.len());
                assert!(distinct.len() >= 10, "{layer}, seed {seed}: only {} values", distinct.len());
            }
        }
    }

    #[test]
    fn another_seed_is_another_output() {
        for layer in layers() {
            assert_ne!(output(layer, 1), output(layer, 2), "{layer}");
        }
    }

    #[test]
    fn what_cannot_run_is_refused_with_its_cause() {
        let check = |layer, refusal| {
            assert_eq!(expected(layer, 1, POOL.weights(), &mut [0; 2000]), Err(refusal));
        };
        check(Layer::Block(Block { kernel: 4, ..BLOCK }), Refusal::Invalid(runtime::Invalid::Kernel));
        let linear = |inputs, outputs| Layer::Linear(Linear { inputs, outputs, activation: Activation::None });
        check(linear(128, 65), Refusal::Pool(128));
        check(linear(8, 260), Refusal::Pool(4 * 8));
        let bytes = Layer::Block(BLOCK).arena_bytes();
        assert_eq!(
            expected(Layer::Block(BLOCK), 1, POOL.weights(), &mut vec![0; bytes / 4 - 1]),
            Err(Refusal::Arena(4))
        );
        assert!(expected(Layer::Block(BLOCK), 1, POOL.weights(), &mut vec![0; bytes / 4]).is_ok());
    }
}
