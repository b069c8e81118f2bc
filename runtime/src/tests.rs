//! Every layer against its formula in wide integers and in floating point, and every kind of kernels against the
//! plain ones, bit for bit, on any shape, wherever its maps lie, and at the extremes.

mod formula;
mod generate;

#[cfg(ofa_vectors)]
use std::io::Write;
use std::vec::Vec;
use std::{assert_eq, vec};

use proptest::prelude::*;

use crate::dsp::Dsp;
use crate::grouped;
use crate::held::Held;
use crate::join::Joined;
use crate::layer::{Activation, Depthwise, Layer, Pool, Shape};
use crate::memory;
use crate::model::{Moment, Net};
use crate::order::pack;
use crate::plan::{self, Place, Regions, Step, arena_bytes, regions};
use crate::quant::{Channel, Quant};
use crate::reference::execute;
use crate::scalar::Scalar;
#[cfg(ofa_vectors)]
use crate::simd::Simd;
use crate::stream::{self, Event, Fused, Kernels, run};
use crate::weights::Weights;
use generate::{AnyNet, chains, expanding, net_problems, openings, problem, scarce};
pub(crate) use generate::{layers, nets, rings};

/// A layer with all that it computes on.
#[derive(Clone, Debug)]
struct Problem {
    step: Step,
    channels: Vec<Channel>,
    /// Row by row.
    taps: Vec<u8>,
    input: Vec<i8>,
}

impl Problem {
    /// The taps in the order of flash.
    fn packed(&self) -> Vec<u8> {
        let rows: Vec<i8> = self.taps.iter().map(|&tap| tap as i8).collect();
        let mut packed = self.taps.clone();
        let mut matrix = |outputs: u16, from: usize, to: usize| {
            if from < to {
                pack(&rows[from..to], outputs.into(), (to - from) / usize::from(outputs), &mut packed[from..to]);
            }
        };
        match self.step.layer {
            Layer::Conv(conv) => {
                let taps = conv.matrix_taps();
                pack(&rows[..taps], conv.channels.into(), conv.order().row, &mut packed[..taps]);
            }
            Layer::Linear(linear) => matrix(linear.outputs, 0, linear.matrix_taps()),
            Layer::Block(block) => {
                matrix(block.expanded, 0, block.expand_taps());
                let project = rows.len() - block.project_taps();
                let vector = usize::from(block.squeeze) * usize::from(block.expanded);
                if block.squeeze > 0 {
                    matrix(block.squeeze, project - 2 * vector, project - vector);
                    matrix(block.expanded, project - vector, project);
                }
                matrix(block.channels, project, rows.len());
            }
            Layer::Pool(_) | Layer::Depthwise(_) => {}
        }
        packed
    }

    /// By the plain kernels.
    fn output(&self) -> Vec<i8> {
        let layer = &self.step.layer;
        let mut hidden = vec![99; layer.hidden_bytes()];
        let mut output = vec![99; layer.output().len()];
        let weights = Weights { channels: &self.channels, taps: &self.packed() };
        execute(&self.step, weights, &self.input, &mut hidden, &mut output);
        output
    }

    /// In an arena of exactly the planned size, whose rest is `poison`, the input at its start or as far on as the
    /// output needs. Panics if a byte changed that belongs to neither input, output nor scratch.
    fn streamed<K: Kernels>(&self, ascending: bool, poison: i8) -> Vec<i8> {
        let layer = &self.step.layer;
        let (input, output) = (layer.input().len(), layer.output().len());
        let place = match ascending || layer.in_place() {
            false => Place::descending(&layer.needs(), layer.consumption().lead(true)),
            true => Place::new(&[self.step], 0, layer.lead_ascending().next_multiple_of(4)),
        };
        let mut arena = vec![u32::from_le_bytes([poison as u8; 4]); (place.scratch + layer.scratch_bytes()) / 4];
        memory::bytes(&mut arena)[place.input..][..input].copy_from_slice(&self.input);
        let before = memory::bytes(&mut arena).to_vec();
        let weights = Weights { channels: &self.channels, taps: &self.packed() };
        run::<K>(&self.step, weights, &place, &mut arena);
        let after = memory::bytes(&mut arena);
        let owned = |i: usize| {
            (place.input..place.input + input).contains(&i)
                || (place.output..place.output + output).contains(&i)
                || i >= place.scratch
        };
        for i in 0..after.len() {
            assert!(owned(i) || before[i] == after[i], "{layer} wrote byte {i}, which is not its own");
        }
        after[place.output..][..output].to_vec()
    }

    /// A block that holds a ring or groups so, in scratch memory of exactly the planned size.
    fn held<K: Kernels>(&self, held: Held, descending: bool, poison: i8) -> Vec<i8> {
        if let Held::Grouped { rows, channels } = held {
            return self.grouped::<K>((rows, channels), descending, poison);
        }
        let Step { layer: Layer::Block(block), quant } = self.step else { unreachable!("it is a block") };
        let (input, output, taps) = (block.input, block.output(), self.packed());
        let fused = stream::general(&block, &quant, Weights { channels: &self.channels, taps: &taps }).fused;
        let window = (fused.filter.kernel, fused.filter.stride);
        let fused = Fused { held, spent: if descending { window.0 - 1 } else { 0 }, ..fused };
        let mut scratch = vec![u32::from_le_bytes([poison as u8; 4]); block.ring_bytes(held) / 4];
        let mut made = vec![99; output.len()];
        if block.residual {
            made.copy_from_slice(&self.input);
        }
        K::begin(&fused, &mut scratch);
        stream::windows(window, input.height.into(), 0..output.height.into(), descending, |event| match event {
            Event::Take { slot, row } => {
                K::take(&fused, slot, row.map(|row| &self.input[row * input.row()..][..input.row()]), &mut scratch);
            }
            Event::Give { row } => {
                K::give(&fused, row, &mut made[row * output.row()..][..output.row()], &mut scratch);
            }
        });
        made
    }

    /// A block by groups of channels, so many of them and output rows at a time, in scratch memory of exactly the planned size.
    fn grouped<K: Kernels>(&self, (rows, channels): (usize, usize), descending: bool, poison: i8) -> Vec<i8> {
        let Step { layer: Layer::Block(block), quant } = self.step else { unreachable!("it is a block") };
        let (input, output, taps) = (self.input.len(), block.output().len(), self.packed());
        let fused = stream::general(&block, &quant, Weights { channels: &self.channels, taps: &taps }).fused;
        let place = Place { input: 0, output: if block.residual { 0 } else { input }, descending, scratch: 0 };
        let mut maps = self.input.clone();
        maps.resize(place.output + output, 99);
        let bytes = block.ring_bytes(Held::Grouped { rows, channels });
        let mut scratch = vec![u32::from_le_bytes([poison as u8; 4]); bytes / 4];
        grouped::run::<K>(&fused, &block, (rows, channels), &place, &mut maps, &mut scratch);
        maps.split_off(place.output)
    }

    /// That a block that is held so computes what is expected.
    fn check_held(&self, held: Held, descending: bool, expected: &[i8]) {
        for poison in [0, -86] {
            compare("scalar", !descending, &self.held::<Scalar>(held, descending, poison), expected);
            compare("dsp", !descending, &self.held::<Dsp>(held, descending, poison), expected);
            #[cfg(ofa_vectors)]
            compare("simd", !descending, &self.held::<Simd>(held, descending, poison), expected);
        }
    }

    fn check(&self) {
        let expected = self.output();
        #[cfg(ofa_vectors)]
        say_what_is_skipped();
        for ascending in [false, true] {
            for poison in [0, -86] {
                compare("scalar", ascending, &self.streamed::<Scalar>(ascending, poison), &expected);
                compare("dsp", ascending, &self.streamed::<Dsp>(ascending, poison), &expected);
                #[cfg(ofa_vectors)]
                compare("simd", ascending, &self.streamed::<Simd>(ascending, poison), &expected);
            }
        }
    }
}

fn compare(kernels: &str, ascending: bool, output: &[i8], expected: &[i8]) {
    let differs = (0..expected.len()).find(|&i| output[i] != expected[i]);
    assert_eq!(differs, None, "the first value in which {kernels} differs, ascending: {ascending}");
}

#[cfg(ofa_vectors)]
fn say_what_is_skipped() {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        if !Simd::is_here() {
            // Past the test runner, which keeps what a passing test prints to itself.
            let _ = writeln!(std::io::stderr(), "SKIPPED the kernels of the host's vectors: this processor has none");
        }
    });
}

proptest! {
    #![proptest_config(config(2048))]

    #[test]
    fn layers_are_their_formulas(problem in layers().prop_flat_map(problem)) {
        prop_assert_eq!(problem.output(), problem.formula());
    }

    #[test]
    fn streamed_layers_are_the_plain_ones(problem in layers().prop_flat_map(problem)) {
        problem.check();
    }
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn however_it_is_held_a_block_computes_the_same(problem in rings().prop_flat_map(problem), descending: bool) {
        let expected = problem.output();
        for held in [Held::Wide, Held::Narrow, Held::Tight] {
            problem.check_held(held, descending, &expected);
        }
    }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn however_large_its_bands_a_block_by_groups_computes_the_same(
        problem in expanding().prop_flat_map(problem),
        rows in 1..9_usize,
        channels in prop::sample::select(vec![8_usize, 16, 32]),
        descending: bool,
    ) {
        let layer = &problem.step.layer;
        let height = usize::from(layer.output().height);
        let rows = if layer.in_place() { height } else { rows.min(height) };
        problem.check_held(Held::Grouped { rows, channels }, descending, &problem.output());
    }
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    #[cfg_attr(miri, ignore = "a million products, which the test of all bands does with fewer")]
    fn blocks_that_memory_is_scarce_for_go_by_groups(problem in scarce().prop_flat_map(problem)) {
        let Layer::Block(block) = problem.step.layer else { unreachable!("it is a block") };
        prop_assert!(matches!(block.held().0, Held::Grouped { .. }), "{:?}", block.held());
        problem.check();
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn an_observed_net_computes_the_same(sample in nets()) {
        let net = sample.net();
        let mut arena = vec![0; net.arena_bytes() / 4];
        memory::bytes(&mut arena)[..sample.image.len()].copy_from_slice(&sample.image);
        let scores = net.run(&mut arena).to_vec();
        memory::bytes(&mut arena)[..sample.image.len()].copy_from_slice(&sample.image);
        let mut seen = vec![];
        let observed = net.run_with(&mut arena, |moment, i, layer| seen.push((moment, i, *layer))).to_vec();
        prop_assert_eq!(observed, scores);
        let turns = seen.chunks(2).map(|turn| match turn {
            &[(Moment::Before, i, layer), (Moment::After, j, _)] if i == j && net.steps()[i].layer == layer => Ok(i),
            other => Err(other),
        });
        let turns = turns.collect::<Result<Vec<_>, _>>();
        let mut expected = vec![];
        if let Some(joined) = plan::joined(net.steps()) {
            expected.extend([0, 1].repeat(joined.conv.output().height.into()));
            expected.extend(vec![1; usize::from(joined.block.kernel / 2)]);
        }
        expected.extend(if expected.is_empty() { 0 } else { 2 }..net.steps().len());
        prop_assert_eq!(turns, Ok(expected));
    }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn whole_nets_are_their_layers(problems in chains().prop_flat_map(|net| net.into_iter().map(problem).collect::<Vec<_>>())) {
        check_net(&problems);
    }

    #[test]
    fn nets_that_may_begin_with_two_layers_as_one_are_their_layers(problems in net_problems()) {
        check_net(&problems);
    }

    #[test]
    fn a_step_never_works_beyond_the_arena(problems in net_problems()) {
        let steps: Vec<Step> = problems.iter().map(|problem| problem.step).collect();
        let regions = regions(&steps).map(|Regions { input, output, scratch }| {
            assert!(input.end <= scratch.start && output.end <= scratch.start);
            scratch.end
        });
        prop_assert_eq!(regions.max(), Some(arena_bytes(&steps)));
    }
}

proptest! {
    #![proptest_config(config(1024))]

    #[test]
    fn two_layers_as_one_are_one_after_the_other(
        (stem, block) in openings()
            .prop_filter("the output follows the image", |layers| ways(*layers)[0].over_image().is_some())
            .prop_flat_map(|[stem, block]| (problem(stem), problem(block))),
    ) {
        let expected = Problem { input: stem.output(), ..block.clone() }.output();
        for joined in Joined::ways(&[stem.step, block.step]).expect("the block takes rows") {
            for poison in [0, -86] {
                compare("scalar", true, &as_one::<Scalar>(joined, &stem, &block, poison), &expected);
                compare("dsp", true, &as_one::<Dsp>(joined, &stem, &block, poison), &expected);
                #[cfg(ofa_vectors)]
                compare("simd", true, &as_one::<Simd>(joined, &stem, &block, poison), &expected);
            }
        }
    }
}

fn ways(layers: [Layer; 2]) -> [Joined; 3] {
    let quant = Quant { input_zero: 0, output_zero: 0, hidden_zeros: [0; 2], residual: 0 };
    Joined::ways(&layers.map(|layer| Step { layer, quant })).expect("the block takes rows")
}

/// In an arena of exactly the planned size, whose rest is `poison`. Panics if a byte changed that belongs to neither
/// image, output nor scratch.
fn as_one<K: Kernels>(joined: Joined, stem: &Problem, block: &Problem, poison: i8) -> Vec<i8> {
    let scratch = joined.over_image().expect("the output follows the image");
    let mut arena = vec![u32::from_le_bytes([poison as u8; 4]); (scratch + joined.scratch_bytes()) / 4];
    let (image, output) = (stem.input.len(), block.step.layer.output().len());
    memory::bytes(&mut arena)[..image].copy_from_slice(&stem.input);
    let channels = [&stem.channels[..], &block.channels].concat();
    let taps = [stem.packed(), block.packed()].concat();
    joined.run::<K>(Weights { channels: &channels, taps: &taps }, &mut arena, |_, _, _| ());
    let after = memory::bytes(&mut arena);
    for (i, &value) in after[..scratch].iter().enumerate().skip(image.max(output)) {
        assert!(value == poison, "{joined:?} wrote byte {i}, which is not its own");
    }
    after[..output].to_vec()
}

/// So many cases as `OFA_CASES` says, or else `usual`. One under miri, which takes a minute for what a processor does in a
/// moment, and shows tests no files.
pub(crate) fn config(usual: u32) -> ProptestConfig {
    if cfg!(miri) {
        return ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() };
    }
    ProptestConfig::with_cases(match std::env::var("OFA_CASES") {
        Ok(cases) => cases.parse().expect("OFA_CASES is a number"),
        Err(_) => usual,
    })
}

/// Every kind of kernels, in an arena of exactly the planned size, against one layer after the other.
fn check_net(problems: &[Problem]) {
    let sample = AnyNet::new(problems, problems[0].input.clone());
    let (net, image) = (sample.net(), &sample.image);
    let expected = problems.iter().fold(image.clone(), |input, problem| Problem { input, ..problem.clone() }.output());
    for poison in [0, -86] {
        compare("scalar", false, &whole::<Scalar>(&net, image, poison), &expected);
        compare("dsp", false, &whole::<Dsp>(&net, image, poison), &expected);
        #[cfg(ofa_vectors)]
        compare("simd", false, &whole::<Simd>(&net, image, poison), &expected);
    }
}

fn whole<K: Kernels>(net: &Net<'_>, image: &[i8], poison: i8) -> Vec<i8> {
    let mut arena = vec![u32::from_le_bytes([poison as u8; 4]); net.arena_bytes() / 4];
    memory::bytes(&mut arena)[..image.len()].copy_from_slice(image);
    net.run_from::<K>(0, 0, &mut arena, |_, _, _| ()).to_vec()
}

#[test]
fn an_arena_that_is_too_short_gives_no_scores() {
    let steps = [Step {
        layer: Layer::Pool(Pool { input: Shape::new(2, 2, 4) }),
        quant: Quant { input_zero: 0, output_zero: 0, hidden_zeros: [0; 2], residual: 0 },
    }];
    let channels = [Channel { bias: 0, multiplier: 1 << 22 }];
    let net = Net::new(&steps, &channels, &[]).expect("a pooling layer is a net");
    let mut arena = vec![0; net.arena_bytes() / 4];
    assert_eq!(net.run(&mut arena).len(), 4);
    arena.pop();
    assert!(net.run(&mut arena).is_empty());
    assert!(net.run_with(&mut arena, |_, _, _| panic!("nothing runs")).is_empty());
}

#[test]
#[cfg_attr(miri, ignore = "has not ended after eleven minutes")]
fn the_widest_row_has_windows_to_its_end() {
    let layer = Layer::Depthwise(Depthwise {
        input: Shape::new(1, u16::MAX, 1),
        kernel: 15,
        stride: 1,
        activation: Activation::None,
    });
    let problem = Problem {
        step: Step { layer, quant: Quant { input_zero: 3, output_zero: -5, residual: 0, hidden_zeros: [0; 2] } },
        channels: vec![Channel { bias: 100, multiplier: 1 << 20 }],
        taps: (0..layer.taps()).map(|i| (i * 37) as u8).collect(),
        input: (0..layer.input().len()).map(|i| (i * 11) as i8).collect(),
    };
    assert!(problem.output() == problem.formula());
    problem.check();
}
