//! A table of all layers from a table of some.

use anyhow::Result;
use latency_probe::Capacity;
use runtime::Layer;

use super::{Estimator, HeldOut, Prior};
use crate::table::{Entry, LatencyTable};

/// The layers that the board's probe has memory for, and those that it will refuse. To learn the causes of these costs
/// no time, so they are measured and not foretold.
///
/// ```
/// use latency_probe::Capacity;
/// use trainer::estimate::runnable;
/// use trainer::space::Space;
///
/// let (arena_bytes, pool_taps, pool_channels) = (16 << 10, 64 << 10, 1 << 10);
/// let capacity = Capacity { arena_bytes, pool_taps, pool_channels, ..Capacity::default() };
/// let layers = Space::load("fashion")?.distinct_layers();
/// let (runnable, refused) = runnable(&capacity, &layers);
/// assert_eq!(runnable.len() + refused.len(), layers.len());
/// assert!(refused.iter().all(|layer| layer.arena_bytes() > 16 << 10));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn runnable(capacity: &Capacity, layers: &[Layer]) -> (Vec<Layer>, Vec<Layer>) {
    let fits = |layer: &Layer| {
        layer.taps() <= capacity.pool_taps as usize
            && layer.channels() <= capacity.pool_channels as usize
            && layer.arena_bytes() <= capacity.arena_bytes as usize
    };
    layers.iter().partition(|layer| fits(layer))
}

/// Foretells those of `layers` that the table lacks from those that it has.
///
/// # Errors
/// If too few were measured, or the prior does not know one.
pub fn complete(table: &mut LatencyTable, layers: &[Layer], prior: Prior<'_>) -> Result<HeldOut> {
    let measured = table.measured();
    let known = |layer: &Layer| table.entry(layer).is_some();
    let mut unknown: Vec<_> = layers.iter().copied().filter(|layer| !known(layer)).collect();
    unknown.sort_unstable();
    unknown.dedup();
    let all: Vec<_> = measured.iter().map(|(layer, _)| *layer).chain(unknown.iter().copied()).collect();
    let estimator = Estimator::fit(&all, &measured, prior)?;
    let foretold = unknown.iter().map(|layer| Ok(Entry::predicted(*layer, estimator.estimate(layer)?)));
    table.layers.extend(foretold.collect::<Result<Vec<_>>>()?);
    table.layers.sort_by_key(|entry| entry.layer);
    Ok(estimator.held_out())
}
