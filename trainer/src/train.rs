//! Training a supernet by a recipe (once-for-all, section 3.3; BigNAS; CompOFA).
//!
//! ```
//! # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
//! use std::time::Duration;
//! use trainer::recipe::Recipe;
//! use trainer::train::{Earlier, Keep, StopSignal, Training, forget, profile, train};
//!
//! let (space, dataset) = (made_up::space(), made_up::dataset());
//! let recipe = Recipe { batch: 16, ..Recipe::load("random")?.scaled(4, dataset.train.len()) };
//! let device = tch::Device::Cpu;
//! let training = Training { space: &space, recipe: &recipe, dataset: &dataset, device, seed: 1, given: None };
//!
//! // SIGINT and SIGTERM end it with a checkpoint, from which the same call goes on.
//! let folder = tempfile::tempdir()?;
//! let (at_least, stop) = (Duration::from_secs(60), StopSignal::catch()?);
//! let keep = Keep { folder: folder.path(), earlier: Earlier::Resume, at_least, stop };
//! let supernet = train(&training, Some(&keep), |phase| assert!(phase.loss.is_finite()))?;
//! assert_eq!(supernet.space(), &space);
//! forget(folder.path())?;
//!
//! let profile = profile(&training, 1)?;
//! assert!(profile.lines().iter().any(|line| line.what == "SGD"));
//! assert!(profile.trace()["traceEvents"].is_array());
//! # Ok::<(), anyhow::Error>(())
//! ```

mod bar;
mod batches;
mod checkpoint;
mod journal;
mod nets;
pub mod profile;
mod sgd;
pub mod speed;
mod stop;
mod teacher;

use std::f64::consts::PI;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use rand::{Rng, RngExt};
use serde::Serialize;
use serde_json::{Value, json};
use tch::{Device, Tensor};

use crate::dataset::{Dataset, Split};
use crate::evaluate::{accuracy, calibrate};
use crate::loader::random::{Purpose, generator};
use crate::recipe::{Net, Phase, Recipe, Teacher};
use crate::space::{Arch, Space};
use crate::supernet::Supernet;
use bar::TrainingBar;
use batches::{BatchSettings, Batches};
use checkpoint::{Checkpoints, Position, State, existing};
use journal::Journal;
use nets::{Learned, side_by_side};
use profile::{Part, Profile};
use sgd::{Gradient, Sgd};
pub use stop::{StopSignal, Stopped};
use teacher::{Frozen, Goal};

/// Validation images on which the ends of the space are judged after a phase.
const JUDGED_IMAGES: usize = 2000;

/// Steps from one line of `metrics.jsonl` to the next.
const LOG_INTERVAL: u64 = 50;

/// Steps after which the ends and the middle of the space are judged, beside the end of each phase.
const JUDGE_INTERVAL: u64 = 1000;

/// Steps before the first that is profiled.
const PROFILE_WARM_UP: usize = 2;

/// What a training is of. The same gives the same weights on the same machine.
#[derive(Clone, Copy)]
pub struct Training<'a> {
    /// Whose nets.
    pub space: &'a Space,
    /// How.
    pub recipe: &'a Recipe,
    /// On what.
    pub dataset: &'a Dataset,
    /// Where.
    pub device: Device,
    /// Of first weights, order of images, their variation and the nets drawn.
    pub seed: u64,
    /// The net that the recipe calls `given`, where it does.
    pub given: Option<&'a Arch>,
}

/// What a phase came to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PhaseReport {
    /// Its name.
    pub name: String,
    /// Mean loss over its last steps.
    pub loss: f64,
    /// Validation accuracy of the largest net.
    pub largest: f64,
    /// Validation accuracy of the net in the middle of all choices, whether open or not.
    pub middle: f64,
    /// Validation accuracy of the smallest net, whether open or not.
    pub smallest: f64,
    /// Share of the time so far that went into checkpoints.
    pub checkpoints: f64,
    /// Share of the time so far in which training waited for images.
    pub waited: f64,
}

/// What lets a training be killed and resumed, and looked at.
#[derive(Clone)]
pub struct Keep<'a> {
    /// A folder for this training alone: checkpoints, `metrics.jsonl`, TensorBoard's event files.
    pub folder: &'a Path,
    /// What to do with what is there of an earlier run.
    pub earlier: Earlier,
    /// Time between two checkpoints; more where writing them would take 2 % of the training.
    pub at_least: Duration,
    /// Ends the training after a step, with a checkpoint.
    pub stop: StopSignal,
}

/// What to do with the checkpoints of an earlier run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Earlier {
    /// Refuse to begin where there are any: they may be days of work.
    Refuse,
    /// Go on from the newest; begin where there are none.
    Resume,
    /// Remove them.
    Remove,
}

/// Trains a supernet. With `keep`, from where an earlier run was, to the same bits as without interruption.
///
/// # Errors
/// If space, recipe and dataset don't fit each other, the loss is no longer a number, a file cannot be written, or
/// a signal came ([`Stopped`]).
pub fn train(training: &Training, keep: Option<&Keep>, mut report: impl FnMut(&PhaseReport)) -> Result<Supernet> {
    training.check()?;
    let mut trainer = Trainer::new(training)?;
    let mut kept = keep.map(|keep| Kept::open(keep, &mut trainer)).transpose()?;
    while let Some(phase) = training.recipe.phases.get(trainer.position.phase) {
        if trainer.position.step == 0 {
            trainer.begin(phase)?;
        }
        trainer.run(phase, kept.as_mut())?;
        let [largest, middle, smallest] = trainer.judge()?;
        if let Some(Kept { journal, .. }) = &mut kept {
            journal.judged(&trainer.position, &phase.name, [largest, middle, smallest])?;
        }
        report(&PhaseReport {
            name: phase.name.clone(),
            loss: trainer.position.loss.unwrap_or(f64::NAN),
            largest,
            middle,
            smallest,
            checkpoints: kept.as_ref().map_or(0.0, |kept| kept.checkpoints.share()),
            waited: trainer.batches.waited(),
        });
        trainer.position.phase += 1;
        trainer.position.step = 0;
    }
    Ok(trainer.supernet)
}

/// Measures where the time of so many steps of the recipe's last phase goes, on a supernet that has learned nothing.
///
/// # Errors
/// If space, recipe and dataset don't fit each other.
pub fn profile(training: &Training, steps: usize) -> Result<Profile> {
    training.check()?;
    let mut trainer = Trainer::new(training)?;
    let phase = &training.recipe.phases[training.recipe.phases.len() - 1];
    trainer.begin(phase)?;
    // The first steps get memory and compile kernels.
    trainer.profile_steps(phase, PROFILE_WARM_UP)?;
    trainer.profile_steps(phase, steps)
}

/// Removes the checkpoints in `folder`: the result of the training is safe.
///
/// # Errors
/// If they cannot be removed.
pub fn forget(folder: &Path) -> Result<()> {
    existing(folder)?.iter().try_for_each(|path| Ok(std::fs::remove_file(path)?))
}

/// A training under way.
struct Trainer<'a> {
    training: &'a Training<'a>,
    supernet: Supernet,
    sgd: Sgd,
    batches: Batches,
    teacher: Option<Frozen>,
    position: Position,
    validation: Split,
}

/// What is written while a training is under way.
struct Kept {
    checkpoints: Checkpoints,
    journal: Journal,
    stop: StopSignal,
}

impl Kept {
    /// Opens the folder, and takes the trainer to where the earlier run was.
    fn open(keep: &Keep, trainer: &mut Trainer) -> Result<Self> {
        let metrics = Journal::claim(keep.folder)?;
        let checkpoints = Checkpoints::new(keep.folder, trainer.training.identity()?, keep.at_least);
        match keep.earlier {
            Earlier::Refuse => ensure!(
                existing(keep.folder)?.is_empty(),
                "{} holds a training that was not finished; go on with --resume, or begin again with --restart",
                keep.folder.display()
            ),
            Earlier::Resume => {
                if let Some(state) = checkpoints.read()? {
                    trainer.restore(&state)?;
                }
            }
            Earlier::Remove => checkpoints.clear()?,
        }
        let journal = Journal::open(metrics, keep.folder, trainer.position.total, trainer.position.metrics)?;
        Ok(Self { checkpoints, journal, stop: keep.stop.clone() })
    }

    /// After each step: numbers, a checkpoint if it is time for one, an end if a signal came.
    fn after_step(&mut self, trainer: &mut Trainer, phase: &Phase, rate: f64, learning_rate: f64) -> Result<()> {
        let total = trainer.position.total;
        if total.is_multiple_of(LOG_INTERVAL) {
            self.journal.trained(&trainer.position, &phase.name, learning_rate, rate)?;
        }
        if total.is_multiple_of(JUDGE_INTERVAL) {
            self.journal.judged(&trainer.position, &phase.name, trainer.judge()?)?;
        }
        let signal = self.stop.number();
        if signal.is_some() || self.checkpoints.due() {
            trainer.position.metrics = self.journal.length()?;
            self.checkpoints.write(&trainer.state())?;
        }
        match signal {
            Some(signal) => Err(Stopped { signal, step: total, steps: trainer.training.steps() }.into()),
            None => Ok(()),
        }
    }
}

impl<'a> Trainer<'a> {
    fn new(training: &'a Training) -> Result<Self> {
        let Training { space, recipe, dataset, device, seed, .. } = *training;
        let mut weights = generator(seed, Purpose::Weights, 0);
        let supernet =
            Supernet::new(space, dataset.train.normalisation()?, device, &mut weights)?.with_facts(dataset.facts());
        let sgd = Sgd::new(supernet.parameters(), recipe.momentum, recipe.weight_decay);
        let batches = training.batches(0)?;
        let position = Position { phase: 0, step: 0, total: 0, loss: None, accuracy: 0.0, metrics: 0 };
        let validation = dataset.validation.first(JUDGED_IMAGES);
        Ok(Self { training, supernet, sgd, batches, teacher: None, position, validation })
    }

    /// Before the first step of a phase.
    fn begin(&mut self, phase: &Phase) -> Result<()> {
        let Training { space, recipe, dataset, .. } = *self.training;
        if self.teacher.is_none() && phase.has_teacher(Teacher::Frozen) {
            self.teacher = Some(Frozen::new(&self.supernet, &dataset.train)?);
        }
        let before = recipe.phases[..self.position.phase].iter().map(|phase| phase.open.expands(space)).max();
        if let Some(sorted) = before.filter(|&sorted| phase.open.expands(space) > sorted) {
            self.supernet.sort_channels(sorted);
        }
        self.sgd.rest();
        (self.position.loss, self.position.accuracy) = (None, 0.0);
        Ok(())
    }

    /// The steps of a phase that are left.
    fn run(&mut self, phase: &Phase, mut kept: Option<&mut Kept>) -> Result<()> {
        let Training { recipe, dataset, space, .. } = *self.training;
        let open = phase.open.narrow(space)?;
        let steps = phase.steps(dataset.train.len(), recipe.batch);
        let Position { step: done, loss, accuracy, .. } = self.position;
        let what = format!("{}, phase {} of {}", phase.name, self.position.phase + 1, recipe.phases.len());
        let mut bar = TrainingBar::new(&what, steps, done, loss, accuracy);
        let mut copies = phase.nets.iter().map(|_| self.supernet.share()).collect::<Result<Vec<_>>>()?;
        while self.position.step < steps {
            let learning_rate = learning_rate(phase, self.position.step, steps);
            let gradient = self.gradient(phase, &open, &mut copies, &mut bar)?;
            self.sgd.step(&gradient, learning_rate);
            bar.step(recipe.batch);
            self.position.step += 1;
            self.position.total += 1;
            (self.position.loss, self.position.accuracy) = (Some(bar.loss()), bar.accuracy());
            if let Some(kept) = &mut kept {
                kept.after_step(self, phase, bar.rate(), learning_rate)?;
            }
        }
        bar.finish();
        Ok(())
    }

    /// The gradient of one step: the mean of those of its nets, which `copies` compute, one each.
    fn gradient(
        &mut self,
        phase: &Phase,
        open: &Space,
        copies: &mut [Supernet],
        bar: &mut TrainingBar,
    ) -> Result<Gradient> {
        let batch = self.batches.next()?;
        let mut rng = generator(self.training.seed, Purpose::Nets, self.position.total);
        let archs: Vec<_> = phase.nets.iter().map(|net| self.draw(*net, phase, open, &mut rng)).collect();
        let frozen = self.teacher.as_mut().filter(|_| phase.has_teacher(Teacher::Frozen));
        let goal = Goal::new(phase, self.training.recipe);
        let mut gradient = Gradient::default();
        for Learned { loss, scores, gradient: more } in side_by_side(copies, &archs, frozen, &batch, &goal) {
            bar.add(&loss, &scores, &batch.labels)?;
            gradient.add(more);
        }
        Ok(gradient)
    }

    fn draw(&self, net: Net, phase: &Phase, open: &Space, rng: &mut impl Rng) -> Arch {
        match net {
            Net::Largest => open.largest(),
            Net::Smallest => open.smallest(),
            Net::End => self.draw(if rng.random() { Net::Largest } else { Net::Smallest }, phase, open, rng),
            Net::Random => phase.open.sample(open, rng),
            Net::Given => self.training.given.expect("checked before").clone(),
        }
    }

    /// Steps as [`Trainer::run`] takes them, but one net after another, on the clock.
    fn profile_steps(&mut self, phase: &Phase, steps: usize) -> Result<Profile> {
        let open = phase.open.narrow(self.training.space)?;
        let goal = Goal::new(phase, self.training.recipe);
        let mut profile = Profile::new(steps);
        for _ in 0..steps {
            let batch = profile.time(Part::Data, "images", || self.batches.next())?;
            let mut rng = generator(self.training.seed, Purpose::Nets, self.position.total);
            let frozen = self.teacher.as_ref().filter(|_| phase.has_teacher(Teacher::Frozen));
            let mut teacher = frozen.map(|teacher| {
                profile.time(Part::Teacher, "largest net", || teacher.scores(|side| batch.pixels(side)))
            });
            let mut gradient = Gradient::default();
            for net in &phase.nets {
                let arch = self.draw(*net, phase, &open, &mut rng);
                let pixels = profile.time(Part::Data, "resizing", || batch.pixels(arch.resolution));
                let mut scores = None;
                let loss = |of: &Tensor| {
                    scores = Some(of.detach());
                    goal.loss(of, &batch.labels, teacher.as_ref()) / phase.nets.len() as f64
                };
                let parts = profile.gradient(&self.supernet, &arch, &pixels, self.sgd.parameters(), loss);
                parts.into_iter().for_each(|part| gradient.add(part));
                if teacher.is_none() && phase.has_teacher(Teacher::InPlace) {
                    teacher = scores;
                }
            }
            profile.time(Part::Optimiser, "SGD", || self.sgd.step(&gradient, phase.learning_rate));
            self.position.total += 1;
        }
        Ok(profile)
    }

    /// Validation accuracy of the largest net, of the one in the middle of all choices, and of the smallest.
    fn judge(&self) -> Result<[f64; 3]> {
        let Training { space, dataset, .. } = self.training;
        let judge = |arch: Arch| {
            let statistics = calibrate(&self.supernet, &arch, &dataset.train)?;
            accuracy(&self.supernet, &arch, &statistics, &self.validation)
        };
        Ok([judge(space.largest())?, judge(space.middle())?, judge(space.smallest())?])
    }

    fn state(&self) -> State {
        let named = |prefix: &'static str, supernet: &Supernet| {
            let variables = supernet.variables().variables().into_iter();
            variables.map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)).collect::<Vec<_>>()
        };
        let mut tensors = named("weights", &self.supernet);
        tensors.extend(self.teacher.iter().flat_map(|teacher| named("teacher", teacher.supernet())));
        tensors.push(("velocity".into(), self.sgd.velocity().shallow_clone()));
        State { position: self.position.clone(), tensors }
    }

    /// Goes to where `state` is.
    fn restore(&mut self, state: &State) -> Result<()> {
        let restore = |prefix: &str, supernet: &Supernet| {
            let mut variables = supernet.variables().variables().into_iter();
            variables.try_for_each(|(name, tensor)| state.restore(&format!("{prefix}.{name}"), &tensor))
        };
        restore("weights", &self.supernet)?;
        state.restore("velocity", self.sgd.velocity())?;
        if state.tensors.iter().any(|(name, _)| name.starts_with("teacher.")) {
            let teacher = self.supernet.snapshot()?;
            restore("teacher", &teacher)?;
            self.teacher = Some(Frozen::from(teacher, &self.training.dataset.train)?);
        }
        self.position = state.position.clone();
        self.batches = self.training.batches(self.position.total)?;
        Ok(())
    }
}

impl Training<'_> {
    /// Optimiser steps of all phases.
    pub fn steps(&self) -> u64 {
        self.recipe.steps(self.dataset.train.len()) as u64
    }

    /// The batches from this step on.
    fn batches(&self, first_step: u64) -> Result<Batches> {
        let Self { space, recipe, dataset, device, seed, .. } = *self;
        let Recipe { batch, augment, .. } = *recipe;
        let side = space.largest().resolution;
        Batches::new(&dataset.train, BatchSettings { batch, augment, seed, side, device }, first_step)
    }

    /// What the weights depend on.
    fn identity(&self) -> Result<Value> {
        let Self { space, recipe, dataset, device, seed, given } = self;
        Ok(json!({
            "space": space.hash(),
            "recipe": recipe,
            "training images": [json!(dataset.train.len()), json!(dataset.train.normalisation()?)],
            "device": format!("{device:?}"),
            "threads": tch::get_num_threads(),
            "seed": seed,
            "arch": given,
        }))
    }

    fn check(&self) -> Result<()> {
        let Self { space, recipe, dataset, given, .. } = self;
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
            let steps = phase.steps(dataset.train.len(), recipe.batch);
            ensure!(phase.warm_up < steps, "phase {} warms up for longer than its {steps} steps", phase.name);
        }
        match given {
            Some(arch) if recipe.trains_a_given_net() => space.check(arch),
            Some(_) => bail!("--arch names a net, but no phase of the recipe has the net \"given\""),
            None if recipe.trains_a_given_net() => bail!("the recipe trains one given net; name it with --arch"),
            None => Ok(()),
        }
    }
}

impl Phase {
    fn has_teacher(&self, teacher: Teacher) -> bool {
        self.distillation.is_some_and(|distillation| distillation.teacher == teacher)
    }
}

/// Rises over the warm-up, then falls to 0 by a cosine.
fn learning_rate(phase: &Phase, step: usize, steps: usize) -> f64 {
    if step < phase.warm_up {
        return phase.learning_rate * (step + 1) as f64 / phase.warm_up as f64;
    }
    let done = (step - phase.warm_up) as f64 / (steps - phase.warm_up) as f64;
    phase.learning_rate * 0.5 * (1.0 + (PI * done).cos())
}
