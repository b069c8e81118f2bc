use std::collections::HashSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::Layer;

use super::*;
use crate::predictor::{Dense, features};

/// 2 resolutions, two stages of 4 + 16 nets and one of 6 + 36: 33,600 nets.
fn toy() -> Space {
    Space::parse(include_str!("toy.toml"), "toy").unwrap()
}

fn all_nets(space: &Space) -> Vec<Arch> {
    let coding = genes::Coding::new(space, &space.input.resolutions.0);
    coding.all().map(|genes| coding.arch(&genes)).collect()
}

/// Accuracies that choices add to, and add to one another.
fn predictor(space: &Space, seed: u64) -> Predictor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let lengths = [features(space, &space.smallest()).len(), 8, 1];
    let layer = |pair: &[usize]| {
        let mut values = |count| (0..count).map(|_| rng.random_range(-0.2..0.2)).collect();
        Dense { inputs: pair[0], weights: values(pair[0] * pair[1]), bias: values(pair[1]) }
    };
    Predictor::new(&lengths.windows(2).map(layer).collect::<Vec<_>>(), space).unwrap()
}

/// A made-up board: latency is no function of the MACs alone.
fn board(space: &Space, refuses: &dyn Fn(&Layer) -> bool) -> Costs {
    let ticks = |layer: &Layer| 1000 + layer.macs() as u32 * (3 + layer.parameters() as u32 % 5);
    Costs::of_board(space, ["made-up", "instructions"], 10_000, |layer| Some((!refuses(layer)).then(|| ticks(layer))))
        .unwrap()
}

/// Even where all nets could be listed.
fn evolution<'a>(space: &'a Space, predictor: &'a Predictor, costs: &'a Costs, limits: Limits) -> Problem<'a> {
    Problem { method: Method::Evolution(Effort::default()), ..Problem::new(space, predictor, costs, limits) }
}

fn random_limits(costs: &[Cost], rng: &mut ChaCha8Rng) -> Limits {
    let mut limit = |quantity| {
        let mut values: Vec<u64> = costs.iter().filter_map(|cost| cost.get(quantity)).collect();
        values.sort_unstable();
        rng.random_bool(0.6).then(|| values[rng.random_range(0..values.len() / 2)])
    };
    let [latency, sram, flash, macs] = Quantity::ALL.map(&mut limit);
    Limits { latency, sram, flash, macs }
}

#[test]
fn the_best_of_all_nets_is_found() {
    let space = toy();
    let archs = all_nets(&space);
    assert_eq!(
        (archs.len() as u128, archs.iter().collect::<HashSet<_>>().len()),
        (space.subnets().unwrap(), archs.len())
    );
    let costs = board(&space, &|_| false);
    let all: Vec<Cost> = archs.iter().map(|arch| costs.of(&space.layers(arch)).unwrap()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut feasible, mut infeasible) = (0, 0);
    for seed in 0..24 {
        let predictor = predictor(&space, seed);
        let accuracies = predictor.predict(&archs).unwrap();
        let mut limits = random_limits(&all, &mut rng);
        if seed % 4 == 0 {
            // Less than the smallest net has.
            limits.sram = all.iter().map(|cost| cost.sram_bytes).min().map(|least| least - 1 - seed);
        }
        let fitting = all.iter().zip(&accuracies).filter(|(cost, _)| limits.excess(Some(cost)) <= 1.0);
        let best = fitting.map(|(_, accuracy)| *accuracy).max_by(f32::total_cmp);
        match search(&evolution(&space, &predictor, &costs, limits), seed) {
            Ok(found) => {
                feasible += 1;
                assert!(found.evaluated < archs.len() / 2, "it should not have to look at all nets");
                assert!(limits.excess(found.best.cost.as_ref()) <= 1.0);
                assert_eq!(Some(found.best.accuracy), best, "{limits:?}");
            }
            Err(error) => {
                infeasible += 1;
                let failure: &Infeasible = error.downcast_ref().unwrap();
                assert_eq!(best, None);
                let least = all.iter().map(|cost| limits.excess(Some(cost))).min_by(f64::total_cmp).unwrap();
                let nearest = failure.nearest.as_ref().unwrap();
                assert_eq!(limits.excess(nearest.cost.as_ref()), least, "the nearest is the nearest of all");
            }
        }
    }
    assert!(feasible >= 12 && infeasible >= 6, "{feasible} and {infeasible} cases");
}

#[test]
fn a_seed_decides_everything_and_seeds_agree() {
    let space = Space::load("fashion").unwrap();
    let (predictor, costs) = (predictor(&space, 2), board(&space, &|_| false));
    let limits = Limits { latency: Some(25_000_000), sram: Some(40 << 10), flash: Some(120 << 10), macs: None };
    let find = |seed| search(&Problem::new(&space, &predictor, &costs, limits), seed).unwrap();
    let first = find(1);
    assert!(first == find(1));
    for seed in 2..4 {
        assert_eq!(find(seed).best, first.best, "seed {seed} settles elsewhere");
    }
}

/// Of the 10⁹ nets one fits: no random draw would meet it.
#[test]
fn the_smallest_net_is_found_in_limits_that_only_it_meets() {
    let space = Space::load("fashion").unwrap();
    let costs = board(&space, &|_| false);
    let smallest = costs.of(&space.layers(&space.smallest())).unwrap();
    let limits = Limits { flash: Some(smallest.flash_bytes), macs: Some(smallest.macs), ..Limits::default() };
    let found = search(&Problem::new(&space, &predictor(&space, 4), &costs, limits), 0).unwrap();
    assert_eq!(found.best.arch, space.smallest());
}

#[test]
fn nets_with_a_refused_layer_are_not_found() {
    let space = toy();
    let of_7 = |layer: &Layer| matches!(layer, Layer::Block(block) if block.kernel == 7);
    let costs = board(&space, &of_7);
    let predictor = predictor(&space, 3);
    let find = |costs| search(&evolution(&space, &predictor, costs, Limits::default()), 0);
    let found = find(&costs).unwrap();
    for net in found.front.iter().chain([&found.best]) {
        assert!(!space.layers(&net.arch).iter().any(of_7));
    }
    let error = find(&board(&space, &|layer| matches!(layer, Layer::Pool(_)))).unwrap_err();
    assert!(error.downcast_ref::<Infeasible>().unwrap().nearest.is_none());
    assert!(error.to_string().ends_with("the board refuses a layer of 100.0 %; the board refuses all"), "{error}");
}

#[test]
fn the_front_is_what_nothing_beats() {
    let space = toy();
    let costs = board(&space, &|_| false);
    let found = search(&evolution(&space, &predictor(&space, 1), &costs, Limits::default()), 0);
    let Found { best, front, .. } = found.unwrap();
    assert_eq!(front[0].accuracy, best.accuracy, "without limits the best leads the front");
    let beats = |a: &Net, b: &Net| {
        let (a, b) = ((a.accuracy, a.cost.unwrap()), (b.accuracy, b.cost.unwrap()));
        let costs = [Quantity::Latency, Quantity::Sram, Quantity::Flash];
        a.0 >= b.0 && costs.iter().all(|&quantity| a.1.get(quantity) <= b.1.get(quantity))
    };
    assert!(front.len() > 3);
    for (i, a) in front.iter().enumerate() {
        assert!(front.iter().enumerate().all(|(j, b)| i == j || !beats(b, a)), "{a:?} is beaten");
    }
}

#[test]
fn a_failure_says_what_excludes_and_what_would_fit() {
    let space = toy();
    let costs = board(&space, &|_| false);
    let mut bytes: Vec<u64> =
        all_nets(&space).iter().map(|arch| costs.of(&space.layers(arch)).unwrap().sram_bytes).collect();
    bytes.sort_unstable();
    let median = bytes[bytes.len() / 2];
    let limits = Limits { latency: Some(100_000), sram: Some(median), ..Limits::default() };
    let error = search(&evolution(&space, &predictor(&space, 1), &costs, limits), 0).unwrap_err();
    let failure: &Infeasible = error.downcast_ref().unwrap();
    assert_eq!(failure.excluded[0], Exclusion { limit: Quantity::Latency, share: 1.0 });
    let Exclusion { limit, share } = failure.excluded[1];
    assert!(limit == Quantity::Sram && (0.1..0.9).contains(&share), "{share}");
    let cost = failure.nearest.as_ref().and_then(|net| net.cost).unwrap();
    let (latency, sram) = (cost.latency.unwrap(), cost.sram_bytes);
    let said = error.to_string();
    assert!(said.contains(&format!("latency {latency} instructions (")), "{said}");
    assert!(
        said.ends_with(&format!(" it fits with --limit latency={latency} --limit sram={}", sram.max(median))),
        "{said}"
    );
    let wider = Limits { latency: Some(latency), sram: Some(sram.max(median)), ..limits };
    search(&evolution(&space, &predictor(&space, 1), &costs, wider), 0).unwrap();
}
