//! Training a supernet by progressive shrinking (once-for-all, section 3.3).

mod bar;

use std::collections::BTreeMap;
use std::f64::consts::PI;

use anyhow::{Result, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tch::nn::OptimizerConfig;
use tch::{Device, Kind, Tensor, nn};

use crate::dataset::{Dataset, Split};
use crate::evaluate::{accuracy, calibrate, labels, pixels};
use crate::loader::{Loader, LoaderSettings, resolution_of_step};
use crate::recipe::{Phase, Recipe};
use crate::space::{Arch, Space};
use crate::supernet::{Statistics, Supernet};
use bar::TrainingBar;

/// Validation images on which the ends of the space are judged after a phase.
const JUDGED_IMAGES: usize = 2000;

/// Largest norm of a step's gradient; a longer one is shortened to it.
const GRADIENT_NORM: f64 = 5.0;

/// What a phase came to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PhaseReport {
    /// Its name.
    pub name: String,
    /// Mean loss over its last steps.
    pub loss: f64,
    /// Validation accuracy of the largest net.
    pub largest: f64,
    /// Validation accuracy of the smallest net, whether open or not.
    pub smallest: f64,
    /// Share of the time in which training waited for images.
    pub waited: f64,
}

/// Trains a supernet of the space from nothing. The same seed gives the same weights on the same machine.
///
/// # Errors
/// If space, recipe and dataset don't fit each other, or the loss is no longer a number.
pub fn train(
    space: &Space,
    recipe: &Recipe,
    dataset: &Dataset,
    device: Device,
    seed: u64,
    mut report: impl FnMut(&PhaseReport),
) -> Result<Supernet> {
    ensure!(
        dataset.classes == space.classes.0,
        "the dataset has {} classes, the space {1} has {2} (--space NAME:{0} is a built-in space for {0})",
        dataset.classes,
        space.name,
        space.classes.0
    );
    ensure!(
        dataset.train.len() >= recipe.batch,
        "a batch of {} from {} training images",
        recipe.batch,
        dataset.train.len()
    );
    for phase in &recipe.phases {
        phase.open.narrow(space)?;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut supernet =
        Supernet::new(space, dataset.train.normalisation()?, device, &mut rng)?.with_facts(dataset.facts());
    let settings =
        LoaderSettings { batch: recipe.batch, augment: recipe.augment, seed, workers: LoaderSettings::threads() };
    let resolutions = space.input.resolutions.0.clone();
    let resolution = move |step| resolution_of_step(&resolutions, seed, step);
    let mut loader = Loader::new(&dataset.train, settings, resolution, 0)?;
    let validation = dataset.validation.first(JUDGED_IMAGES);
    let mut teacher = None;
    let mut sorted = 1;
    for phase in &recipe.phases {
        if phase.distillation > 0.0 && teacher.is_none() {
            teacher = Some(Teacher::new(&supernet, &dataset.train)?);
        }
        if phase.open.expand > sorted {
            supernet.sort_channels(sorted);
            sorted = phase.open.expand;
        }
        let loss = run(phase, recipe, &supernet, teacher.as_ref(), &mut loader, &mut rng)?;
        let waited = loader.waited();
        let judge = |arch| accuracy(&supernet, &arch, &calibrate(&supernet, &arch, &dataset.train)?, &validation);
        report(&PhaseReport {
            name: phase.name.clone(),
            loss,
            largest: judge(space.largest())?,
            smallest: judge(space.smallest())?,
            waited,
        });
    }
    Ok(supernet)
}

fn run(
    phase: &Phase,
    recipe: &Recipe,
    supernet: &Supernet,
    teacher: Option<&Teacher>,
    loader: &mut Loader,
    rng: &mut impl Rng,
) -> Result<f64> {
    let open = phase.open.narrow(supernet.space())?;
    let sgd = nn::sgd(recipe.momentum, 0.0, 0.0, true);
    let mut optimiser = sgd.build(supernet.variables(), phase.learning_rate)?;
    optimiser.set_weight_decay_group(0, recipe.weight_decay);
    let mut progress = TrainingBar::new(&phase.name, phase.steps);
    for step in 0..phase.steps {
        optimiser.set_lr(learning_rate(phase, step));
        optimiser.zero_grad();
        let images = loader.next()?;
        let resolution = images.side;
        let (images, labels) = (pixels(&images, supernet.device()), labels(&images, supernet.device()));
        let soft = teacher.filter(|_| phase.distillation > 0.0).map(|teacher| teacher.soft_labels(resolution, &images));
        for _ in 0..phase.subnets {
            let arch = Arch { resolution, ..open.sample(rng) };
            let scores = supernet.forward(&arch, &images);
            let mut loss =
                scores.cross_entropy_loss(&labels, None::<Tensor>, tch::Reduction::Mean, -100, recipe.label_smoothing);
            if let Some(soft) = &soft {
                loss += phase.distillation * cross_entropy(&scores, soft);
            }
            (&loss / phase.subnets as f64).backward();
            progress.add(&loss, &scores, &labels)?;
        }
        optimiser.clip_grad_norm(GRADIENT_NORM);
        optimiser.step();
        progress.step();
    }
    Ok(progress.finish())
}

/// Rises over the warm-up, then falls to 0 by a cosine.
fn learning_rate(phase: &Phase, step: usize) -> f64 {
    if step < phase.warm_up {
        return phase.learning_rate * (step + 1) as f64 / phase.warm_up as f64;
    }
    let done = (step - phase.warm_up) as f64 / (phase.steps - phase.warm_up) as f64;
    phase.learning_rate * 0.5 * (1.0 + (PI * done).cos())
}

/// Mean over the batch of −Σ soft · log softmax(scores).
fn cross_entropy(scores: &Tensor, soft: &Tensor) -> Tensor {
    -(scores.log_softmax(1, Kind::Float) * soft).sum_dim_intlist([1].as_slice(), false, Kind::Float).mean(Kind::Float)
}

/// The full net as it was, which the subnets are to imitate.
struct Teacher {
    supernet: Supernet,
    statistics: BTreeMap<u16, (Arch, Statistics)>,
}

impl Teacher {
    fn new(supernet: &Supernet, train: &Split) -> Result<Self> {
        let supernet = supernet.snapshot()?;
        let at = |&resolution: &u16| {
            let arch = Arch { resolution, ..supernet.space().largest() };
            let statistics = calibrate(&supernet, &arch, train)?;
            Ok((resolution, (arch, statistics)))
        };
        let statistics = supernet.space().input.resolutions.0.iter().map(at).collect::<Result<_>>()?;
        Ok(Self { supernet, statistics })
    }

    fn soft_labels(&self, resolution: u16, images: &Tensor) -> Tensor {
        let (arch, statistics) = &self.statistics[&resolution];
        self.supernet.predict(arch, images, statistics).softmax(1, Kind::Float)
    }
}
