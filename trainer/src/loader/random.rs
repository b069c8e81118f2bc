//! Generators that need no memory: what is drawn depends on seed, purpose and number alone.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What a generator draws for; each has a stream of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// The order of an epoch.
    Order = 1,
    /// The augmentation of an image.
    Augment = 2,
    /// The first weights.
    #[cfg(feature = "torch")]
    Weights = 3,
    /// The nets of a step.
    #[cfg(feature = "torch")]
    Nets = 4,
}

/// The generator for number `index` of this purpose.
pub(crate) fn generator(seed: u64, purpose: Purpose, index: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(purpose as u64).to_le_bytes());
    key[16..24].copy_from_slice(&index.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn each_seed_purpose_and_number_has_its_own_stream() {
        let first = |seed, purpose, index| generator(seed, purpose, index).next_u64();
        let base = first(1, Purpose::Order, 2);
        assert_eq!(base, first(1, Purpose::Order, 2));
        for other in [first(2, Purpose::Order, 2), first(1, Purpose::Augment, 2), first(1, Purpose::Order, 3)] {
            assert_ne!(base, other);
        }
    }
}
