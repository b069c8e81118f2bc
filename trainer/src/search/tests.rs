use std::collections::HashSet;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::Layer;

use super::*;
use crate::predictor::{Dense, features};
use crate::table::Clock;

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
    Costs::of_board(space, "made-up", Clock { unit: "instructions", hz: None }, 10_000, |layer| {
        Some((!refuses(layer)).then(|| ticks(layer)))
    })
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
                let nearest = &failure.nearest[0];
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
    assert!(error.downcast_ref::<Infeasible>().unwrap().nearest.is_empty());
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
    assert_eq!(failure.boards[0].excluded[0], Exclusion { limit: Quantity::Latency, share: 1.0 });
    let Exclusion { limit, share } = failure.boards[0].excluded[1];
    assert!(limit == Quantity::Sram && (0.1..0.9).contains(&share), "{share}");
    let costs_of_named: Vec<_> = failure.nearest.iter().map(|net| net.cost.unwrap()).collect();
    assert!(costs_of_named.len() == 4 && costs_of_named == failure.boards[0].costs);
    let cost = costs_of_named[0];
    let (latency, sram) = (cost.latency.unwrap(), cost.sram_bytes);
    let said = error.to_string();
    assert!(said.contains(&format!("latency {latency} instructions (")), "{said}");
    let fits_with = format!(" it fits with --limit latency={latency} --limit sram={};", sram.max(median));
    assert!(said.contains(&fits_with), "{said}");
    for cost in &costs_of_named[1..] {
        let next = format!(" %, latency {} instructions, sram {} bytes", cost.latency.unwrap(), cost.sram_bytes);
        assert!(said.contains(&next), "{next} is not in {said}");
    }
    let wider = Limits { latency: Some(latency), sram: Some(sram.max(median)), ..limits };
    search(&evolution(&space, &predictor(&space, 1), &costs, wider), 0).unwrap();
}

/// A space of few nets, of which evolution and the list of all find the same.
#[test]
fn a_small_space_is_listed_whole() {
    let space = toy();
    let (predictor, costs) = (predictor(&space, 5), board(&space, &|_| false));
    let limits = Limits { latency: Some(2_000_000), ..Limits::default() };
    let problem = Problem::new(&space, &predictor, &costs, limits);
    let found = search(&problem, 0).unwrap();
    assert_eq!(Some(found.evaluated as u128), space.subnets());
    assert_eq!(found.best, search(&evolution(&space, &predictor, &costs, limits), 0).unwrap().best);
    assert!(found.top.len() == TOP && found.top[0] == found.best);
    assert!(found.top.is_sorted_by(|a, b| a.accuracy >= b.accuracy));
    let large = Space::load("mcu").unwrap();
    let (predictor, costs) = (super::tests::predictor(&large, 1), Costs::without_board());
    let all = Problem { method: Method::Exhaustive, ..Problem::new(&large, &predictor, &costs, Limits::default()) };
    assert!(search(&all, 0).unwrap_err().to_string().contains("too many nets to look at all"));
}

/// Nothing on it is beaten, and whatever is on the front of all nets, something on it comes within 0.05 points at no
/// greater cost.
#[test]
fn the_front_in_one_go_is_that_of_all_nets() {
    let space = toy();
    let costs = board(&space, &|_| false);
    for seed in 0..3 {
        let predictor = predictor(&space, seed);
        let problem = evolution(&space, &predictor, &costs, Limits::default());
        let found = search_front(&problem, seed).unwrap();
        let all = Problem { method: Method::Exhaustive, ..problem.clone() };
        let whole = search_front(&all, seed).unwrap();
        let values = |net: &Net| {
            let cost = net.cost.unwrap();
            (net.accuracy, [cost.latency.unwrap(), cost.sram_bytes, cost.flash_bytes])
        };
        let cheaper = |a: &[u64; 3], b: &[u64; 3]| a.iter().zip(b).all(|(a, b)| a <= b);
        let nets: Vec<_> = found.nets.iter().map(values).collect();
        for (i, a) in nets.iter().enumerate() {
            let beaten = nets.iter().enumerate().any(|(j, b)| i != j && b.0 >= a.0 && cheaper(&b.1, &a.1));
            assert!(!beaten, "{a:?} is beaten");
        }
        let near = |(accuracy, costs): &(f32, [u64; 3])| {
            nets.iter().any(|net| net.0 >= accuracy - 0.0005 && cheaper(&net.1, costs))
        };
        let missed: Vec<_> = whole.nets.iter().map(values).filter(|net| !near(net)).collect();
        assert!(
            missed.is_empty(),
            "{missed:?} of {} are missed by {} evaluations",
            whole.nets.len(),
            found.evaluations
        );
        assert_eq!(whole.evaluated as u128, space.subnets().unwrap());
        let again = search_front(&problem, seed).unwrap();
        assert!(again == found, "a seed decides");
    }
}

/// The fastest net that is accurate enough, beside the list of all.
#[test]
fn the_objective_latency_finds_the_fastest_that_is_accurate_enough() {
    let space = toy();
    let (predictor, costs) = (predictor(&space, 6), board(&space, &|_| false));
    let archs = all_nets(&space);
    let accuracies = predictor.predict(&archs).unwrap();
    let latency = |arch: &Arch| costs.of(&space.layers(arch)).unwrap().latency.unwrap();
    let highest = accuracies.iter().copied().fold(f32::MIN, f32::max);
    let problem = |least: f32, costs| {
        let mut problem = evolution(&space, &predictor, costs, Limits::default());
        problem.goal.objective = Objective::Latency { least: f64::from(least) };
        problem
    };
    for short in [0.01, 0.1, 0.3] {
        let least = highest - short;
        let enough = archs.iter().zip(&accuracies).filter(|(_, accuracy)| **accuracy >= least);
        let fastest = enough.map(|(arch, _)| latency(arch)).min();
        let found = search(&problem(least, &costs), 0).unwrap();
        assert!(found.best.accuracy >= least);
        assert_eq!(found.best.cost.unwrap().latency, fastest, "{short} points below the best");
    }
    let error = search(&problem(highest + 0.01, &costs), 0).unwrap_err();
    let at_least = error.downcast_ref::<Infeasible>().unwrap().at_least.unwrap();
    assert!(at_least.share == 1.0 && at_least.nearest == f64::from(highest), "{at_least:?}");
    let (asked, reached) = (f64::from(highest + 0.01), (1e4 * f64::from(highest)).floor() / 100.0);
    let said = error.to_string();
    let excludes = format!(" evenly an accuracy of at least {:.2} % alone excludes 100.0 %;", 100.0 * asked);
    assert!(said.contains(&excludes) && said.contains(&format!(" it fits with --at-least {reached:.2};")), "{said}");
    let without = Costs::without_board();
    assert!(search(&problem(0.0, &without), 0).unwrap_err().to_string().contains("--table"));
}

#[test]
fn the_lower_end_of_the_interval_can_be_what_counts() {
    let space = toy();
    let inputs = features(&space, &space.smallest()).len();
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut values = |count| (0..count).map(|_| rng.random_range(-0.2..0.2)).collect::<Vec<f32>>();
    let predictor = Predictor::new(&[Dense { inputs, weights: values(3 * inputs), bias: values(3) }], &space).unwrap();
    let costs = Costs::without_board();
    let mut problem = Problem::new(&space, &predictor, &costs, Limits::default());
    let mean = search(&problem, 0).unwrap().best;
    problem.goal.figure = Figure::Lower;
    let lower = search(&problem, 0).unwrap().best;
    let all = predictor.predict_interval(&all_nets(&space)).unwrap();
    let highest = all.iter().map(|said| said.interval()[0]).fold(f32::MIN, f32::max);
    assert_eq!(lower.prediction().interval()[0], highest);
    assert!(lower != mean && lower.accuracy < mean.accuracy);
}

/// One net for two boards is the best of those that are within the limits of both.
#[test]
fn one_net_is_within_the_limits_of_two_boards() {
    let space = toy();
    let predictor = predictor(&space, 9);
    let first = board(&space, &|_| false);
    let second = |layer: &Layer| Some(Some(500 + layer.parameters() as u32 * 40));
    let second = Costs::of_board(&space, "other", Clock { unit: "cycles", hz: Some(1e6) }, 0, second).unwrap();
    let archs = all_nets(&space);
    let latencies = |costs: &Costs| -> Vec<u64> {
        archs.iter().map(|arch| costs.of(&space.layers(arch)).unwrap().latency.unwrap()).collect()
    };
    let (a, b) = (latencies(&first), latencies(&second));
    let middle = |values: &[u64]| {
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        sorted[sorted.len() / 3]
    };
    let limits = [middle(&a), middle(&b)];
    let accuracies = predictor.predict(&archs).unwrap();
    let fits = |i: &usize| a[*i] <= limits[0] && b[*i] <= limits[1];
    let best = (0..archs.len()).filter(fits).map(|i| accuracies[i]).fold(f32::MIN, f32::max);
    let of = |latency| Limits { latency: Some(latency), ..Limits::default() };
    let mut problem = evolution(&space, &predictor, &first, of(limits[0]));
    problem.boards.push((&second, of(limits[1])));
    assert_eq!(search(&problem, 0).unwrap().best.accuracy, best);
    assert!(search_front(&problem, 0).unwrap_err().to_string().contains("--all-boards"));
    let found = search(&problem, 0).unwrap();
    let choice = found.choice(&problem, 0);
    let i = archs.iter().position(|arch| *arch == choice.arch).unwrap();
    assert_eq!((choice.others[0].latency.predicted, choice.others[0].latency.limit), (b[i], Some(limits[1])));
    let bounds = explain(&problem, &found, 0).unwrap().limits;
    let of_second = bounds.iter().find(|bound| bound.board.as_deref() == Some("other")).unwrap();
    assert_eq!((of_second.used, of_second.allowed, of_second.more), (b[i], limits[1], 1000), "a millisecond at 1 MHz");

    // What nothing fits is the second board's limit alone.
    problem.boards[0].1 = Limits::default();
    problem.boards[1].1 = of(1);
    let error = search(&problem, 0).unwrap_err();
    let [_, second] = &error.downcast_ref::<Infeasible>().unwrap().boards[..] else { panic!("two boards") };
    assert_eq!(second.excluded, [Exclusion { limit: Quantity::Latency, share: 1.0 }]);
    let least = b.iter().min().unwrap();
    let said = error.to_string();
    for part in ["latency@other=1 alone excludes 100.0 %", &format!("it fits with --limit latency@other={least};")] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}

/// A limit binds where raising it buys accuracy: beside the list of all nets. Stem and first block run as one.
#[test]
fn an_explanation_adds_up_and_says_what_binds() {
    let space = toy();
    let layers = space.distinct_layers();
    let pairs = layers.iter().flat_map(|stem| layers.iter().map(|block| ([*stem, *block], 9 * block.macs() as u32)));
    let (predictor, costs) = (predictor(&space, 2), board(&space, &|_| false).with_openings(pairs));
    let free = search(&Problem::new(&space, &predictor, &costs, Limits::default()), 0).unwrap().best.cost.unwrap();
    let limits = Limits { latency: free.latency.map(|latency| latency / 2), sram: Some(1 << 20), ..Limits::default() };
    let problem = Problem::new(&space, &predictor, &costs, limits);
    let mut found = search(&problem, 0).unwrap();
    let best = found.best.clone();
    let Explanation { parts, limits: bounds } = explain(&problem, &found, 0).unwrap();
    let names: Vec<_> = parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["stem", "stage 0", "stage 1", "stage 2", "head"]);
    let cost = best.cost.unwrap();
    assert_eq!(parts.iter().map(|part| part.latency.unwrap()).sum::<u64>(), cost.latency.unwrap());
    assert_eq!(parts.iter().map(|part| part.macs).sum::<u64>(), cost.macs);
    assert_eq!(parts.iter().map(|part| part.flash_bytes).sum::<u64>() + 10_000, cost.flash_bytes);
    assert_eq!((bounds[1].limit, bounds[1].binds(), bounds[1].more), (Quantity::Sram, false, 8192));
    let allowed = limits.latency.unwrap();
    assert_eq!(
        (bounds[0].limit, bounds[0].used, bounds[0].more),
        (Quantity::Latency, cost.latency.unwrap(), allowed / 100)
    );
    let raised = Problem::new(&space, &predictor, &costs, limits.with(Quantity::Latency, allowed + allowed / 100));
    let gain = search(&raised, 0).unwrap().best.accuracy - best.accuracy;
    assert_eq!(bounds[0].gain, gain);

    // A net that the supernet prefers is not what the gain is told beside.
    found.best = found.top[3].clone();
    assert_eq!(explain(&problem, &found, 0).unwrap().limits[0].gain, gain);
}

/// Where the fastest net is sought, ticks are what more buys.
#[test]
fn more_memory_buys_ticks_where_the_fastest_is_sought() {
    let space = toy();
    let (predictor, costs) = (predictor(&space, 2), board(&space, &|_| false));
    let accurate = search(&Problem::new(&space, &predictor, &costs, Limits::default()), 0).unwrap().best;
    let goal = Goal { objective: Objective::Latency { least: f64::from(accurate.accuracy) - 0.1 }, ..Goal::default() };
    let with = |limits| Problem { goal, ..Problem::new(&space, &predictor, &costs, limits) };
    let free = search(&with(Limits::default()), 0).unwrap().best.cost.unwrap();
    // Less than the fastest of all has, of what leaves a net.
    let limited = [Quantity::Sram, Quantity::Flash, Quantity::Macs].into_iter().find_map(|quantity| {
        let problem = with(Limits::default().with(quantity, free.get(quantity).unwrap() - 1));
        Some((search(&problem, 0).ok()?, problem))
    });
    let (found, problem) = limited.unwrap();
    let bounds = explain(&problem, &found, 0).unwrap().limits;
    let spared = found.best.cost.unwrap().latency.unwrap() - free.latency.unwrap();
    assert_eq!((bounds[0].binds(), bounds[0].gain, bounds[0].spared), (spared > 0, 0.0, Some(spared)));
    assert!(spared > 0, "the test's own limit binds");
}

/// Of two nets that miss what is asked for, one by a little in both ways and one in one way alone.
#[test]
fn what_misses_its_costs_a_little_may_miss_the_accuracy_too() {
    let space = toy();
    let (predictor, costs) = (predictor(&space, 2), board(&space, &|_| false));
    let archs = all_nets(&space);
    let mut latencies: Vec<u64> =
        archs.iter().map(|arch| costs.of(&space.layers(arch)).unwrap().latency.unwrap()).collect();
    latencies.sort_unstable();
    let limits = Limits { latency: Some(latencies[latencies.len() / 4]), ..Limits::default() };
    let method = Method::Exhaustive;
    let problem = Problem { method, ..Problem::new(&space, &predictor, &costs, limits) };
    let least = f64::from(search(&problem, 0).unwrap().best.accuracy) + 0.02;
    let problem = Problem { goal: Goal { objective: Objective::Latency { least }, ..Goal::default() }, ..problem };
    let error = search(&problem, 0).unwrap_err();
    let nearest = &error.downcast_ref::<Infeasible>().unwrap().nearest[0];
    let excess = |arch: &Arch, accuracy: f32| {
        limits.excess(costs.of(&space.layers(arch)).as_ref()).max(1.0 + (least - f64::from(accuracy)))
    };
    let all = archs.iter().zip(predictor.predict(&archs).unwrap()).map(|(arch, accuracy)| excess(arch, accuracy));
    assert_eq!(excess(&nearest.arch, nearest.accuracy), all.min_by(f64::total_cmp).unwrap());
}
