//! What nets of a space cost that are within limits, by drawing.

use rand::Rng;

use super::genes::Coding;
use super::lookup::Lookup;
use super::{Costs, Limits};
use crate::space::Space;

/// The multiply-accumulates of those of `count` nets, drawn evenly, that are within the limits; ascending.
pub(crate) fn macs_within(space: &Space, limits: &Limits, count: usize, rng: &mut impl Rng) -> Vec<u64> {
    let open = &space.input.resolutions.0;
    let coding = Coding::new(space, open);
    let lookup = Lookup::new(space, &coding, &Costs::without_board(), open);
    let costs = (0..count).map(|_| lookup.totals(&coding, &coding.sample(rng)).cost);
    let mut macs: Vec<u64> = costs.filter(|cost| limits.excess(Some(cost)) <= 1.0).map(|cost| cost.macs).collect();
    macs.sort_unstable();
    macs
}
