use std::io::Write;
use std::process::Command;

use onnx_protobuf::{Message, ModelProto};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use runtime::{Activation, Layer};

use super::{read, write};
use crate::float::FloatNet;
use crate::space::Space;
use crate::subnet::{Affine, Subnet};

fn random(space: &str, seed: u64) -> Subnet {
    let space = Space::load(space).unwrap();
    let arch = space.sample(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut subnet = Subnet::random(&space, &arch, seed);
    for (i, (mean, deviation)) in
        subnet.normalisation.mean.iter_mut().zip(&mut subnet.normalisation.deviation).enumerate()
    {
        (*mean, *deviation) = (70.0 + 13.0 * i as f32, 50.0 + 7.0 * i as f32);
    }
    subnet
}

/// One block, few weights: a file small enough to be damaged everywhere.
fn small() -> Subnet {
    let space = r#"
        name = "small"
        classes = 2
        input = { channels = 1, resolutions = [8] }
        stem = { channels = 2, kernel = 3, stride = 2, activation = "relu" }
        stages = [{ width = 2, stride = 1, activation = "relu6", depth = [1], kernel = [3], expand = [2] }]
        head = { channels = 3, activation = "relu6" }
    "#;
    let space = Space::parse(space, "small").unwrap();
    Subnet::random(&space, &space.smallest(), 3)
}

fn image(subnet: &Subnet, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..subnet.layers[0].0.input().len()).map(|_| rng.random()).collect()
}

#[test]
fn subnets_come_back_as_they_went() {
    for seed in 0..20 {
        let subnet = random("fashion", seed);
        assert!(read(&write(&subnet)).unwrap() == subnet, "seed {seed}");
    }
    let subnet = random("mobilenetv3", 1);
    assert!(read(&write(&subnet)).unwrap() == subnet, "h-swish, squeeze-and-excite and two linear layers");
    assert!(read(&write(&small())).unwrap() == small());
}

#[test]
fn tract_computes_what_the_layers_say() {
    for (space, seed) in [("fashion", 0), ("fashion", 1), ("fashion", 2), ("fashion", 3), ("mobilenetv3", 4)] {
        let subnet = random(space, seed);
        let image = image(&subnet, seed);
        let (expected, scores) = (evaluate(&subnet, &image), FloatNet::new(&subnet).unwrap().scores(&image).unwrap());
        assert_eq!(expected.len(), scores.len());
        for (expected, score) in expected.iter().zip(&scores) {
            assert!((expected - score).abs() < 1e-3 * expected.abs().max(1.0), "{space} {seed}: {expected} {score}");
        }
    }
}

/// The net by its definition, in plain loops.
fn evaluate(subnet: &Subnet, image: &[u8]) -> Vec<f32> {
    let channels = subnet.normalisation.mean.len();
    let normal = |(i, &pixel): (usize, &u8)| {
        (f32::from(pixel) - subnet.normalisation.mean[i % channels]) / subnet.normalisation.deviation[i % channels]
    };
    let mut map: Vec<f32> = image.iter().enumerate().map(normal).collect();
    for (layer, parts) in &subnet.layers {
        let input = layer.input();
        let side = usize::from(input.height);
        let dense = |map: &[f32], side, affine: &Affine, kernel: u8, stride: u8, activation| {
            let channels = map.len() / (side * side);
            convolve(map, side, channels, affine, kernel, stride, activation, false)
        };
        map = match layer {
            Layer::Conv(conv) => dense(&map, side, &parts[0], conv.kernel, conv.stride, conv.activation),
            Layer::Block(block) => {
                let mut parts = parts.iter();
                let mut next = || parts.next().unwrap();
                let mut hidden = map.clone();
                if block.expands() {
                    hidden = dense(&hidden, side, next(), 1, 1, block.activation);
                }
                let (expanded, activation) = (usize::from(block.expanded), block.activation);
                hidden = convolve(&hidden, side, expanded, next(), block.kernel, block.stride, activation, true);
                let side = usize::from(block.output().height);
                if block.squeeze != 0 {
                    let squeezed = dense(&mean(&hidden, expanded), 1, next(), 1, 1, Activation::Relu);
                    let excited = dense(&squeezed, 1, next(), 1, 1, Activation::None);
                    let sigmoid = |x: f32| (x / 6.0 + 0.5).clamp(0.0, 1.0);
                    hidden.iter_mut().enumerate().for_each(|(i, value)| *value *= sigmoid(excited[i % expanded]));
                }
                let mut output = dense(&hidden, side, next(), 1, 1, Activation::None);
                if block.residual {
                    output.iter_mut().zip(&map).for_each(|(output, input)| *output += input);
                }
                output
            }
            Layer::Depthwise(_) => unreachable!("{}", crate::subnet::NO_DEPTHWISE),
            Layer::Pool(pool) => mean(&map, pool.input.channels.into()),
            Layer::Linear(linear) => dense(&map, 1, &parts[0], 1, 1, linear.activation),
        };
        assert_eq!(map.len(), layer.output().len());
    }
    map
}

fn mean(map: &[f32], channels: usize) -> Vec<f32> {
    let pixels = map.len() / channels;
    (0..channels).map(|c| map.iter().skip(c).step_by(channels).sum::<f32>() / pixels as f32).collect()
}

#[allow(clippy::too_many_arguments)]
fn convolve(
    map: &[f32],
    side: usize,
    channels: usize,
    affine: &Affine,
    kernel: u8,
    stride: u8,
    activation: Activation,
    depthwise: bool,
) -> Vec<f32> {
    let (kernel, stride, outputs) = (usize::from(kernel), usize::from(stride), affine.bias.len());
    let out_side = side.div_ceil(stride);
    let depth = if depthwise { 1 } else { channels };
    let mut output = vec![];
    for (y, x) in (0..out_side).flat_map(|y| (0..out_side).map(move |x| (y, x))) {
        for out in 0..outputs {
            let mut sum = affine.bias[out];
            for (ky, kx) in (0..kernel).flat_map(|ky| (0..kernel).map(move |kx| (ky, kx))) {
                let (row, column) = (y * stride + ky, x * stride + kx);
                let padding = kernel / 2;
                if (padding..side + padding).contains(&row) && (padding..side + padding).contains(&column) {
                    let pixel = ((row - padding) * side + column - padding) * channels;
                    for i in 0..depth {
                        let tap = ((out * kernel + ky) * kernel + kx) * depth + i;
                        sum += affine.weights[tap] * map[pixel + if depthwise { out } else { i }];
                    }
                }
            }
            output.push(match activation {
                Activation::None => sum,
                Activation::Relu => sum.max(0.0),
                Activation::Relu6 => sum.clamp(0.0, 6.0),
                Activation::HSwish => sum * (sum + 3.0).clamp(0.0, 6.0) / 6.0,
            });
        }
    }
    output
}

#[test]
fn a_file_cut_off_anywhere_is_refused_in_one_line() {
    let whole = write(&small());
    for length in 0..whole.len() {
        let refusal = format!("{:#}", read(&whole[..length]).expect_err("a part was taken for the whole"));
        assert!(!refusal.contains('\n'), "{refusal}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Some flips go unnoticed, such as those in a weight; then the net must still run.
    #[test]
    fn damaged_bytes_never_panic(flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut file = write(&small());
        for (position, byte) in flips {
            let position = position.index(file.len());
            file[position] = byte;
        }
        if let Ok(subnet) = read(&file) {
            FloatNet::new(&subnet).unwrap().scores(&image(&subnet, 0)).unwrap();
        }
    }
}

#[test]
fn other_graphs_are_refused_and_the_node_is_named() {
    let refusal = |change: fn(&mut ModelProto)| {
        let mut model = ModelProto::parse_from_bytes(&write(&small())).unwrap();
        change(&mut model);
        format!("{:#}", read(&model.write_to_bytes().unwrap()).expect_err("it must be refused"))
    };
    let check = |change: fn(&mut ModelProto), expected: &str| {
        let refusal = refusal(change);
        assert!(refusal.contains(expected), "{refusal:?} should contain {expected:?}");
    };
    check(|m| m.graph.as_mut().unwrap().node[3].op_type = "Elu".into(), r#"node "layer0" (Elu)"#);
    check(|m| m.graph.as_mut().unwrap().node[2].attribute[2].ints = vec![0; 4], r#"node "layer0.linear" (Conv)"#);
    check(|m| m.graph.as_mut().unwrap().node[2].attribute[1].ints = vec![3; 2], "strides [3, 3]");
    check(|m| m.graph.as_mut().unwrap().node[2].attribute[0].name = "future".into(), "attribute future");
    check(|m| m.graph.as_mut().unwrap().node[2].input.swap(0, 1), r#"node "layer0.linear" (Conv)"#);
    check(|m| m.graph.as_mut().unwrap().node.truncate(5), "the graph ends");
    check(|m| m.graph.as_mut().unwrap().initializer[3].raw_data[..4].fill(0), "from 0 to 6");
    check(|m| m.graph.as_mut().unwrap().initializer[4].dims[0] = 3, "layer0.linear.weights");
    check(|m| m.graph.as_mut().unwrap().initializer[4].raw_data[..4].fill(255), "not finite");
    check(|m| m.graph.as_mut().unwrap().initializer[0].raw_data = 300_f32.to_le_bytes().into(), "mean");
    check(|m| m.graph.as_mut().unwrap().initializer[1].raw_data.fill(0), "deviation");
    check(|m| m.metadata_props.retain(|entry| entry.key != "arch"), "no `arch`");
    check(|m| m.metadata_props[0].value = "ofa-predictor".into(), "is ofa-predictor version 1");
    check(|m| m.metadata_props[4].value = m.metadata_props[4].value.replace('8', "16"), "its arch has resolution 16");
    check(|m| m.opset_import[0].version = 9, "operator set");
}

/// ONNX's own checker and onnxruntime judge the file, where `OFA_PYTHON` names a Python that has both.
#[test]
fn onnxs_own_checker_and_runtime_agree() {
    let Some(python) = std::env::var_os("OFA_PYTHON") else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: set OFA_PYTHON to a Python with onnx and onnxruntime");
        return;
    };
    let script = r#"
import sys, onnx, onnxruntime, numpy
onnx.checker.check_model(onnx.load(sys.argv[1]), full_check=True)
image = numpy.fromfile(sys.argv[2], numpy.uint8).astype(numpy.float32)
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
shape = session.get_inputs()[0].shape
image = image.reshape(2, shape[2], shape[3], shape[1]).transpose(0, 3, 1, 2)
print(*session.run(["scores"], {"image": image})[0].ravel())
"#;
    let folder = tempfile::tempdir().unwrap();
    let [model, images] = ["subnet.onnx", "images"].map(|name| folder.path().join(name));
    for (space, seed) in [("fashion", 5), ("fashion", 6), ("mobilenetv3", 7)] {
        let subnet = random(space, seed);
        subnet.save(&model).unwrap();
        let pair = [image(&subnet, 1), image(&subnet, 2)];
        std::fs::write(&images, pair.concat()).unwrap();
        let output = Command::new(&python).args(["-c", script]).args([&model, &images]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let theirs = String::from_utf8(output.stdout).unwrap();
        let theirs = theirs.split_whitespace().map(|score| score.parse::<f32>().unwrap());
        let net = FloatNet::new(&subnet).unwrap();
        let ours: Vec<f32> = pair.iter().flat_map(|image| net.scores(image).unwrap()).collect();
        assert_eq!(theirs.clone().count(), ours.len());
        for (theirs, ours) in theirs.zip(&ours) {
            assert!((theirs - ours).abs() < 1e-4 * ours.abs().max(1.0), "{space} {seed}: {theirs} {ours}");
        }
    }
}
