//! The study of what progressive shrinking is worth: the same archs out of supernets that were trained by each recipe,
//! and trained alone, at equal steps.
//!
//! ```
//! # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
//! use trainer::shrinking::Study;
//!
//! let (space, dataset) = (made_up::space(), made_up::dataset());
//! let folder = tempfile::tempdir()?;
//! let recipe = folder.path().join("recipe.toml");
//! let phases = "[[phases]]\nname = 'random'\nsteps = 10\nlearning_rate = 0.1";
//! std::fs::write(&recipe, format!("batch = 16\nmomentum = 0.9\nweight_decay = 0.0\nlabel_smoothing = 0.0\n{phases}"))?;
//! let study = Study {
//!     space: &space,
//!     dataset: &dataset,
//!     device: tch::Device::Cpu,
//!     steps: 10,
//!     seeds: 1,
//!     first_seed: 1,
//!     recipes: &[recipe.display().to_string()],
//!     nets: &["smallest".into()],
//! };
//! let result = study.run(&folder.path().join("trainings.journal"), |training| println!("{training}"))?;
//! assert_eq!(result.rows[0].ways.len(), 2, "in the supernet and alone");
//! assert!(result.table().contains("smallest") && result.plot().starts_with("<svg"));
//! # Ok::<(), anyhow::Error>(())
//! ```

mod journal;
mod plot;

use std::path::Path;

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use tch::Device;

use crate::dataset::Dataset;
use crate::evaluate::{accuracy, calibrate};
use crate::progress::with_progress;
use crate::recipe::Recipe;
use crate::space::{Arch, Space};
use crate::supernet::Supernet;
use crate::train::{Training, train};
use journal::Journal;

/// The recipes that are worth comparing, by their built-in names; first progressive shrinking that is made for few steps.
pub const RECIPES: [&str; 4] = ["demo", "sandwich", "compound", "random"];

/// The nets that are worth comparing: the ends of the space and what lies between, by increasing cost.
pub const NETS: [&str; 4] = ["smallest", "smallest-sharp", "middle", "largest"];

/// The recipe of a net on its own.
const ALONE: &str = "independent";

/// What to compare.
pub struct Study<'a> {
    /// Whose nets.
    pub space: &'a Space,
    /// On what.
    pub dataset: &'a Dataset,
    /// Where.
    pub device: Device,
    /// Steps of each training.
    pub steps: usize,
    /// Trainings of each kind; the first has seed `first_seed`, the next the next.
    pub seeds: u64,
    /// The first.
    pub first_seed: u64,
    /// Built-in recipes of supernets; the first is what the other ways are measured against.
    pub recipes: &'a [String],
    /// Names of [`NETS`].
    pub nets: &'a [String],
}

/// What came out.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Shrinking {
    /// Name of the space.
    pub space: String,
    /// Steps of each training.
    pub steps: usize,
    /// Of the trainings.
    pub seeds: Vec<u64>,
    /// Test images that the accuracies are of.
    pub images: usize,
    /// The archs.
    pub rows: Vec<Row>,
}

/// One arch, trained in each way.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The arch.
    pub arch: Arch,
    /// Its multiply-accumulates.
    pub macs: u64,
    /// Test accuracy of each way of training: recipe by recipe, alone at last.
    pub ways: Vec<Way>,
}

/// One way of training one arch.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Way {
    /// Name of the recipe.
    pub recipe: String,
    /// Test accuracy for each seed.
    pub accuracies: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Standard error of that mean: from the spread over the seeds, or where there is one seed, of a share counted on
    /// so many images.
    pub error: f64,
    /// Mean over the seeds of what the first recipe reaches less this.
    pub behind: f64,
    /// Standard error of that mean, from the spread of the pairs; or as above where there is one seed.
    pub behind_error: f64,
}

impl Study<'_> {
    /// Trains everything; says each training that is done. What each came to is kept in the file `journal`, from which
    /// a study that was ended goes on.
    ///
    /// # Errors
    /// What training returns; or if the journal is damaged, or of another study.
    pub fn run(&self, journal: &Path, mut say: impl FnMut(&str)) -> Result<Shrinking> {
        let Self { space, dataset, steps, seeds, first_seed, recipes, .. } = *self;
        ensure!(seeds > 0, "a study needs at least one seed");
        ensure!(!recipes.is_empty(), "a study needs at least one recipe");
        ensure!(steps >= 10, "{steps} steps are too few for every phase to have some");
        let archs = self.archs()?;
        let seeds: Vec<u64> = (first_seed..first_seed + seeds).collect();
        let mut journal = Journal::open(journal, &self.identity(&archs)?)?;
        let mut measured: Vec<Vec<Vec<f64>>> = vec![vec![vec![]; recipes.len() + 1]; archs.len()];
        for &seed in &seeds {
            for (way, name) in recipes.iter().enumerate() {
                let what = format!("seed {seed}, {name}");
                let judged = journal.get_or(&what, archs.len(), || {
                    let supernet = self.train(name, None, seed)?;
                    with_progress("judge", archs.len(), |done| {
                        archs.iter().map(|(_, arch)| (self.judge(&supernet, arch), done()).0).collect()
                    })
                })?;
                for (row, accuracy) in measured.iter_mut().zip(&judged) {
                    row[way].push(*accuracy);
                }
                say(&format!("{what}: {}", percentages(&judged)));
            }
            for ((name, arch), row) in archs.iter().zip(&mut measured) {
                let what = format!("seed {seed}, {name} alone");
                let train = || Ok(vec![self.judge(&self.train(ALONE, Some(arch), seed)?, arch)?]);
                let accuracy = journal.get_or(&what, 1, train)?;
                say(&format!("{what}: {}", percentages(&accuracy)));
                row[recipes.len()].extend(accuracy);
            }
        }
        let images = dataset.test.len();
        let rows = archs.into_iter().zip(measured).map(|((name, arch), accuracies)| Row {
            name,
            macs: space.layers(&arch).iter().map(runtime::Layer::macs).sum(),
            arch,
            ways: ways(self.ways(), accuracies, images),
        });
        Ok(Shrinking { space: space.name.clone(), steps, seeds, images, rows: rows.collect() })
    }

    /// What every training of the study depends on beside its seed.
    fn identity(&self, archs: &[(String, Arch)]) -> Result<Value> {
        Ok(json!({
            "space": self.space.hash(),
            "images": [self.dataset.train.len(), self.dataset.test.len()],
            "steps": self.steps,
            "recipes": self.ways().map(|name| self.recipe(name)).collect::<Result<Vec<_>>>()?,
            "archs": archs,
        }))
    }

    /// The recipes of supernets, and that of a net alone.
    fn ways(&self) -> impl Iterator<Item = &str> {
        self.recipes.iter().map(String::as_str).chain([ALONE])
    }

    /// The nets by name, those left out that are others of them by another name.
    fn archs(&self) -> Result<Vec<(String, Arch)>> {
        let Self { space, nets, .. } = *self;
        ensure!(!nets.is_empty(), "a study needs at least one net");
        let mut archs: Vec<(String, Arch)> = vec![];
        for name in nets {
            let arch = match name.as_str() {
                "smallest" => space.smallest(),
                "smallest-sharp" => Arch { resolution: space.largest().resolution, ..space.smallest() },
                "middle" => space.middle(),
                "largest" => space.largest(),
                _ => bail!("there is no net {name}, but: {}", NETS.join(", ")),
            };
            if archs.iter().all(|(_, other)| *other != arch) {
                archs.push((name.clone(), arch));
            }
        }
        Ok(archs)
    }

    fn recipe(&self, name: &str) -> Result<Recipe> {
        let mut recipe = Recipe::load(name)?.scaled(self.steps, self.dataset.train.len());
        // So that they differ in what is trained alone: all see the images that the first recipe sees.
        let first = Recipe::load(&self.recipes[0])?;
        (recipe.batch, recipe.augment) = (first.batch, first.augment);
        (recipe.weight_decay, recipe.label_smoothing) = (first.weight_decay, first.label_smoothing);
        Ok(recipe)
    }

    fn train(&self, name: &str, given: Option<&Arch>, seed: u64) -> Result<Supernet> {
        let Self { space, dataset, device, .. } = *self;
        let recipe = self.recipe(name)?;
        train(&Training { space, recipe: &recipe, dataset, device, seed, given }, None, |_| {})
    }

    fn judge(&self, supernet: &Supernet, arch: &Arch) -> Result<f64> {
        accuracy(supernet, arch, &calibrate(supernet, arch, &self.dataset.train)?, &self.dataset.test)
    }
}

impl Shrinking {
    /// A table in Markdown: accuracy with its standard error; below it, how far each way is behind the first.
    pub fn table(&self) -> String {
        let points = |value: f64| format!("{:.2}", 100.0 * value);
        let names = || self.rows.iter().take(1).flat_map(|row| row.ways.iter().map(|way| &way.recipe));
        let reference = names().next().map_or("", String::as_str);
        let head: String = names().map(|name| format!(" {name} |")).collect();
        let rule: String = names().map(|_| "---:|").collect();
        let mut lines = vec![format!("| net | MMAC |{head}"), format!("|---|---:|{rule}")];
        for row in &self.rows {
            let cells = row.ways.iter().map(|way| format!(" {} ± {} |", points(way.mean), points(way.error)));
            lines.push(format!("| {} | {:.2} |{}", row.name, row.macs as f64 / 1e6, cells.collect::<String>()));
        }
        lines.push(String::new());
        let head: String = names().skip(1).map(|name| format!(" {reference} − {name} |")).collect();
        let rule: String = names().skip(1).map(|_| "---:|").collect();
        lines.extend([format!("| net |{head}"), format!("|---|{rule}")]);
        for row in &self.rows {
            let cells =
                row.ways[1..].iter().map(|way| format!(" {:+.2} ± {} |", 100.0 * way.behind, points(way.behind_error)));
            lines.push(format!("| {} |{}", row.name, cells.collect::<String>()));
        }
        lines.join("\n")
    }

    /// Accuracy over multiply-accumulates, a line for each way, as SVG.
    pub fn plot(&self) -> String {
        plot::draw(self)
    }
}

/// For each way the accuracies over the seeds.
fn ways<'n>(names: impl Iterator<Item = &'n str>, accuracies: Vec<Vec<f64>>, images: usize) -> Vec<Way> {
    let first = accuracies[0].clone();
    let way = |(name, accuracies): (&str, Vec<f64>)| {
        let of_images = |share: f64| (share * (1.0 - share) / images.max(1) as f64).sqrt();
        let (mean, spread) = mean_and_error(&accuracies);
        let pairs: Vec<f64> = first.iter().zip(&accuracies).map(|(first, this)| first - this).collect();
        let (behind, behind_spread) = mean_and_error(&pairs);
        let of_pair = of_images(first[0]).hypot(of_images(mean));
        Way {
            recipe: name.to_string(),
            mean,
            error: spread.unwrap_or(of_images(mean)),
            behind,
            behind_error: behind_spread.unwrap_or(of_pair),
            accuracies,
        }
    };
    names.zip(accuracies).map(way).collect()
}

/// The error is `None` for one value: it has no spread.
fn mean_and_error(values: &[f64]) -> (f64, Option<f64>) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    (mean, (values.len() > 1).then(|| (squares / (count - 1.0) / count).sqrt()))
}

fn percentages(shares: &[f64]) -> String {
    shares.iter().map(|share| format!("{:.2} %", 100.0 * share)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_difference_is_that_of_the_pairs() {
        let ways = ways(["a", "b", "c"].into_iter(), vec![vec![0.9, 0.8], vec![0.88, 0.78], vec![0.7, 0.9]], 10_000);
        assert!(
            (ways[1].behind - 0.02).abs() < 1e-12 && ways[1].behind_error < 1e-12,
            "a steady difference is certain"
        );
        assert!((ways[1].error - 0.05).abs() < 1e-12, "though each varies from seed to seed");
        assert!((ways[2].behind - 0.05).abs() < 1e-12 && (ways[2].behind_error - 0.15).abs() < 1e-12);
    }

    #[test]
    fn one_seed_has_the_error_of_a_share_of_the_images() {
        let ways = ways(["a", "b"].into_iter(), vec![vec![0.9], vec![0.5]], 10_000);
        assert!((ways[0].error - 0.003).abs() < 1e-12 && (ways[1].error - 0.005).abs() < 1e-12);
        assert!((ways[1].behind_error - 0.003_f64.hypot(0.005)).abs() < 1e-12);
    }

    #[test]
    fn every_recipe_of_the_study_is_built_in() {
        for name in RECIPES.iter().chain(&[ALONE]) {
            let recipe = Recipe::load(name).unwrap();
            assert_eq!(recipe.trains_a_given_net(), *name == ALONE, "{name}");
        }
    }
}
