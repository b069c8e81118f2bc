//! The accuracy predictor: small networks, its members, from an arch's one-hot features to its accuracy.
//! `predictor.onnx` is their file.
//!
//! The members are one network with an output for each. Their mean is the prediction, their standard deviation that of
//! its error: whoever runs the file has both.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::prelude::*;

use crate::files::{self, Header};
use crate::onnx::{Attribute, Graph, Nodes, Parsed};
use crate::space::{Arch, Space};

/// Format name of `predictor.onnx`.
pub const FORMAT: &str = "ofa-predictor";

const MADE_BY: &str = "ofa predictor";

/// A fully connected layer of the predictor.
#[derive(Clone, PartialEq, Debug)]
pub struct Dense {
    /// Length of what it reads.
    pub inputs: usize,
    /// out × in.
    pub weights: Vec<f32>,
    /// One for each output.
    pub bias: Vec<f32>,
}

/// What the predictor knows of an arch: zeros and ones, in this order:
///
/// for each stage, for each block up to its largest depth: one for each kernel of the stage, then one for each
/// expand ratio, ascending; a block that is not there has zeros only. At the end one for each resolution, ascending.
pub fn features(space: &Space, arch: &Arch) -> Vec<f32> {
    let mut features = vec![];
    let mut one_hot =
        |matches: &mut dyn Iterator<Item = bool>| features.extend(matches.map(|is| f32::from(u8::from(is))));
    for (stage, blocks) in space.stages.0.iter().zip(&arch.stages) {
        for position in 0..stage.max_depth() {
            let block = blocks.get(position);
            one_hot(&mut stage.kernel.0.iter().map(|&kernel| block.is_some_and(|block| block.kernel == kernel)));
            one_hot(&mut stage.expand.0.iter().map(|&expand| block.is_some_and(|block| block.expand == expand)));
        }
    }
    one_hot(&mut space.input.resolutions.0.iter().map(|&resolution| resolution == arch.resolution));
    features
}

/// The file of a predictor: these layers with a ReLU between each two, from `features` (batch × feature) to
/// `accuracy` (batch × member). `numbers`: what is to be known of it, such as its error, kept as metadata.
///
/// # Panics
/// If there are no layers.
pub fn write_mlp(layers: &[Dense], header: &Header, numbers: &[(&str, f64)]) -> Vec<u8> {
    let mut graph = Graph::new("predictor", "features", &[layers[0].inputs]);
    let mut map = "features".to_owned();
    for (i, layer) in layers.iter().enumerate() {
        let last = i + 1 == layers.len();
        let [weights, bias] = ["weights", "bias"].map(|part| format!("layer{i}.{part}"));
        graph.constant(&weights, &[layer.bias.len(), layer.inputs], &layer.weights);
        graph.constant(&bias, &[layer.bias.len()], &layer.bias);
        let output = if last { "accuracy".into() } else { format!("layer{i}.linear") };
        graph.node("Gemm", &[&map, &weights, &bias], &output, vec![Attribute::Int("transB", 1)]);
        map = output;
        if !last {
            let output = format!("layer{i}");
            graph.node("Relu", &[&map], &output, vec![]);
            map = output;
        }
    }
    let numbers: Vec<_> = numbers.iter().map(|(name, number)| (*name, number.to_string())).collect();
    graph.finish("accuracy", &[layers[layers.len() - 1].bias.len()], header, &numbers)
}

/// What is foretold of an arch.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Prediction {
    /// As a share of 1.
    pub accuracy: f32,
    /// Standard deviation of the measured accuracy around it; 0 where the predictor has one member only.
    pub deviation: f32,
}

/// A predictor of one space, ready to run.
#[derive(Clone)]
pub struct Predictor {
    space: Space,
    plan: Arc<TypedRunnableModel>,
}

impl Predictor {
    /// Reads `predictor.onnx`.
    ///
    /// # Errors
    /// One line that names the file and what is wrong with it, or the space that it was made for.
    pub fn load(path: &Path, space: &Space) -> Result<Self> {
        let bytes = files::read(path, MADE_BY)?;
        let damaged = || format!("{} is no predictor (made by: {MADE_BY})", path.display());
        let graph = Parsed::new(&bytes).with_context(damaged)?;
        let header = graph.header().with_context(damaged)?;
        header.expect(path, FORMAT, &space.hash(), MADE_BY)?;
        let layers = read_mlp(&graph).with_context(damaged)?;
        Self::new(&layers, space).with_context(damaged)
    }

    /// A predictor of these layers, as [`write_mlp`] takes them.
    ///
    /// # Errors
    /// If they don't map a space's features to a number for each member.
    pub fn new(layers: &[Dense], space: &Space) -> Result<Self> {
        let mut length = features(space, &space.smallest()).len();
        for layer in layers {
            let fits = layer.inputs == length && layer.weights.len() == length * layer.bias.len();
            ensure!(fits, "a layer reads {} values, but there are {length}", layer.inputs);
            length = layer.bias.len();
        }
        ensure!(length > 0 && !layers.is_empty(), "it predicts nothing");
        let file = write_mlp(layers, &Header::new(FORMAT, &space.hash(), 0), &[]);
        let model = tract_onnx::onnx().model_for_read(&mut &*file)?;
        let plan = model.into_optimized()?.into_runnable()?;
        Ok(Self { space: space.clone(), plan })
    }

    /// The accuracy of each arch, as a share of 1.
    ///
    /// # Errors
    /// If tract fails.
    pub fn predict(&self, archs: &[Arch]) -> Result<Vec<f32>> {
        Ok(self.predict_interval(archs)?.into_iter().map(|prediction| prediction.accuracy).collect())
    }

    /// The accuracy of each arch, and how far it may be off.
    ///
    /// # Errors
    /// If tract fails.
    pub fn predict_interval(&self, archs: &[Arch]) -> Result<Vec<Prediction>> {
        if archs.is_empty() {
            return Ok(vec![]);
        }
        let features: Vec<f32> = archs.iter().flat_map(|arch| features(&self.space, arch)).collect();
        let input = Tensor::from_shape(&[archs.len(), features.len() / archs.len()], &features)?;
        let output = self.plan.run(tvec!(input.into()))?;
        let members = output[0].try_as_plain_ram()?.as_slice::<f32>()?;
        Ok(members.chunks_exact(members.len() / archs.len()).map(Prediction::of).collect())
    }
}

impl Prediction {
    /// Mean and standard deviation of what the members say.
    fn of(members: &[f32]) -> Self {
        let count = members.len() as f32;
        let accuracy = members.iter().sum::<f32>() / count;
        let squares: f32 = members.iter().map(|member| (member - accuracy).powi(2)).sum();
        Self { accuracy, deviation: (squares / (count - 1.0).max(1.0)).sqrt() }
    }
}

fn read_mlp(graph: &Parsed) -> Result<Vec<Dense>> {
    let mut nodes = Nodes::of(graph);
    let mut layers = vec![];
    loop {
        let node = nodes.take("Gemm", &["transB"])?;
        ensure!(node.int("transB", 0)? == 1 && node.inputs() == 3, "{node}: its weights are not out × in with a bias");
        let (weights, bias) = (node.weights(1)?, node.weights(2)?);
        let &[outputs, inputs] = &weights.dimensions[..] else { bail!("{node}: its weights are not out × in") };
        ensure!(bias.dimensions == [outputs], "{node}: its bias is not as long as its output");
        layers.push(Dense { inputs, weights: weights.values.clone(), bias: bias.values.clone() });
        if nodes.operator(0) != "Relu" {
            break;
        }
        nodes.take("Relu", &[])?;
    }
    nodes.finish()?;
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::BlockArch;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn fashion() -> Space {
        Space::load("fashion").unwrap()
    }

    fn random_layers(space: &Space) -> Vec<Dense> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let inputs = features(space, &space.smallest()).len();
        let lengths = [inputs, 16, 8, 1];
        let mut values = |count| (0..count).map(|_| rng.random_range(-0.5..0.5)).collect::<Vec<f32>>();
        let layer =
            |pair: &[usize]| Dense { inputs: pair[0], weights: values(pair[0] * pair[1]), bias: values(pair[1]) };
        lengths.windows(2).map(layer).collect()
    }

    #[test]
    fn features_are_one_hot_in_the_documented_order() {
        let mut arch = fashion().smallest();
        arch.stages[1] = vec![BlockArch { kernel: 5, expand: 4 }, BlockArch { kernel: 7, expand: 3 }];
        arch.resolution = 28;
        let small = [1., 0., 0., 1., 0., 0.];
        let absent = [0.; 6];
        let expected = [
            [small, absent, absent].concat(),
            [[0., 1., 0., 0., 1., 0.], [0., 0., 1., 1., 0., 0.], absent].concat(),
            [small, absent, absent].concat(),
            vec![0., 0., 1.],
        ];
        assert_eq!(features(&fashion(), &arch), expected.concat());
    }

    #[test]
    fn a_file_predicts_what_its_layers_say_in_batches_of_any_size() {
        let (space, folder) = (fashion(), tempfile::tempdir().unwrap());
        let (layers, path) = (random_layers(&space), folder.path().join("predictor.onnx"));
        let header = Header::new(FORMAT, &space.hash(), 3);
        files::write(&path, &write_mlp(&layers, &header, &[("rmse", 0.01), ("tau", 0.8)])).unwrap();
        let parsed = Parsed::new(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((parsed.header().unwrap(), parsed.metadata("tau").unwrap()), (header, "0.8"));

        let predictor = Predictor::load(&path, &space).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        for count in [0, 1, 7, 100] {
            let archs: Vec<_> = (0..count).map(|_| space.sample(&mut rng)).collect();
            let predicted = predictor.predict(&archs).unwrap();
            assert_eq!(predicted.len(), count);
            for (arch, predicted) in archs.iter().zip(predicted) {
                let expected = evaluate(&layers, &features(&space, arch));
                assert!((predicted - expected).abs() < 1e-5, "{predicted} {expected}");
            }
        }
    }

    fn evaluate(layers: &[Dense], features: &[f32]) -> f32 {
        let mut values = features.to_vec();
        for layer in layers {
            let input: Vec<f32> = values.clone();
            let rows = layer.weights.chunks(layer.inputs).zip(&layer.bias);
            values = rows.map(|(row, bias)| bias + row.iter().zip(&input).map(|(w, x)| w * x).sum::<f32>()).collect();
            if layer.bias.len() > 1 {
                values.iter_mut().for_each(|value| *value = value.max(0.0));
            }
        }
        values[0]
    }

    #[test]
    fn files_of_other_spaces_and_damaged_files_are_refused() {
        let (space, folder) = (fashion(), tempfile::tempdir().unwrap());
        let path = folder.path().join("predictor.onnx");
        let whole = write_mlp(&random_layers(&space), &Header::new(FORMAT, &space.hash(), 3), &[]);
        let refusal = |bytes: &[u8], space: &Space| {
            std::fs::write(&path, bytes).unwrap();
            format!("{:#}", Predictor::load(&path, space).err().expect("it must be refused"))
        };
        let other = Space::load("mobilenetv3").unwrap();
        assert!(refusal(&whole, &other).contains("was made for space"), "{}", refusal(&whole, &other));
        let subnet = crate::onnx::write(&crate::subnet::Subnet::random(&space, &space.smallest(), 1));
        assert!(refusal(&subnet, &space).contains("is ofa-subnet version 1, not ofa-predictor"));
        for length in (0..whole.len()).step_by(13) {
            let refusal = refusal(&whole[..length], &space);
            assert!(refusal.contains("ofa predictor") && !refusal.contains('\n'), "{refusal}");
        }
        let mut longer = random_layers(&space);
        longer[0].inputs += 1;
        longer[0].weights.extend([0.0; 16]);
        assert!(Predictor::new(&longer, &space).is_err());
    }
}
