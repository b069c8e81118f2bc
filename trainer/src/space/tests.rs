use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use runtime::Layer;

use super::*;
use crate::model::{arena_bytes, unfused_bytes};

fn macs(space: &Space, arch: &Arch) -> u64 {
    space.layers(arch).iter().map(Layer::macs).sum()
}

#[test]
fn mobilenetv3_has_the_papers_number_of_nets() {
    let unit: u128 = 9_u128.pow(2) + 9_u128.pow(3) + 9_u128.pow(4);
    assert_eq!(unit, 7_371);
    let nets = unit.pow(5);
    assert!((2.17e19..2.19e19).contains(&(nets as f64)));
    assert_eq!(Space::load("mobilenetv3").unwrap().subnets(), Some(nets * 25));
}

#[test]
fn the_count_is_that_of_the_listed_nets() {
    let space = Space::parse(include_str!("../../../tests/tiny/space.toml"), "tiny").unwrap();
    // Two resolutions; one or two blocks, each of two kernels and two ratios.
    assert_eq!(space.subnets(), Some(2 * (4 + 16)));
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let drawn: std::collections::BTreeSet<_> = (0..2000).map(|_| space.sample(&mut rng)).collect();
    assert_eq!(drawn.len(), 40);
}

/// Multiply-accumulates of a MobileNetV3 block from its table in the paper: input side and channels, expanded
/// channels, kernel, stride, output channels, and whether it squeezes and excites.
fn block(side: u64, input: u64, hidden: u64, kernel: u64, stride: u64, output: u64, squeeze: u64) -> u64 {
    let out = (side / stride).pow(2);
    let expand = if hidden == input { 0 } else { side * side * input * hidden };
    expand + out * hidden * kernel * kernel + out * hidden * output + 2 * squeeze * hidden
}

/// The largest net at 224 px: depth 4, kernel 7, ratio 6 in all five units.
#[test]
fn macs_of_the_largest_mobilenetv3_are_those_worked_out_by_hand() {
    let mut expected = 112 * 112 * 16 * 3 * 9 + block(112, 16, 16, 3, 1, 16, 0);
    // Side of the input, channels before, width, stride, and the squeezed channels of the first and other blocks:
    // a quarter of the expanded ones, to a multiple of 8 (6 · 24 / 4 = 36 → 40; 6 · 40 / 4 = 60 → 64 …).
    for (side, before, width, stride, first, others) in [
        (112, 16, 24, 2, 0, 0),
        (56, 24, 40, 2, 40, 64),
        (28, 40, 80, 2, 0, 0),
        (14, 80, 112, 1, 120, 168),
        (14, 112, 160, 2, 168, 240),
    ] {
        expected += block(side, before, 6 * before, 7, stride, width, first);
        expected += 3 * block(side / stride, width, 6 * width, 7, 1, width, others);
    }
    expected += 7 * 7 * 160 * 960 + 960 * 1280 + 1280 * 1000;
    let space = Space::load("mobilenetv3").unwrap();
    assert_eq!(macs(&space, &space.largest()), expected);
}

/// The smallest net at 128 px: depth 2, kernel 3, ratio 3.
#[test]
fn macs_of_the_smallest_mobilenetv3_are_those_worked_out_by_hand() {
    let mut expected = 64 * 64 * 16 * 3 * 9 + block(64, 16, 16, 3, 1, 16, 0);
    for (side, before, width, stride, first, others) in [
        (64, 16, 24, 2, 0, 0),
        (32, 24, 40, 2, 24, 32),
        (16, 40, 80, 2, 0, 0),
        (8, 80, 112, 1, 64, 88),
        (8, 112, 160, 2, 88, 120),
    ] {
        expected += block(side, before, 3 * before, 3, stride, width, first);
        expected += block(side / stride, width, 3 * width, 3, 1, width, others);
    }
    expected += 4 * 4 * 160 * 960 + 960 * 1280 + 1280 * 1000;
    let space = Space::load("mobilenetv3").unwrap();
    assert_eq!(macs(&space, &space.smallest()), expected);
}

/// One block of ratio 3 and kernel 3 a stage, sides 12 → 12 → 6 → 3 from 24 px.
#[test]
fn macs_of_the_smallest_fashion_are_those_worked_out_by_hand() {
    let stages = block_odd(12, 12, 16, 48, 16) + block_odd(12, 6, 16, 48, 32) + block_odd(6, 3, 32, 96, 64);
    let expected = 12 * 12 * 16 * 9 + stages + 3 * 3 * 64 * 128 + 128 * 10;
    let space = Space::load("fashion").unwrap();
    assert_eq!(macs(&space, &space.smallest()), expected);
}

fn block_odd(side: u64, out: u64, input: u64, hidden: u64, output: u64) -> u64 {
    side * side * input * hidden + out * out * hidden * 9 + out * out * hidden * output
}

#[test]
fn distinct_layers_are_those_of_all_nets() {
    let space = Space::parse(include_str!("../../../tests/tiny/space.toml"), "tiny").unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let seen: BTreeSet<_> = (0..2000).flat_map(|_| space.layers(&space.sample(&mut rng))).collect();
    assert_eq!(space.distinct_layers(), seen.into_iter().collect::<Vec<_>>());
}

#[test]
fn layers_chain_and_use_the_slots_of_the_largest_net() {
    let space = Space::load("fashion").unwrap();
    let largest = space.layers(&space.largest());
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..200 {
        let arch = space.sample(&mut rng);
        space.check(&arch).unwrap();
        let layers = space.layers(&arch);
        for pair in layers.windows(2) {
            assert_eq!(pair[0].output(), pair[1].input());
        }
        let slots = space.slots(&arch);
        assert_eq!(slots.len(), layers.len());
        for (layer, slot) in layers.iter().zip(slots) {
            assert_eq!(layer.output().channels, largest[slot].output().channels);
            assert!(layer.taps() <= largest[slot].taps());
        }
    }
}

#[test]
fn an_error_names_the_line_and_the_field() {
    let good = BUILT_IN[0].1;
    let error = |text: &str| Space::parse(text, "mine.toml").unwrap_err().to_string();
    let broken = good.replacen("kernel = [3, 5, 7]", "kernel = [3, 4]", 1);
    assert_eq!(error(&broken), "mine.toml:20: stages[0].kernel: kernel 4 is not an odd number from 1 to 15");
    let broken = good.replacen("depth = [1, 2, 3]", "depth = []", 1);
    assert_eq!(error(&broken), "mine.toml:19: stages[0].depth: there must be at least one choice");
    let broken = good.replacen("expand = [3, 4, 5]", "expand = [4, 2]", 1);
    assert_eq!(error(&broken), "mine.toml:21: stages[0].expand: choices must ascend, but 4 is followed by 2");
    let broken = good.replacen("classes = 10", "classes = \"ten\"", 1);
    assert_eq!(error(&broken), "mine.toml:3: classes: invalid type: string \"ten\", expected u16");
    let broken = good.replacen("stride = 1", "strife = 1", 1);
    assert!(error(&broken).starts_with("mine.toml:17: stages[0].strife: unknown field `strife`"), "{}", error(&broken));
    assert!(error("classes = [").starts_with("mine.toml:1: "));
}

#[test]
fn an_arch_of_another_space_is_refused() {
    let space = Space::load("fashion").unwrap();
    let mut arch = space.smallest();
    arch.stages[1][0].kernel = 9;
    assert_eq!(space.check(&arch).unwrap_err().to_string(), "stage 1 of the space fashion has no kernel 9");
}

#[test]
fn the_hash_is_of_the_content_alone() {
    let text = BUILT_IN[0].1;
    let hash = |text: &str| Space::parse(text, "x").unwrap().hash();
    assert_eq!(hash(text), hash(&text.replace("name = \"fashion\"", "name = \"mine\"\n\n")));
    assert_ne!(hash(text), hash(&text.replacen("width = 16", "width = 24", 1)));
}

#[test]
fn a_built_in_space_takes_any_number_of_classes() {
    let space = Space::load("mcu:7").unwrap();
    let layers = space.layers(&space.smallest());
    assert_eq!(layers[layers.len() - 1].output().channels, 7);
    assert_ne!(space.hash(), Space::load("mcu").unwrap().hash());
    for name in ["mcu:", "mcu:1", "mcu:99999", "mcu:x", "mine:7"] {
        assert!(Space::load(name).unwrap_err().to_string().contains(name), "{name}");
    }
}

#[test]
fn mcus_nets_suit_microcontrollers() {
    let space = Space::load("mcu").unwrap();
    assert_eq!((space.input.channels.0, &space.input.resolutions.0[..]), (3, &[48, 64, 80, 96, 112, 128][..]));
    assert!((1_000_000..2_000_000).contains(&macs(&space, &space.smallest())));
    assert!((50_000_000..60_000_000).contains(&macs(&space, &space.largest())));
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for arch in [space.smallest(), space.largest()].into_iter().chain((0..2000).map(|_| space.sample(&mut rng))) {
        let layers = space.layers(&arch);
        let (arena, layer_by_layer) = (arena_bytes(&layers), unfused_bytes(&layers));
        assert!(2 * arena <= layer_by_layer, "{arena} of {layer_by_layer} bytes: {arch:?}");
    }
    let plain = |layer: &Layer| match layer {
        Layer::Block(block) => block.squeeze == 0 && block.activation == Activation::Relu6,
        _ => true,
    };
    assert!(space.distinct_layers().iter().all(plain), "nothing but ReLU6, no squeeze-and-excite");
}

/// Whatever the rest of a net is.
#[test]
fn openings_are_what_nets_begin_with_that_run_as_one() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for (name, _) in BUILT_IN {
        let space = Space::load(name).unwrap();
        let openings = space.openings();
        assert!(openings.is_sorted() && openings.iter().all(|pair| joined_bytes(pair).is_some()), "{name}");
        for _ in 0..300 {
            let layers = space.layers(&space.sample(&mut rng));
            let is_opening = openings.contains(layers.first_chunk().unwrap());
            assert_eq!(is_opening, joined_bytes(&layers).is_some(), "{name}: {} + {}", layers[0], layers[1]);
        }
    }
    assert_eq!(Space::load("mcu").unwrap().openings().len(), 6, "one for each resolution");
}

#[test]
fn a_space_written_as_toml_comes_back() {
    for (name, _) in BUILT_IN {
        let space = Space::load(name).unwrap();
        assert_eq!(Space::parse(&toml::to_string(&space).unwrap(), name).unwrap(), space, "{name}");
    }
}

/// The widths of the original's `ofa_mbv3_d234_e346_k357_w1.2`.
#[test]
fn a_wider_mobilenetv3_is_the_originals() {
    let space = Space::load("mobilenetv3@1.2").unwrap();
    let widths: Vec<u16> = space.stages.0.iter().map(|stage| stage.width.0).collect();
    assert_eq!((space.stem.channels.0, &widths[..]), (24, &[24, 32, 48, 96, 136, 192][..]));
    assert_eq!((space.head.channels.0, space.head.features.map(|features| features.0)), (1152, Some(1536)));
    let plain = Space::load("mobilenetv3").unwrap();
    assert_eq!(space.name, "mobilenetv3@1.2");
    assert!(space.hash() != plain.hash() && plain.with_width(1.0).unwrap().hash() == plain.hash());
    let seven = Space::load("mobilenetv3@1.2:7").unwrap();
    assert_eq!((seven.classes.0, seven.stem.channels.0), (7, 24));
    for bad in ["mobilenetv3@0", "mobilenetv3@nan", "mobilenetv3@wide", "mobilenetv3@1.2:1", "mobilenetv3@"] {
        let refusal = format!("{:#}", Space::load(bad).unwrap_err());
        assert!(refusal.starts_with(bad), "{refusal}");
    }
}
