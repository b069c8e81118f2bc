//! The nets that no other beats in everything.

use super::{Cost, Net};

/// Those of the nets that no other one beats or equals in accuracy, latency, SRAM and flash together; the most
/// accurate first. Of nets that are equal in all, one is kept; those that the board refuses are left out.
pub(super) fn front(nets: Vec<Net>) -> Vec<Net> {
    let mut nets: Vec<(Cost, Net)> = nets.into_iter().filter_map(|net| Some((net.cost?, net))).collect();
    // Sorted like this, a net can be beaten only by one before it.
    let key = |cost: &Cost| (cost.latency, cost.sram_bytes, cost.flash_bytes);
    nets.sort_by(|(a, first), (b, second)| {
        let by_accuracy = second.accuracy.total_cmp(&first.accuracy);
        by_accuracy.then(key(a).cmp(&key(b))).then_with(|| first.arch.cmp(&second.arch))
    });
    let mut front: Vec<(Cost, Net)> = vec![];
    for (cost, net) in nets {
        let beats = |(other, _): &(Cost, Net)| {
            other.latency <= cost.latency
                && other.sram_bytes <= cost.sram_bytes
                && other.flash_bytes <= cost.flash_bytes
        };
        if !front.iter().any(beats) {
            front.push((cost, net));
        }
    }
    front.into_iter().map(|(_, net)| net).collect()
}
