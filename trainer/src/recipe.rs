//! Recipes: progressive shrinking as data. Each phase opens more of the space's choices.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::loader::Augment;
use crate::space::Space;

/// The recipes that the binary carries, by name.
pub const BUILT_IN: [(&str, &str); 4] = [
    ("demo", include_str!("../recipes/demo.toml")),
    ("full", include_str!("../recipes/full.toml")),
    ("mcu-demo", include_str!("../recipes/mcu-demo.toml")),
    ("mcu", include_str!("../recipes/mcu.toml")),
];

/// How a supernet is trained.
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
    /// Optimiser steps.
    pub steps: usize,
    /// At its height.
    pub learning_rate: f64,
    /// Steps on which the learning rate rises.
    #[serde(default)]
    pub warm_up: usize,
    /// Which nets are drawn.
    pub open: Open,
    /// Nets drawn for each batch; their gradients are averaged.
    #[serde(default = "one")]
    pub subnets: usize,
    /// Weight of the soft labels of the full net, as it was when this first became positive, beside weight 1 of
    /// the real labels.
    #[serde(default)]
    pub distillation: f64,
}

/// How many of each list of choices are open, counted from the largest. All resolutions are always open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Open {
    /// Kernels.
    pub kernel: usize,
    /// Depths.
    pub depth: usize,
    /// Expand ratios. Where a phase opens more of them than the one before, channels are sorted first.
    pub expand: usize,
}

fn one() -> usize {
    1
}

impl Recipe {
    /// A built-in recipe by its name, or the file at that path.
    ///
    /// # Errors
    /// Says which file, line and field is at fault, or which names there are.
    pub fn load(name_or_path: &str) -> Result<Self> {
        Self::parse(&files::built_in_or_file("recipe", &BUILT_IN, name_or_path)?, name_or_path)
    }

    fn parse(text: &str, origin: &str) -> Result<Self> {
        let recipe: Self = files::parse_toml(text, origin)?;
        ensure!(recipe.batch > 1, "{origin}: a batch of {} has no statistics", recipe.batch);
        ensure!(!recipe.phases.is_empty(), "{origin}: a recipe needs at least one phase");
        for Phase { name, steps, learning_rate, open, subnets, .. } in &recipe.phases {
            ensure!(*steps > 0, "{origin}: phase {name} has no steps");
            ensure!(*subnets > 0, "{origin}: phase {name} draws no subnets");
            ensure!(*learning_rate > 0.0, "{origin}: phase {name} has learning rate {learning_rate}");
            ensure!(
                open.kernel > 0 && open.depth > 0 && open.expand > 0,
                "{origin}: phase {name} opens none of a list of choices"
            );
        }
        Ok(recipe)
    }

    /// Optimiser steps of all phases.
    pub fn steps(&self) -> usize {
        self.phases.iter().map(|phase| phase.steps).sum()
    }
}

impl Open {
    /// The space of the nets that are open.
    ///
    /// # Errors
    /// If no stage of the space has as many choices as this opens.
    pub fn narrow(&self, space: &Space) -> Result<Space> {
        let most = |count: fn(&crate::space::Stage) -> usize| space.stages.0.iter().map(count).max().unwrap_or(0);
        for (name, open, choices) in [
            ("kernels", self.kernel, most(|stage| stage.kernel.0.len())),
            ("depths", self.depth, most(|stage| stage.depth.0.len())),
            ("expand ratios", self.expand, most(|stage| stage.expand.0.len())),
        ] {
            ensure!(open <= choices, "the recipe opens {open} {name}, the space {} has {choices}", space.name);
        }
        let mut narrow = space.clone();
        for stage in &mut narrow.stages.0 {
            keep_last(&mut stage.kernel.0, self.kernel);
            keep_last(&mut stage.depth.0, self.depth);
            keep_last(&mut stage.expand.0, self.expand);
        }
        Ok(narrow)
    }
}

fn keep_last(choices: &mut Vec<u8>, count: usize) {
    choices.drain(..choices.len().saturating_sub(count));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_recipes_open_the_whole_of_their_space_in_the_end() {
        for (name, _) in BUILT_IN {
            let space = Space::load(if name.starts_with("mcu") { "mcu" } else { "fashion" }).unwrap();
            let recipe = Recipe::load(name).unwrap();
            let last = &recipe.phases[recipe.phases.len() - 1];
            assert_eq!(last.open.narrow(&space).unwrap(), space, "{name}");
            assert_eq!(
                recipe.phases[0].open.narrow(&space).unwrap().smallest().stages,
                space.largest().stages,
                "{name}"
            );
        }
    }

    #[test]
    fn a_recipe_that_opens_what_the_space_lacks_is_refused() {
        let error = Open { kernel: 4, depth: 1, expand: 1 }.narrow(&Space::load("fashion").unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the recipe opens 4 kernels, the space fashion has 3");
    }
}
