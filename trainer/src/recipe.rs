//! Recipes: how a supernet is trained, as data. Each phase says which of the space's choices are open, which nets a
//! step trains, and what they imitate.

use anyhow::{Result, bail, ensure};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::loader::Augment;
use crate::space::{Arch, Space, Stage, pick};

/// The recipes that the binary carries, by name.
pub const BUILT_IN: [(&str, &str); 8] = [
    ("demo", include_str!("../recipes/demo.toml")),
    ("full", include_str!("../recipes/full.toml")),
    ("sandwich", include_str!("../recipes/sandwich.toml")),
    ("compound", include_str!("../recipes/compound.toml")),
    ("random", include_str!("../recipes/random.toml")),
    ("independent", include_str!("../recipes/independent.toml")),
    ("mcu-demo", include_str!("../recipes/mcu-demo.toml")),
    ("mcu", include_str!("../recipes/mcu.toml")),
];

/// How a supernet is trained.
///
/// ```
/// use trainer::recipe::Recipe;
///
/// let recipe = Recipe::load("demo")?;
/// let steps = recipe.phases.iter().map(|phase| phase.steps(60_000, recipe.batch));
/// assert_eq!(steps.sum::<usize>(), recipe.steps(60_000));
/// assert_eq!(recipe.scaled(100, 60_000).steps(60_000), 100);
/// assert!(Recipe::load("independent")?.trains_a_given_net() && !recipe.trains_a_given_net());
/// let error = Recipe::parse("batch = 8\nsteps = 3", "mine.toml").unwrap_err();
/// assert!(error.to_string().starts_with("mine.toml:2: "), "{error}");
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Images in a step.
    pub batch: usize,
    /// Of SGD, in Nesterov's form.
    pub momentum: f64,
    /// On convolutions and linear weights; not on batch norm, biases and kernel matrices.
    pub weight_decay: f64,
    /// Share of the labels' weight that is spread over all classes.
    pub label_smoothing: f64,
    /// How images are varied; not at all where not given.
    #[serde(default)]
    pub augment: Augment,
    /// In order.
    pub phases: Vec<Phase>,
}

/// A part of the training with one set of open choices. Its learning rate rises to its height, then falls to 0 by
/// a cosine.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// For people.
    pub name: String,
    /// Optimiser steps; or give `epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Passes over the training images; or give `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// At its height.
    pub learning_rate: f64,
    /// Steps on which the learning rate rises.
    #[serde(default)]
    pub warm_up: usize,
    /// Which choices are open.
    #[serde(default)]
    pub open: Open,
    /// The nets that each step trains on its batch, in this order; their gradients are averaged.
    #[serde(default = "one_at_random")]
    pub nets: Vec<Net>,
    /// What they imitate beside the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distillation: Option<Distillation>,
}

/// How many of each list of choices are open, counted from the largest; of a list that is left out, all.
///
/// ```
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
/// use trainer::recipe::Open;
/// use trainer::space::Space;
///
/// let space = Space::load("fashion")?;
/// let open = Open { kernel: Some(1), expand: Some(2), ..Open::default() };
/// let narrow = open.narrow(&space)?;
/// assert_eq!((&narrow.stages.0[0].kernel.0[..], open.expands(&space)), (&[7][..], 2));
/// let arch = open.sample(&narrow, &mut ChaCha8Rng::seed_from_u64(1));
/// assert!(arch.stages.concat().iter().all(|block| block.kernel == 7 && block.expand > 3));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// Kernels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<usize>,
    /// Depths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Expand ratios. Where a phase opens more of them than the one before, channels are sorted first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expand: Option<usize>,
    /// Whether depth and expand ratio of a stage go together: the first depth with the first ratio, and so on
    /// (CompOFA, Sahni et al., ICLR 2021).
    #[serde(default)]
    pub compound: bool,
}

/// Which of the open nets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Net {
    /// The largest, at the largest resolution.
    Largest,
    /// The smallest, at the smallest resolution.
    Smallest,
    /// The largest or the smallest, drawn evenly.
    End,
    /// One drawn evenly.
    Random,
    /// The one that `--arch` names.
    Given,
}

/// What the nets of a phase imitate.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distillation {
    /// Whose scores.
    pub teacher: Teacher,
    /// How the distance to them is measured.
    #[serde(default)]
    pub loss: DistillationLoss,
    /// Divides both nets' scores before softmax; larger is softer. For `soft-labels` and `kl`.
    #[serde(default = "one")]
    pub temperature: f64,
    /// Weight of that distance.
    #[serde(default = "one")]
    pub weight: f64,
    /// Weight of the real labels beside it.
    #[serde(default = "one")]
    pub labels: f64,
}

/// Whose scores are imitated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Teacher {
    /// The largest net as it was when the first phase with a frozen teacher began.
    Frozen,
    /// The first of the step's own nets, which itself learns from the labels alone (BigNAS, Yu et al., ECCV 2020).
    InPlace,
}

/// The distance of a net's scores s to a teacher's t, at temperature T, averaged over the batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistillationLoss {
    /// −Σ softmax(t / T) · log softmax(s / T): cross entropy with soft labels.
    #[default]
    SoftLabels,
    /// T² · Σ softmax(t / T) · (log softmax(t / T) − log softmax(s / T)) (Hinton et al. 2015).
    Kl,
    /// Mean over the classes of (s − t)².
    Squares,
}

fn one() -> f64 {
    1.0
}

fn one_at_random() -> Vec<Net> {
    vec![Net::Random]
}

impl Recipe {
    /// A built-in recipe by its name, or the file at that path.
    ///
    /// # Errors
    /// Says which file, line and field is at fault, or which names there are.
    pub fn load(name_or_path: &str) -> Result<Self> {
        Self::parse(&files::built_in_or_file("recipe", &BUILT_IN, name_or_path)?, name_or_path)
    }

    /// Reads TOML; `origin` names it in errors.
    ///
    /// # Errors
    /// One line with the line and the field at fault, or the phase.
    pub fn parse(text: &str, origin: &str) -> Result<Self> {
        let recipe: Self = files::parse_toml(text, origin)?;
        ensure!(recipe.batch > 1, "{origin}: a batch of {} has no statistics", recipe.batch);
        ensure!((0.0..1.0).contains(&recipe.momentum), "{origin}: momentum {} is not from 0 to 1", recipe.momentum);
        ensure!(recipe.weight_decay >= 0.0, "{origin}: weight decay {} is negative", recipe.weight_decay);
        let smoothing = recipe.label_smoothing;
        ensure!((0.0..1.0).contains(&smoothing), "{origin}: label smoothing {smoothing} is not from 0 to 1");
        ensure!(!recipe.phases.is_empty(), "{origin}: a recipe needs at least one phase");
        for phase in &recipe.phases {
            if let Err(problem) = phase.check() {
                bail!("{origin}: phase {} {problem}", phase.name);
            }
        }
        Ok(recipe)
    }

    /// Optimiser steps of all phases on so many training images.
    pub fn steps(&self, images: usize) -> usize {
        self.phases.iter().map(|phase| phase.steps(images, self.batch)).sum()
    }

    /// Whether one of its phases trains the net that `--arch` names.
    pub fn trains_a_given_net(&self) -> bool {
        self.phases.iter().any(|phase| phase.nets.contains(&Net::Given))
    }

    /// The same recipe in `total` steps: each phase keeps its share, at least one step, and its warm-up's share.
    pub fn scaled(&self, total: usize, images: usize) -> Self {
        let factor = total as f64 / self.steps(images) as f64;
        let mut scaled = self.clone();
        let mut left = total;
        let count = scaled.phases.len();
        for (i, phase) in scaled.phases.iter_mut().enumerate() {
            let steps = phase.steps(images, self.batch);
            // The last phase takes what rounding left.
            let share = (steps as f64 * factor).round() as usize;
            let share = if i + 1 == count { left } else { share.min(left) }.max(1);
            left = left.saturating_sub(share);
            phase.warm_up = ((phase.warm_up as f64 * factor).round() as usize).min(share - 1);
            (phase.steps, phase.epochs) = (Some(share), None);
        }
        scaled
    }
}

impl Phase {
    /// Its optimiser steps on so many training images.
    pub fn steps(&self, images: usize, batch: usize) -> usize {
        match (self.steps, self.epochs) {
            (Some(steps), _) => steps,
            (None, epochs) => ((epochs.unwrap_or(0.0) * images as f64 / batch as f64).round() as usize).max(1),
        }
    }

    fn check(&self) -> Result<(), String> {
        let Open { kernel, depth, expand, .. } = self.open;
        let ensure = |fine: bool, problem: &str| if fine { Ok(()) } else { Err(problem.to_string()) };
        ensure(self.steps.is_some() != self.epochs.is_some(), "needs either steps or epochs")?;
        ensure(self.steps != Some(0), "has no steps")?;
        ensure(self.epochs.is_none_or(|epochs| epochs > 0.0 && epochs < 1e6), "has no epochs")?;
        ensure(self.learning_rate > 0.0 && self.learning_rate.is_finite(), "needs a learning rate above 0")?;
        ensure(self.steps.is_none_or(|steps| self.warm_up < steps), "warms up for longer than it lasts")?;
        ensure(!self.nets.is_empty(), "trains no nets")?;
        ensure(![kernel, depth, expand].contains(&Some(0)), "opens none of a list of choices")?;
        if let Some(distillation) = &self.distillation {
            let Distillation { temperature, weight, labels, teacher, .. } = *distillation;
            ensure(temperature > 0.0, "needs a temperature above 0")?;
            ensure(weight > 0.0 && labels >= 0.0, "needs a distillation weight above 0, and none of labels below 0")?;
            let alone = teacher == Teacher::InPlace && self.nets.len() == 1;
            ensure(!alone, "distils in place, from the first of its nets, but has no second")?;
        }
        Ok(())
    }
}

impl Open {
    /// The space of the nets that are open.
    ///
    /// # Errors
    /// If no stage of the space has as many choices as this opens, or depths and ratios cannot go together.
    pub fn narrow(&self, space: &Space) -> Result<Space> {
        let most = |count: fn(&Stage) -> usize| space.stages.0.iter().map(count).max().unwrap_or(0);
        for (name, open, choices) in [
            ("kernels", self.kernel, most(|stage| stage.kernel.0.len())),
            ("depths", self.depth, most(|stage| stage.depth.0.len())),
            ("expand ratios", self.expand, most(|stage| stage.expand.0.len())),
        ] {
            if let Some(open) = open.filter(|&open| open > choices) {
                bail!("the recipe opens {open} {name}, the space {} has {choices}", space.name);
            }
        }
        let mut narrow = space.clone();
        for stage in &mut narrow.stages.0 {
            keep_last(&mut stage.kernel.0, self.kernel);
            keep_last(&mut stage.depth.0, self.depth);
            keep_last(&mut stage.expand.0, self.expand);
        }
        if self.compound {
            for (i, Stage { depth, expand, .. }) in narrow.stages.0.iter().enumerate() {
                ensure!(
                    depth.0.len() == expand.0.len() || depth.0.len() == 1 || expand.0.len() == 1,
                    "the recipe pairs depths with expand ratios, but stage {i} of the space {} has {} and {}",
                    space.name,
                    depth.0.len(),
                    expand.0.len()
                );
            }
        }
        Ok(narrow)
    }

    /// How many expand ratios are open in this space.
    pub fn expands(&self, space: &Space) -> usize {
        let most = space.stages.0.iter().map(|stage| stage.expand.0.len()).max().unwrap_or(1);
        self.expand.unwrap_or(most)
    }

    /// One of the nets of `open`, which [`Open::narrow`] made, drawn evenly.
    pub fn sample(&self, open: &Space, rng: &mut impl Rng) -> Arch {
        let mut arch = open.sample(rng);
        if self.compound {
            for (stage, blocks) in open.stages.0.iter().zip(&mut arch.stages) {
                let pairs = stage.depth.0.len().max(stage.expand.0.len());
                let pair = pick(&(0..pairs).collect::<Vec<_>>(), rng);
                let [depth, expand] = [&stage.depth.0, &stage.expand.0].map(|list| list[pair.min(list.len() - 1)]);
                *blocks = (0..depth).map(|_| stage.sample_block(rng)).collect();
                blocks.iter_mut().for_each(|block| block.expand = expand);
            }
        }
        arch
    }
}

fn keep_last(choices: &mut Vec<u8>, count: Option<usize>) {
    if let Some(count) = count {
        choices.drain(..choices.len().saturating_sub(count));
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn parse(phase: &str) -> Result<Recipe> {
        let head =
            "batch = 8\nmomentum = 0.9\nweight_decay = 0.0\nlabel_smoothing = 0.0\n[[phases]]\nname = \"only\"\n";
        Recipe::parse(&format!("{head}{phase}"), "test.toml")
    }

    #[test]
    fn built_in_recipes_open_the_whole_of_their_space_in_the_end() {
        for (name, _) in BUILT_IN {
            let space = Space::load(if name.starts_with("mcu") { "mcu" } else { "fashion" }).unwrap();
            let recipe = Recipe::load(name).unwrap();
            let last = &recipe.phases[recipe.phases.len() - 1];
            assert_eq!(last.open.narrow(&space).unwrap(), space, "{name}");
        }
    }

    #[test]
    fn progressive_shrinking_begins_with_the_largest_net() {
        let space = Space::load("fashion").unwrap();
        for name in ["demo", "full"] {
            let first = Recipe::load(name).unwrap().phases[0].open.narrow(&space).unwrap();
            assert_eq!(first.smallest().stages, space.largest().stages, "{name}");
        }
    }

    #[test]
    fn a_recipe_that_opens_what_the_space_lacks_is_refused() {
        let open = Open { kernel: Some(4), ..Open::default() };
        let error = open.narrow(&Space::load("fashion").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the recipe opens 4 kernels, the space fashion has 3");
        let open = Open { depth: Some(2), compound: true, ..Open::default() };
        let error = open.narrow(&Space::load("fashion").unwrap()).unwrap_err();
        assert!(error.to_string().contains("stage 0 of the space fashion has 2 and 3"), "{error}");
    }

    #[test]
    fn compound_choices_pair_depth_and_expand_ratio() {
        let space = Space::load("fashion").unwrap();
        let open = Open { compound: true, ..Open::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let arch = open.sample(&space, &mut rng);
            space.check(&arch).unwrap();
            for (stage, blocks) in space.stages.0.iter().zip(&arch.stages) {
                let pair = stage.depth.0.iter().position(|&depth| usize::from(depth) == blocks.len()).unwrap();
                assert!(blocks.iter().all(|block| block.expand == stage.expand.0[pair]));
                seen.insert((blocks.len(), blocks[0].expand));
            }
        }
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_phase_lasts_for_steps_or_for_epochs() {
        assert_eq!(parse("steps = 7\nlearning_rate = 0.1").unwrap().steps(1000), 7);
        assert_eq!(parse("epochs = 2.5\nlearning_rate = 0.1").unwrap().steps(1000), 313);
        for both in ["", "steps = 7\nepochs = 1.0\n"] {
            let error = parse(&format!("{both}learning_rate = 0.1")).unwrap_err();
            assert_eq!(error.to_string(), "test.toml: phase only needs either steps or epochs");
        }
    }

    #[test]
    fn phases_that_make_no_sense_are_refused() {
        for (phase, problem) in [
            ("steps = 0\nlearning_rate = 0.1", "has no steps"),
            ("epochs = 0.0\nlearning_rate = 0.1", "has no epochs"),
            ("steps = 7\nlearning_rate = 0.0", "learning rate above 0"),
            ("steps = 7\nlearning_rate = 0.1\nwarm_up = 7", "warms up"),
            ("steps = 7\nlearning_rate = 0.1\nnets = []", "trains no nets"),
            ("steps = 7\nlearning_rate = 0.1\nopen = { depth = 0 }", "opens none"),
            ("steps = 7\nlearning_rate = 0.1\ndistillation = { teacher = \"in-place\" }", "no second"),
            (
                "steps = 7\nlearning_rate = 0.1\ndistillation = { teacher = \"frozen\", weight = -1.0 }",
                "weight above 0",
            ),
        ] {
            let error = parse(phase).unwrap_err().to_string();
            assert!(error.starts_with("test.toml: phase only ") && error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_scaled_recipe_has_exactly_the_steps_asked_for() {
        let recipe = Recipe::load("full").unwrap();
        for total in [10, 999, 30_000] {
            let scaled = recipe.scaled(total, 55_000);
            assert_eq!(scaled.steps(55_000), total);
            assert!(scaled.phases.iter().all(|phase| phase.check().is_ok()));
        }
    }
}
