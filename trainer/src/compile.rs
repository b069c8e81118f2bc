//! From a subnet to the folder that firmware is built from, with a report of what was lost and what it costs.

mod golden;
mod report;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use runtime::argmax;

use crate::dataset::{Dataset, Images, Split};
use crate::files;
use crate::float::FloatNet;
use crate::model::Compiled;
use crate::progress::with_progress;
use crate::quantise::{Method, quantise};
use crate::subnet::Subnet;
use crate::table::LatencyTable;

pub use golden::{GOLDEN_FORMAT, Golden, GoldenImage};
pub use report::{Accuracy, Latency, LayerReport, REPORT_FORMAT, Report};

/// What the compiler is to know beside the net and the data.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Training images from which the ranges come.
    pub calibration_images: usize,
    /// Which of them.
    pub seed: u64,
    /// How it becomes int8.
    pub method: Method,
    /// What layers take on a board; the report then has the net's latency.
    pub table: Option<&'a LatencyTable>,
}

/// A subnet in integers, with what is to be known of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Compilation {
    /// The integer net.
    pub model: Compiled,
    /// What was lost and what it costs.
    pub report: Report,
    /// Images with the scores that every device must give.
    pub golden: Golden,
}

/// Quantises a subnet, judges it on the test images and writes the report.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::compile::{Settings, compile};
/// use trainer::model::Compiled;
/// use trainer::quantise::Method;
/// use trainer::subnet::Subnet;
///
/// let space = made_up::space();
/// let subnet = Subnet::random(&space, &space.smallest(), 1);
/// let settings = Settings { calibration_images: 16, seed: 0, method: Method::default(), table: None };
/// let compilation = compile(&subnet, &made_up::dataset(), &settings)?;
/// assert_eq!(compilation.report.accuracy.images, 16);
///
/// let folder = tempfile::tempdir()?;
/// compilation.save(folder.path())?;
/// assert_eq!(Compiled::load(folder.path())?, compilation.model);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the dataset is not one for this net, or the latency table lacks a layer.
pub fn compile(subnet: &Subnet, dataset: &Dataset, settings: &Settings) -> Result<Compilation> {
    let (image, classes) = (subnet.layers[0].0.input(), subnet.layers[subnet.layers.len() - 1].0.output().len());
    ensure!(
        (dataset.test.channels(), usize::from(dataset.classes)) == (image.channels, classes),
        "the net knows {} channel(s) and {classes} classes, the dataset has {} and {}",
        image.channels,
        dataset.test.channels(),
        dataset.classes
    );
    if let Some(table) = settings.table {
        let layers: Vec<_> = subnet.layers.iter().map(|(layer, _)| *layer).collect();
        table.latency(&layers)?;
    }
    let calibration = sample(&dataset.train, settings.calibration_images, settings.seed).resized(image.height)?;
    let test = dataset.test.resized(image.height)?;
    let model = quantise(subnet, &calibration, settings.method)?;
    let float = FloatNet::new(subnet)?;
    let accuracy = Accuracy {
        float: judge("float", &test, |image| float.class(image))?,
        int8: judge("int8", &test, |image| Ok(argmax(&model.scores(image)?)))?,
        images: test.len(),
    };
    let report = Report::new(subnet, &model, accuracy, &calibration, settings.table)?;
    let golden = Golden::new(&model, &test)?;
    Ok(Compilation { model, report, golden })
}

impl Compilation {
    /// Writes `model.rs`, `weights.bin`, `model.json`, `golden.json` and, last, `report.json`. Until all of them are
    /// written whole, none appears; what a report says is true of the files beside it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<()> {
        const FILES: [&str; 5] = ["weights.bin", "model.rs", "model.json", "golden.json", "report.json"];
        let place = || -> Result<()> {
            std::fs::create_dir_all(folder)?;
            let temporary = tempfile::tempdir_in(folder)?;
            self.model.save(temporary.path())?;
            files::write(&temporary.path().join("golden.json"), &serde_json::to_vec(&self.golden)?)?;
            files::write_json(&temporary.path().join("report.json"), &self.report)?;
            match std::fs::remove_file(folder.join("report.json")) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error)?,
                _ => {}
            }
            for file in FILES {
                std::fs::rename(temporary.path().join(file), folder.join(file))?;
            }
            Ok(())
        };
        place().with_context(|| format!("cannot write {}", folder.display()))
    }
}

/// Share of the images that `classify` puts into their class; on all cores.
fn judge(what: &str, images: &Images, classify: impl Fn(&[u8]) -> Result<usize> + Sync) -> Result<f64> {
    ensure!(!images.is_empty(), "there are no images to judge the net by");
    with_progress(what, images.len(), |done| {
        let judge = |i: usize| {
            let right = classify(images.image(i))? == usize::from(images.labels[i]);
            done();
            Ok(usize::from(right))
        };
        let right: usize = (0..images.len()).into_par_iter().map(judge).sum::<Result<usize>>()?;
        Ok(right as f64 / images.len() as f64)
    })
}

/// Some of the images, drawn by a seed.
fn sample(images: &Split, count: usize, seed: u64) -> Split {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    images.select(&rand::seq::index::sample(&mut rng, images.len(), count.min(images.len())).into_vec())
}
