//! Layers one after the other, with weights, zero points and input that follow from a seed: what a table's sum is
//! compared with, without a build.

use heapless::Vec;
use runtime::{Channel, HIDDEN_ZERO, Layer, Net, Quant, Step, Weights};

use crate::random::Random;
use crate::trial::{checksum, load, pick, quant};
use crate::wire::{Refusal, STEPS};

/// A net that is being sent, layer by layer.
///
/// Its weights are one slice of the pool, as a net's weights lie in flash. A pooling's multiplier is any, too, so its
/// outputs may all be alike: what a pooling computes is compared when it is measured alone.
#[derive(Clone, Debug, Default)]
pub struct Chain(Vec<Step, STEPS>);

impl Chain {
    /// No layers yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many it has.
    pub fn layers(&self) -> usize {
        self.0.len()
    }

    /// Lets this be the layer at that place, and the last one. To say it twice does no harm.
    ///
    /// ```
    /// use latency_probe::{Chain, Refusal};
    /// use runtime::{Activation, Layer, Linear};
    ///
    /// let layer = Layer::Linear(Linear { inputs: 8, outputs: 8, activation: Activation::Relu });
    /// let mut chain = Chain::new();
    /// assert_eq!((chain.put(0, layer), chain.put(1, layer), chain.put(1, layer)), (Ok(()), Ok(()), Ok(())));
    /// assert_eq!((chain.layers(), chain.put(3, layer)), (2, Err(Refusal::Chain)));
    /// ```
    ///
    /// # Errors
    /// If the numbers are no layer, layers are missing before it, or there is no room for so many.
    pub fn put(&mut self, place: u8, layer: Layer) -> Result<(), Refusal> {
        layer.check().map_err(Refusal::Invalid)?;
        let place = usize::from(place);
        if place > self.0.len() {
            return Err(Refusal::Chain);
        }
        self.0.truncate(place);
        let quant = Quant { input_zero: 0, output_zero: 0, hidden_zeros: [HIDDEN_ZERO; 2], residual: 0 };
        self.0.push(Step { layer, quant }).map_err(|_| Refusal::Chain)
    }

    /// The net of these layers with the seed's zero points and slice of the pool.
    ///
    /// # Errors
    /// What makes it impossible to run with that pool.
    pub fn net<'a>(&'a mut self, seed: u32, pool: Weights<'a>) -> Result<Net<'a>, Refusal> {
        let mut random = Random::new(seed);
        for step in &mut self.0 {
            step.quant = quant(&step.layer, &mut random);
        }
        let sum = |of: fn(&Layer) -> usize| self.0.iter().fold(0_u64, |sum, step| sum + of(&step.layer) as u64);
        let (channels, taps) = (sum(Layer::channels), sum(Layer::taps));
        let lack = |needed: u64, there: usize| needed.saturating_sub(there as u64);
        let lack = lack(channels, pool.channels.len()) * size_of::<Channel>() as u64 + lack(taps, pool.taps.len());
        if lack > 0 {
            return Err(Refusal::Pool(u32::try_from(lack).unwrap_or(u32::MAX)));
        }
        let channels = pick(pool.channels, channels as usize, 1, &mut random);
        let taps = pick(pool.taps, taps as usize, 4, &mut random);
        Net::new(&self.0, channels, taps).map_err(|_| Refusal::Chain)
    }
}

/// The checksum that a device with that pool gives for the chain. The arena is memory to work in, of
/// [`Net::arena_bytes`].
///
/// # Errors
/// What such a device refuses the chain for.
pub fn expected_of_chain(chain: &mut Chain, seed: u32, pool: Weights<'_>, arena: &mut [u32]) -> Result<u32, Refusal> {
    let net = chain.net(seed, pool)?;
    let lack = net.arena_bytes().saturating_sub(size_of_val(arena));
    if lack > 0 {
        return Err(Refusal::Arena(u32::try_from(lack).unwrap_or(u32::MAX)));
    }
    load(seed, net.input().len(), arena);
    Ok(checksum(net.run(arena)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use runtime::{Activation, Linear};
    use std::vec;

    static POOL: Pool<2048, 64> = Pool::new();

    fn linear(inputs: u16, outputs: u16) -> Layer {
        Layer::Linear(Linear { inputs, outputs, activation: Activation::None })
    }

    #[test]
    fn a_layer_that_is_said_again_is_there_once_and_cuts_what_followed() {
        let mut chain = Chain::new();
        chain.put(0, linear(8, 16)).unwrap();
        chain.put(1, linear(16, 4)).unwrap();
        chain.put(1, linear(16, 4)).unwrap();
        assert_eq!(chain.layers(), 2);
        chain.put(0, linear(8, 8)).unwrap();
        assert_eq!(chain.layers(), 1);
        assert_eq!(chain.put(2, linear(8, 8)), Err(Refusal::Chain));
        for place in 1..STEPS {
            chain.put(place as u8, linear(8, 8)).unwrap();
        }
        assert_eq!(chain.put(STEPS as u8, linear(8, 8)), Err(Refusal::Chain));
    }

    #[test]
    fn what_cannot_run_is_refused_with_its_cause() {
        let check = |layers: &[Layer], arena: usize, refusal| {
            let mut chain = Chain::new();
            layers.iter().enumerate().for_each(|(i, layer)| chain.put(i as u8, *layer).unwrap());
            assert_eq!(expected_of_chain(&mut chain, 1, POOL.weights(), &mut vec![0; arena]), refusal);
        };
        check(&[], 100, Err(Refusal::Chain));
        check(&[linear(8, 16), linear(17, 4)], 100, Err(Refusal::Chain));
        check(&[linear(64, 32), linear(32, 4)], 100, Err(Refusal::Pool(64 * 32 + 32 * 4 - 2048)));
        // More taps than 32 bits count.
        check(&[linear(1 << 15, u16::MAX); 9], 100, Err(Refusal::Pool(u32::MAX)));
        let layers = [linear(8, 16), linear(16, 4)];
        assert_eq!(Chain::new().put(0, linear(0, 3)), Err(Refusal::Invalid(runtime::Invalid::Empty)));
        let mut chain = Chain::new();
        layers.iter().enumerate().for_each(|(i, layer)| chain.put(i as u8, *layer).unwrap());
        let bytes = chain.net(1, POOL.weights()).unwrap().arena_bytes();
        check(&layers, bytes / 4 - 1, Err(Refusal::Arena(4)));
        assert!(expected_of_chain(&mut chain, 1, POOL.weights(), &mut vec![0; bytes / 4]).is_ok());
    }

    #[test]
    fn another_seed_is_another_output() {
        let outputs = [1, 2].map(|seed| {
            let mut chain = Chain::new();
            chain.put(0, linear(16, 32)).unwrap();
            chain.put(1, linear(32, 8)).unwrap();
            expected_of_chain(&mut chain, seed, POOL.weights(), &mut [0; 200]).unwrap()
        });
        assert_ne!(outputs[0], outputs[1]);
    }
}
