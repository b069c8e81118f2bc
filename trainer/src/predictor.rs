//! The accuracy predictor: small networks, its members, from an arch's one-hot features to its accuracy.
//! `predictor.onnx` is their file.
//!
//! The members are one network with an output for each. Their mean is the prediction, their standard deviation that of
//! its error: whoever runs the file has both.

mod network;
mod tile;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;

use crate::files::{self, Header};
use crate::onnx::{Attribute, Graph, Nodes, Parsed};
use crate::space::{Arch, Space};
use network::{BATCH, Network};

/// Format name of `predictor.onnx`.
pub const FORMAT: &str = "ofa-predictor";

/// Metadata of a predictor that knows fewer sides of images than its space has: those, parted by commas.
pub const RESOLUTIONS: &str = "resolutions";

/// Metadata of a predictor: how many images the nets were judged on that it learnt from.
pub const IMAGES: &str = "images";

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
/// `accuracy` (batch × member). `metadata`: what is to be known of it, such as its error.
///
/// # Panics
/// If there are no layers.
pub fn write_mlp(layers: &[Dense], header: &Header, metadata: &[(&str, String)]) -> Vec<u8> {
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
    graph.finish("accuracy", &[layers[layers.len() - 1].bias.len()], header, metadata)
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
///
/// ```
/// use trainer::files::{self, Header};
/// use trainer::predictor::{Dense, FORMAT, Predictor, features, write_mlp};
/// use trainer::space::Space;
///
/// let space = Space::load("fashion")?;
/// let inputs = features(&space, &space.smallest()).len();
/// let layers = [Dense { inputs, weights: vec![0.01; inputs], bias: vec![0.5] }];
/// let predictor = Predictor::new(&layers, &space)?;
/// let accuracies = predictor.predict(&[space.smallest(), space.largest()])?;
/// assert!(accuracies[0] < accuracies[1], "of more blocks there are more ones to add up");
/// assert_eq!(predictor.knowing(&[24, 28])?.resolutions(), [24, 28]);
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("predictor.onnx");
/// files::write(&path, &write_mlp(&layers, &Header::new(FORMAT, &space.hash(), 1), &[]))?;
/// assert_eq!(Predictor::load(&path, &space)?.predict(&[space.smallest()])?, accuracies[..1]);
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone)]
pub struct Predictor {
    space: Space,
    network: Network,
    resolutions: Vec<u16>,
    images: Option<usize>,
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
        let mut predictor = Self::new(&layers, space).with_context(damaged)?;
        if let Ok(text) = graph.metadata(IMAGES) {
            let images = text.parse().ok().filter(|&images| images > 0);
            predictor.images = Some(images.context("its number of images").with_context(damaged)?);
        }
        let Ok(text) = graph.metadata(RESOLUTIONS) else { return Ok(predictor) };
        let sides = text.split(',').map(str::parse).collect::<Result<Vec<_>, _>>();
        predictor.knowing(&sides.context("its resolutions").with_context(damaged)?).with_context(damaged)
    }

    /// A predictor of these layers, as [`write_mlp`] takes them.
    ///
    /// # Errors
    /// If they don't map a space's features to a number for each member, or a weight is no number.
    pub fn new(layers: &[Dense], space: &Space) -> Result<Self> {
        let mut length = features(space, &space.smallest()).len();
        for layer in layers {
            let fits = layer.inputs == length && layer.weights.len() == length * layer.bias.len();
            ensure!(fits, "a layer reads {} values, but there are {length}", layer.inputs);
            let finite = layer.weights.iter().chain(&layer.bias).all(|weight| weight.is_finite());
            ensure!(finite, "a weight is no finite number");
            length = layer.bias.len();
        }
        ensure!(length > 0 && !layers.is_empty(), "it predicts nothing");
        let resolutions = space.input.resolutions.0.clone();
        Ok(Self { space: space.clone(), network: Network::new(layers), resolutions, images: None })
    }

    /// The same, but it knows these sides of images only.
    ///
    /// # Errors
    /// If they are not the space's, ascending.
    pub fn knowing(self, resolutions: &[u16]) -> Result<Self> {
        let all = &self.space.input.resolutions.0;
        let known = resolutions.is_sorted_by(|a, b| a < b) && resolutions.iter().all(|side| all.contains(side));
        ensure!(known && !resolutions.is_empty(), "its resolutions, {resolutions:?}, are not the space's");
        Ok(Self { resolutions: resolutions.to_vec(), ..self })
    }

    /// The sides of images that it knows, ascending: of the space's, all unless the file says otherwise.
    pub fn resolutions(&self) -> &[u16] {
        &self.resolutions
    }

    /// How many images the nets were judged on that it learnt from, where its file says so.
    pub fn images(&self) -> Option<usize> {
        self.images
    }

    /// The accuracy of each arch, as a share of 1.
    ///
    /// # Errors
    /// If a prediction is no finite number.
    pub fn predict(&self, archs: &[Arch]) -> Result<Vec<f32>> {
        Ok(self.predict_interval(archs)?.into_iter().map(|prediction| prediction.accuracy).collect())
    }

    /// The accuracy of each arch, and how far it may be off.
    ///
    /// # Errors
    /// If a prediction is no finite number.
    pub(crate) fn predict_interval(&self, archs: &[Arch]) -> Result<Vec<Prediction>> {
        let ones = |arch: &Arch| {
            let features = features(&self.space, arch).into_iter().zip(0..);
            features.filter(|(feature, _)| *feature > 0.0).map(|(_, position)| position).collect()
        };
        self.predict_ones(archs, ones)
    }

    /// The same of nets whose [`features`] are 1 at these positions, ascending, and 0 elsewhere. Runs on rayon's
    /// threads; the bits depend on neither their number nor the processor.
    ///
    /// # Errors
    /// If a prediction is no finite number.
    pub(crate) fn predict_ones<T: Sync>(
        &self,
        nets: &[T],
        ones: impl Fn(&T) -> Vec<u32> + Sync,
    ) -> Result<Vec<Prediction>> {
        let batch = |nets: &[T]| {
            let members = self.network.run(&nets.iter().map(&ones).collect::<Vec<_>>());
            members.chunks_exact(self.network.outputs()).map(Prediction::of).collect::<Vec<_>>()
        };
        // Two for each thread, so that one that is held up leaves its second to another.
        let size = nets.len().div_ceil(2 * rayon::current_num_threads()).clamp(1, BATCH);
        let predictions: Vec<_> = nets.par_chunks(size).flat_map_iter(batch).collect();
        let finite = |prediction: &Prediction| prediction.accuracy.is_finite() && prediction.deviation.is_finite();
        ensure!(
            predictions.iter().all(finite),
            "the predictor says of a net what is no number; make it anew with: {MADE_BY}"
        );
        Ok(predictions)
    }
}

impl Prediction {
    /// What the measured accuracy is within nineteen times in twenty, if errors are normal: two deviations on both
    /// sides.
    pub(crate) fn interval(&self) -> [f32; 2] {
        [self.accuracy - 2.0 * self.deviation, self.accuracy + 2.0 * self.deviation]
    }

    /// What the accuracy on all images of the kind is within nineteen times in twenty, where the net would be judged on so
    /// many of them: those are a draw, which is binomial.
    pub(crate) fn interval_beyond(&self, images: usize) -> [f32; 2] {
        let share = self.accuracy.clamp(0.0, 1.0);
        let variance = self.deviation.powi(2) + share * (1.0 - share) / images as f32;
        let interval = Self { deviation: variance.sqrt(), ..*self }.interval();
        interval.map(|end| end.clamp(0.0, 1.0))
    }

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
    use tract_onnx::prelude::*;

    fn fashion() -> Space {
        Space::load("fashion").unwrap()
    }

    fn small_layers(space: &Space) -> Vec<Dense> {
        random_layers(&[features(space, &space.smallest()).len(), 16, 8, 1], 5)
    }

    fn random_layers(lengths: &[usize], seed: u64) -> Vec<Dense> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
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
        let (layers, path) = (small_layers(&space), folder.path().join("predictor.onnx"));
        let header = Header::new(FORMAT, &space.hash(), 3);
        files::write(&path, &write_mlp(&layers, &header, &[("rmse", "0.01".into()), ("tau", "0.8".into())])).unwrap();
        let parsed = Parsed::new(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!((parsed.header().unwrap(), parsed.metadata("tau").unwrap()), (header, "0.8"));

        let predictor = Predictor::load(&path, &space).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        for count in [0, 1, 7, 100] {
            let archs: Vec<_> = (0..count).map(|_| space.sample(&mut rng)).collect();
            let predicted = predictor.predict(&archs).unwrap();
            assert_eq!(predicted.len(), count);
            let expected = if archs.is_empty() { vec![] } else { by_tract(&layers, &space, &archs) };
            for (predicted, expected) in predicted.into_iter().zip(expected) {
                assert!((predicted - expected).abs() < 1e-5, "{predicted} {expected}");
            }
        }
    }

    /// Of 0.9 ± 2 · 0.01 on 100 images: the draw's deviation is 0.03.
    #[test]
    fn an_interval_beyond_the_images_holds_their_draw() {
        let of = |accuracy, deviation| Prediction { accuracy, deviation }.interval_beyond(100);
        let [low, high] = of(0.9, 0.01);
        let half = 2.0 * 0.001f32.sqrt();
        assert!((low - (0.9 - half)).abs() < 1e-6 && (high - (0.9 + half)).abs() < 1e-6, "{low} {high}");
        assert_eq!(of(1.2, 0.0), [1.0, 1.0]);
    }

    #[test]
    fn a_file_says_on_how_many_images_nets_were_judged() {
        let (space, folder) = (fashion(), tempfile::tempdir().unwrap());
        let path = folder.path().join("predictor.onnx");
        let load = |images: &str| {
            let header = Header::new(FORMAT, &space.hash(), 3);
            files::write(&path, &write_mlp(&small_layers(&space), &header, &[(IMAGES, images.into())])).unwrap();
            Predictor::load(&path, &space)
        };
        assert_eq!(load("500").unwrap().images(), Some(500));
        for wrong in ["0", "-1", "many"] {
            let error = format!("{:#}", load(wrong).err().unwrap());
            assert!(error.contains("number of images"), "{error}");
        }
    }

    /// What tract makes of the predictor's file.
    fn by_tract(layers: &[Dense], space: &Space, archs: &[Arch]) -> Vec<f32> {
        let file = write_mlp(layers, &Header::new(FORMAT, &space.hash(), 0), &[]);
        let model = tract_onnx::onnx().model_for_read(&mut &*file).unwrap();
        let plan = model.into_optimized().unwrap().into_runnable().unwrap();
        let features: Vec<f32> = archs.iter().flat_map(|arch| features(space, arch)).collect();
        let input = Tensor::from_shape(&[archs.len(), features.len() / archs.len()], &features).unwrap();
        let output = plan.run(tvec!(input.into())).unwrap();
        output[0].try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
    }

    /// Of one layer and of several, with outputs that fill a panel, several, or only a part of one.
    #[test]
    fn networks_of_any_shape_say_what_tract_says() {
        let space = fashion();
        let inputs = features(&space, &space.smallest()).len();
        let mut rng = ChaCha8Rng::seed_from_u64(12);
        for hidden in [&[][..], &[16], &[5], &[400, 400, 400], &[320], &[33, 1, 16]] {
            for members in [1, 10, 17] {
                let lengths = [&[inputs], hidden, &[members]].concat();
                let mut layers = random_layers(&lengths, rng.random());
                // As values of any layer should be about 1.
                layers.iter_mut().for_each(|layer| {
                    let scale = (12.0 / layer.inputs as f32).sqrt();
                    layer.weights.iter_mut().for_each(|weight| *weight *= scale);
                });
                let predictor = Predictor::new(&layers, &space).unwrap();
                let archs: Vec<_> = (0..BATCH + 5).map(|_| space.sample(&mut rng)).collect();
                let predictions = predictor.predict_interval(&archs).unwrap();
                let expected = by_tract(&layers, &space, &archs);
                for (said, expected) in predictions.iter().zip(expected.chunks(members)) {
                    let expected = Prediction::of(expected);
                    let tolerance = 1e-5 * (1.0 + expected.accuracy.abs());
                    assert!((said.accuracy - expected.accuracy).abs() < tolerance, "{said:?} {expected:?}");
                    assert!((said.deviation - expected.deviation).abs() < tolerance, "{said:?} {expected:?}");
                }
            }
        }
    }

    /// What was computed once, on whatever processor, in whatever build: the order of a sum is part of the format.
    #[test]
    fn the_bits_are_the_same_everywhere() {
        let space = fashion();
        let inputs = features(&space, &space.smallest()).len();
        let predictor = Predictor::new(&random_layers(&[inputs, 40, 40, 2], 3), &space).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let archs: Vec<_> = (0..200).map(|_| space.sample(&mut rng)).collect();
        let with_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let predictions = pool.install(|| predictor.predict_interval(&archs)).unwrap();
            let bits = predictions.iter().flat_map(|said| [said.accuracy.to_bits(), said.deviation.to_bits()]);
            crc32fast::hash(&bits.flat_map(u32::to_le_bytes).collect::<Vec<_>>())
        };
        for threads in [1, 2, 4] {
            assert_eq!(with_threads(threads), 95_825_037, "{threads} threads");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let space = fashion();
        let inputs = features(&space, &space.smallest()).len();
        let mut layers = random_layers(&[inputs, 4, 1], 3);
        layers[0].weights[3] = f32::NAN;
        let refusal = Predictor::new(&layers, &space).err().unwrap().to_string();
        assert_eq!(refusal, "a weight is no finite number");
        layers[0].weights.fill(3e38);
        layers[1].weights = vec![1.0, 1.0, -1.0, -1.0];
        let refusal = Predictor::new(&layers, &space).unwrap().predict(&[space.smallest()]).unwrap_err().to_string();
        assert!(refusal.contains("what is no number"), "{refusal}");
    }

    #[test]
    fn files_of_other_spaces_and_damaged_files_are_refused() {
        let (space, folder) = (fashion(), tempfile::tempdir().unwrap());
        let path = folder.path().join("predictor.onnx");
        let whole = write_mlp(&small_layers(&space), &Header::new(FORMAT, &space.hash(), 3), &[]);
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
        let mut longer = small_layers(&space);
        longer[0].inputs += 1;
        longer[0].weights.extend([0.0; 16]);
        assert!(Predictor::new(&longer, &space).is_err());
    }
}
