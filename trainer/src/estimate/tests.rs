use runtime::Layer;

use super::*;
use crate::space::Space;
use crate::table::Entry;

/// What `ofa measure --space mcu` measured there: ticks of [`Space::distinct_layers`], in their order.
const MPS2_AN386: &str = include_str!("mps2-an386.txt");
/// The same with the kernels of version 0.1.0.
const MPS2_AN385: &str = include_str!("mps2-an385.txt");

fn layers() -> Vec<Layer> {
    Space::load("mcu").unwrap().distinct_layers()
}

fn measured(text: &str) -> BTreeMap<Layer, u32> {
    let ticks: Vec<u32> = text.split_whitespace().map(|ticks| ticks.parse().unwrap()).collect();
    let layers = layers();
    assert_eq!(layers.len(), ticks.len());
    layers.into_iter().zip(ticks).collect()
}

/// Median relative error of the layers that were not chosen, and the share of them inside their interval.
fn try_out(truth: &BTreeMap<Layer, u32>, budget: usize, prior: Prior<'_>, seed: u64) -> (f64, f64) {
    let layers = layers();
    let chosen = choose(&layers, budget, seed);
    assert_eq!(chosen.len(), budget);
    let samples: Vec<_> = chosen.iter().map(|layer| (*layer, truth[layer])).collect();
    let estimator = Estimator::fit(&layers, &samples, prior).unwrap();
    let (mut errors, mut inside) = (Vec::new(), 0);
    for layer in layers.iter().filter(|layer| !chosen.contains(layer)) {
        let Estimate { ticks, low, high } = estimator.estimate(layer).unwrap();
        let truth = truth[layer];
        errors.push(f64::from(ticks.abs_diff(truth)) / f64::from(truth));
        inside += usize::from((low..=high).contains(&truth));
    }
    errors.sort_by(f64::total_cmp);
    let (median, share) = (quantile(&errors, 0.5), inside as f64 / errors.len() as f64);
    println!(
        "budget {budget}, seed {seed}: median {:.2} %, worst {:.1} %, inside {share:.3}; {:?}",
        100.0 * median,
        100.0 * errors[errors.len() - 1],
        estimator.held_out()
    );
    (median, share)
}

#[test]
fn a_fifth_of_a_space_tells_the_rest_within_3_percent() {
    let truth = measured(MPS2_AN386);
    for seed in 0..3 {
        let (median, inside) = try_out(&truth, truth.len() / 5, Prior::Macs, seed);
        assert!(median <= 0.03 && inside >= 0.9, "seed {seed}: {median}, {inside}");
    }
}

/// The Cortex-M3 has other kernels altogether, those of plain Rust: a table that is no help does no harm.
#[test]
fn twenty_layers_tell_a_board_of_another_kind() {
    let (m4, m3) = (measured(MPS2_AN386), measured(MPS2_AN385));
    let table = table_of(&m4);
    for seed in 0..4 {
        let (median, inside) = try_out(&m3, 20, Prior::Table(&table), seed);
        assert!(median < 0.08 && inside >= 0.75, "seed {seed}: {median}, {inside}");
    }
}

/// As between Cortex-M4 and M7 in an emulator, which counts the same instructions.
#[test]
fn a_board_that_differs_by_a_factor_is_told_from_another_almost_exactly() {
    let m4 = measured(MPS2_AN386);
    let faster = m4.iter().map(|(layer, ticks)| (*layer, ticks * 10 / 17)).collect();
    let (median, inside) = try_out(&faster, 20, Prior::Table(&table_of(&m4)), 1);
    assert!(median < 0.001 && inside > 0.9, "{median}, {inside}");
}

#[test]
fn too_few_layers_and_unknown_ones_are_refused() {
    let truth = measured(MPS2_AN386);
    let samples: Vec<_> = truth.iter().map(|(layer, ticks)| (*layer, *ticks)).take(FEWEST).collect();
    let error = Estimator::fit(&layers(), &samples[1..], Prior::Macs).unwrap_err().to_string();
    assert_eq!(error, "19 measured layers foretell no others; measure 20");
    let table = LatencyTable { layers: Vec::new(), ..table_of(&truth) };
    let error = Estimator::fit(&layers(), &samples, Prior::Table(&table)).unwrap_err().to_string();
    assert!(error.starts_with("the other board's table has no ticks of conv 2x2x112"), "{error}");
}

#[test]
fn a_table_of_some_layers_becomes_one_of_all() {
    let truth = measured(MPS2_AN386);
    let chosen = choose(&layers(), 100, 0);
    let whole = table_of(&truth);
    let mut table = whole.clone();
    table.layers.retain(|entry| chosen.contains(&entry.layer));
    let held_out = complete(&mut table, &layers(), Prior::Macs).unwrap();
    assert_eq!(held_out.layers, 100);
    let layers: Vec<_> = table.layers.iter().map(|entry| entry.layer).collect();
    assert_eq!(layers, self::layers());
    let net = Space::load("mcu").unwrap();
    let net = net.layers(&net.middle());
    let (told, measured) = (table.latency(&net).unwrap() as f64, whole.latency(&net).unwrap() as f64);
    assert!((told / measured - 1.0).abs() < 0.02, "{told} {measured}");
}

fn table_of(ticks: &BTreeMap<Layer, u32>) -> LatencyTable {
    crate::table::tests::table(ticks.iter().map(|(layer, ticks)| Entry::measured(*layer, &[*ticks], 0)).collect())
}
