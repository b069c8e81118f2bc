//! The nets that no other beats in everything.

use super::cost::Cost;

/// The positions of those of the nets that no other one beats or equals in accuracy, latency, SRAM and flash together;
/// the most accurate first. Of nets that are equal in all, the first is kept.
pub(super) fn front(nets: &[(f32, Cost)]) -> Vec<usize> {
    // Sorted like this, a net can be beaten only by one before it.
    let key = |net: usize| {
        let (accuracy, cost) = &nets[net];
        (accuracy, [cost.latency.unwrap_or(0), cost.sram_bytes, cost.flash_bytes])
    };
    let mut order: Vec<usize> = (0..nets.len()).collect();
    order.sort_by(|&a, &b| {
        let ((first, a_costs), (second, b_costs)) = (key(a), key(b));
        second.total_cmp(first).then(a_costs.cmp(&b_costs)).then(a.cmp(&b))
    });
    let mut front: Vec<(usize, [u64; 3])> = vec![];
    for net in order {
        let costs = key(net).1;
        let beats = |(_, other): &(usize, [u64; 3])| other.iter().zip(&costs).all(|(other, cost)| other <= cost);
        if !front.iter().any(beats) {
            front.push((net, costs));
        }
    }
    front.into_iter().map(|(net, _)| net).collect()
}
