use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::Layer;
use tch::{Device, Kind, Tensor, no_grad};

use super::Supernet;
use crate::dataset::{Dataset, Facts, Images, Normalisation};
use crate::evaluate::{accuracy, calibrate, pixels};
use crate::files::Header;
use crate::float::FloatNet;
use crate::recipe::Recipe;
use crate::space::{Arch, BlockArch, Space};
use crate::train::{Training, train};

/// A supernet whose every number is random, norms and kernel matrices too: nothing holds by luck of the start.
fn random_supernet(space: &Space, rng: &mut ChaCha8Rng) -> Supernet {
    let channels = usize::from(space.input.channels.0);
    let normalisation = Normalisation { mean: vec![90.0; channels], deviation: vec![60.0; channels] };
    let supernet = Supernet::new(space, normalisation, Device::Cpu, rng).unwrap();
    no_grad(|| {
        for tensor in supernet.variables().trainable_variables() {
            let noise: Vec<f32> = (0..tensor.numel()).map(|_| rng.random_range(-0.1..0.1)).collect();
            let _ = tensor.shallow_clone().g_add_(&Tensor::from_slice(&noise).view_as(&tensor));
        }
    });
    supernet
}

fn random_pixels(space: &Space, resolution: u16, rng: &mut ChaCha8Rng) -> Tensor {
    let (side, channels) = (i64::from(resolution), i64::from(space.input.channels.0));
    let values: Vec<f32> = (0..16 * channels * side * side).map(|_| rng.random_range(0.0..255.0)).collect();
    Tensor::from_slice(&values).view([16, channels, side, side])
}

/// Without and with squeeze-and-excite.
fn spaces() -> [Space; 2] {
    [Space::load("fashion").unwrap(), Space::parse(include_str!("swish.toml"), "swish").unwrap()]
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

#[test]
fn sorting_leaves_the_largest_net_and_moves_the_others() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for space in spaces() {
        let mut supernet = random_supernet(&space, &mut rng);
        let pixels = random_pixels(&space, 28, &mut rng);
        let scores = |supernet: &Supernet| [0, 1].map(|steps| supernet.forward(&space.narrowed(steps), &pixels));
        let before = scores(&supernet);
        supernet.sort_channels(1);
        let after = scores(&supernet);
        assert!(difference(&before[0], &after[0]) < 1e-5, "{}: {}", space.name, difference(&before[0], &after[0]));
        assert!(difference(&before[1], &after[1]) > 1e-3, "{}", space.name);
    }
}

#[test]
fn a_second_sort_stays_inside_the_widths_that_are_open() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for space in spaces() {
        let mut supernet = random_supernet(&space, &mut rng);
        let pixels = random_pixels(&space, 28, &mut rng);
        let scores = |supernet: &Supernet| [0, 1, 2].map(|steps| supernet.forward(&space.narrowed(steps), &pixels));
        let before = scores(&supernet);
        supernet.sort_channels(2);
        let after = scores(&supernet);
        assert!(difference(&before[0], &after[0]) < 1e-5, "{}", space.name);
        assert!(difference(&before[1], &after[1]) < 1e-5, "{}", space.name);
        assert!(difference(&before[2], &after[2]) > 1e-3, "{}", space.name);
    }
}

#[test]
fn a_net_has_no_memory_of_the_nets_before_it() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let space = Space::load("fashion").unwrap();
    let supernet = random_supernet(&space, &mut rng);
    let pixels = random_pixels(&space, 28, &mut rng);
    let first = supernet.forward(&space.largest(), &pixels);
    let _ = supernet.forward(&Arch { resolution: 28, ..space.smallest() }, &pixels);
    assert_eq!(first, supernet.forward(&space.largest(), &pixels));
}

#[test]
fn statistics_of_a_batch_reproduce_what_training_saw() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let space = Space::load("fashion").unwrap();
    let supernet = random_supernet(&space, &mut rng);
    let arch = space.sample(&mut rng);
    let pixels = random_pixels(&space, arch.resolution, &mut rng);
    let trained = supernet.forward(&arch, &pixels);
    let predicted = supernet.predict(&arch, &pixels, &supernet.statistics(&arch, &pixels));
    // Training divides by n, statistics by n − 1: with 16 images of at least 3×3 pixels the two are close, not equal.
    let scale = trained.abs().max().double_value(&[]);
    assert!(difference(&trained, &predicted) < 0.05 * scale);
}

/// Through ONNX and tract, which share no code with the supernet.
#[test]
fn an_extracted_subnet_gives_the_supernets_scores() {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    for space in spaces() {
        let supernet = random_supernet(&space, &mut rng);
        let random = (0..4).map(|_| space.sample(&mut rng)).collect::<Vec<_>>();
        for arch in [space.smallest(), space.largest()].iter().chain(&random) {
            let (side, channels) = (arch.resolution, space.input.channels.0);
            let count = 8 * usize::from(side).pow(2) * usize::from(channels);
            let values = (0..count).map(|_| rng.random()).collect();
            let images = Images { side, channels, pixels: values, labels: vec![0; 8] };
            let statistics = supernet.statistics(arch, &pixels(&images, Device::Cpu));
            let expected = supernet.predict(arch, &pixels(&images, Device::Cpu), &statistics);
            let subnet = supernet.extract(arch, &statistics, Header::new("test", &space.hash(), 0)).unwrap();
            let net = FloatNet::new(&subnet).unwrap();
            let scores: Vec<f32> = (0..8).flat_map(|i| net.scores(images.image(i)).unwrap()).collect();
            let scores = Tensor::from_slice(&scores).view([8, -1]);
            assert!(difference(&scores, &expected) < 1e-4, "{arch:?}: {}", difference(&scores, &expected));
            assert!(expected.std(true).double_value(&[]) > 1e-2, "scores that differ from each other");
        }
    }
}

/// The first channels of the squeezed vector serve a narrower block, and all of it is trained.
#[test]
fn squeeze_and_excite_is_elastic_and_learns() {
    let mut rng = ChaCha8Rng::seed_from_u64(10);
    let [_, space] = spaces();
    let supernet = random_supernet(&space, &mut rng);
    let squeezed = |arch: &Arch| {
        let layers = space.layers(arch).into_iter();
        let squeezed = layers.filter_map(|layer| match layer {
            Layer::Block(block) => Some((block.expanded, block.squeeze)),
            _ => None,
        });
        squeezed.collect::<Vec<_>>()
    };
    // A quarter of the expanded channels, to a multiple of 8: 64 → 16, 96 → 24, 128 → 32; 24 → 6 → 8;
    // 40 → 10 → 16, because 8 would be more than a tenth less.
    assert_eq!(squeezed(&space.largest()), [(8, 8), (64, 16), (96, 24), (96, 24), (128, 32)]);
    assert_eq!(squeezed(&space.smallest()), [(8, 8), (24, 8), (40, 16)]);
    let pixels = random_pixels(&space, 20, &mut rng);
    let arch = Arch { resolution: 20, ..space.smallest() };
    supernet.forward(&arch, &pixels).square().mean(Kind::Float).backward();
    let variables = supernet.variables().variables();
    for (name, used) in [("2.squeeze.weight", [8, 24]), ("2.excite.weight", [24, 8])] {
        let reached = variables[name].grad().ne(0.0).to_kind(Kind::Int64);
        assert!(reached.size().iter().zip(used).all(|(&size, used)| size > used), "{name}");
        let inside = reached.narrow(0, 0, used[0]).narrow(1, 0, used[1]).sum(Kind::Int64).int64_value(&[]);
        assert!(inside > 0 && inside == reached.sum(Kind::Int64).int64_value(&[]), "{name}");
    }
}

#[test]
fn a_file_gives_back_every_bit_and_damage_is_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let space = Space::load("fashion").unwrap();
    let facts = Facts { classes: vec!["a".into(), "b".into()], train: 5, validation: 2, test: 1 };
    let supernet = random_supernet(&space, &mut rng).with_facts(facts.clone());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("supernet.safetensors");
    supernet.save(&path, 7).unwrap();
    let (loaded, seed) = Supernet::load(&path, Device::Cpu).unwrap();
    assert_eq!(seed, 7);
    assert_eq!((loaded.space(), loaded.facts()), (&space, Some(&facts)));
    assert_eq!(loaded.normalisation(), supernet.normalisation());
    for (name, tensor) in supernet.variables().variables() {
        assert_eq!(loaded.variables().variables()[&name], tensor, "{name}");
    }
    let bytes = std::fs::read(&path).unwrap();
    loaded.save(&path, 7).unwrap();
    assert!(bytes == std::fs::read(&path).unwrap(), "the same supernet, the same file");
    for length in [0, 4, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(Supernet::load(&path, Device::Cpu).is_err(), "cut to {length} bytes");
    }
}

/// Bright bars, upright or flat, in noise.
fn bars(count: usize, rng: &mut ChaCha8Rng) -> Images {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for i in 0..count {
        let (class, place) = ((i % 2) as u8, rng.random_range(2..10));
        for y in 0..12 {
            for x in 0..12 {
                let bar = if class == 0 { y } else { x } == place;
                pixels.push(if bar { 200 } else { rng.random_range(0..100) });
            }
        }
        labels.push(class.into());
    }
    Images { side: 12, channels: 1, pixels, labels }
}

#[test]
fn a_tiny_supernet_learns_a_tiny_task_in_every_subnet_and_the_same_for_a_seed() {
    let space = Space::parse(include_str!("../../../tests/tiny/space.toml"), "tiny").unwrap();
    let recipe = Recipe::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tiny/recipe.toml")).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let [train_images, validation, test] = [600, 200, 200].map(|count| bars(count, &mut rng));
    let names = vec!["flat".into(), "upright".into()];
    let dataset = Dataset::new(train_images.into(), validation.into(), test.into(), names).unwrap();
    let training =
        |seed| Training { space: &space, recipe: &recipe, dataset: &dataset, device: Device::Cpu, seed, given: None };
    let supernet = train(&training(1), None, |_| {}).unwrap();
    for arch in [space.smallest(), space.largest(), space.sample(&mut rng)] {
        let statistics = calibrate(&supernet, &arch, &dataset.train).unwrap();
        let judged = accuracy(&supernet, &arch, &statistics, &dataset.test).unwrap();
        assert!(judged > 0.9, "{arch:?}: {judged}");
    }
    let again = train(&training(1), None, |_| {}).unwrap();
    for (name, tensor) in supernet.variables().variables() {
        assert_eq!(again.variables().variables()[&name], tensor, "{name}");
    }
    let sum = |supernet: &Supernet| {
        let tensors = supernet.variables().trainable_variables();
        tensors.iter().map(|tensor| tensor.sum(Kind::Double).double_value(&[])).sum::<f64>()
    };
    let other = train(&training(2), None, |_| {}).unwrap();
    assert_ne!(sum(&supernet), sum(&other), "another seed, another net");
    assert!(space.check(&Arch { resolution: 12, stages: vec![vec![BlockArch { kernel: 5, expand: 2 }]] }).is_ok());
}

#[test]
fn nets_with_squeeze_and_excite_and_h_swish_learn_a_tiny_task() {
    let [_, space] = spaces();
    let space = space.with_classes(2);
    let recipe = Recipe::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/tiny/recipe.toml")).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let [train_images, validation, test] = [600, 100, 200].map(|count| bars(count, &mut rng).into());
    let names = vec!["flat".into(), "upright".into()];
    let dataset = Dataset::new(train_images, validation, test, names).unwrap().widened(3);
    let training =
        Training { space: &space, recipe: &recipe, dataset: &dataset, device: Device::Cpu, seed: 1, given: None };
    let supernet = train(&training, None, |_| {}).unwrap();
    for arch in [space.narrowed(1), space.largest()] {
        let statistics = calibrate(&supernet, &arch, &dataset.train).unwrap();
        let judged = accuracy(&supernet, &arch, &statistics, &dataset.test).unwrap();
        assert!(judged > 0.9, "{arch:?}: {judged}");
    }
}

/// The gradient that training uses against that of libtorch alone, for nets with kernels of every size.
#[test]
fn the_gradient_is_that_of_the_plain_backward_pass() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let space = Space::load("fashion").unwrap();
    let supernet = random_supernet(&space, &mut rng);
    let pixels = random_pixels(&space, 20, &mut rng);
    let labels = Tensor::arange(16, (Kind::Int64, Device::Cpu)).remainder(10);
    let parameters = supernet.parameters();
    for _ in 0..4 {
        let arch = Arch { resolution: 20, ..space.sample(&mut rng) };
        let plain = supernet.forward(&arch, &pixels).cross_entropy_for_logits(&labels);
        for parameter in &parameters {
            parameter.tensor.shallow_clone().zero_grad();
        }
        plain.backward();
        let forward = supernet.forward_for_gradient(&arch, &pixels);
        let loss = forward.scores.cross_entropy_for_logits(&labels);
        assert!(difference(&loss, &plain) < 1e-5);
        let gradients = forward.gradient(&loss, &parameters);
        for (parameter, gradient) in parameters.iter().zip(gradients) {
            let expected = parameter.tensor.grad();
            let gradient = gradient.unwrap_or_else(|| parameter.tensor.zeros_like());
            let expected = if expected.defined() { expected } else { parameter.tensor.zeros_like() };
            let scale = expected.abs().max().double_value(&[]);
            assert!(difference(&gradient, &expected) <= 1e-3 * scale, "{:?} of {arch:?}", parameter.tensor.size());
        }
    }
}
