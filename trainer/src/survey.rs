//! What a predictor learns from: subnets of a supernet with their measured accuracy.

mod journal;
mod noise;
mod plot;
mod rounds;
mod study;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::dataset::Split;
use crate::evaluate::Judge;
use crate::files::{self, Header};
use crate::fit::fit;
use crate::predictor::{self, Dense, Prediction, features};
use crate::progress::with_progress;
use crate::space::{Arch, Space};
use crate::supernet::Supernet;
use journal::{Identity, Journal};

pub use crate::fit::{CurvePoint, FitReport};
pub use noise::{Limit, Noise};
pub use study::{Chosen, Study, study};

/// One subnet, judged.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// The subnet.
    pub arch: Arch,
    /// Its share of correct answers on the validation images.
    pub accuracy: f64,
}

/// One subnet, judged image by image.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Judged {
    /// The subnet.
    pub arch: Arch,
    /// Whether its answer is right, for each image.
    pub right: Vec<bool>,
}

/// A trained predictor with what it was trained on.
#[derive(Clone, PartialEq, Debug)]
pub struct Survey {
    /// Identifies space and seed.
    pub header: Header,
    /// The subnets, judged.
    pub samples: Vec<Sample>,
    /// How uncertain their accuracies are.
    pub noise: Noise,
    /// The predictor.
    pub layers: Vec<Dense>,
    /// How good it is.
    pub report: FitReport,
}

/// What is surveyed.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The nets.
    pub supernet: &'a Supernet,
    /// Their statistics come from these images.
    pub train: &'a Split,
    /// They are judged on these.
    pub validation: &'a Split,
}

/// Judges `count` nets on the validation images and trains a predictor, to be saved at `out`. The first are drawn evenly,
/// then half of them are those that a search chooses by what is known so far. The judged nets are journalled beside it, so that the same call goes on where the last one ended, however that came about, and
/// ends the same. More nets of the same seed add to those judged before.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::predictor::Predictor;
/// use trainer::survey::{Subject, run};
///
/// let (space, dataset) = (made_up::space(), made_up::dataset());
/// let supernet = made_up::supernet(&space, &dataset);
/// let subject = Subject { supernet: &supernet, train: &dataset.train, validation: &dataset.validation };
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("predictor.onnx");
/// let survey = run(subject, 12, 1, &path)?;
/// assert!(survey.text().contains("trained on 12 nets") && survey.plot().starts_with("<svg"));
/// survey.save(&path)?;
/// assert!((0.0..=1.0).contains(&Predictor::load(&path, &space)?.predict(&[space.middle()])?[0]));
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If there are too few nets to train on, pictures cannot be decoded, or the journal is damaged or cannot be written.
pub fn run(subject: Subject, count: usize, seed: u64, out: &Path) -> Result<Survey> {
    let space = subject.supernet.space();
    let mut judging = Judging::new(subject, seed, out)?;
    let judged =
        with_progress("judge", count, |done| rounds::run(space, count, seed, |archs| judging.judge(archs, done)))?;
    let samples: Vec<_> = judged.iter().map(Judged::sample).collect();
    let (layers, report) = fit(space, &samples, seed)?;
    let header = Header::new(predictor::FORMAT, &space.hash(), seed);
    Ok(Survey { header, samples, noise: Noise::of(&judged, seed), layers, report })
}

/// Judges the archs, those that the journal beside `out` lacks. No arch may be named twice.
pub(crate) fn judge(subject: Subject, archs: &[Arch], seed: u64, out: &Path) -> Result<Vec<Judged>> {
    let mut judging = Judging::new(subject, seed, out)?;
    with_progress("judge", archs.len(), |done| judging.judge(archs, done))
}

/// Nets on their way to be judged, with the journal beside a file.
struct Judging<'a> {
    validation: &'a Split,
    judge: Judge<'a>,
    journal: Journal,
    /// What the journal held.
    known: HashMap<Arch, Judged>,
}

impl<'a> Judging<'a> {
    fn new(subject: Subject<'a>, seed: u64, out: &Path) -> Result<Self> {
        let Subject { supernet, train, validation } = subject;
        let identity = Identity::new(subject, seed)?;
        let path = out.with_extension(format!("{}.journal", identity.name()));
        let (journal, known) = Journal::open(&path, &identity, supernet.space())?;
        let known = known.into_iter().map(|judged| (judged.arch.clone(), judged)).collect();
        Ok(Self { validation, judge: Judge::new(supernet, train, validation), journal, known })
    }

    /// Judges the archs, those that the journal lacks; `done` is called after each. No arch may be named twice.
    fn judge(&mut self, archs: &[Arch], done: &(dyn Fn() + Sync)) -> Result<Vec<Judged>> {
        let Self { validation, judge, journal, known } = self;
        let missing: Vec<_> = archs.iter().filter(|arch| !known.contains_key(arch)).cloned().collect();
        (missing.len()..archs.len()).for_each(|_| done());
        judge.all(&missing, |arch, answers| {
            let right = answers.iter().zip(validation.labels()).map(|(answer, label)| answer == label);
            let judged = Judged { arch: arch.clone(), right: right.collect() };
            journal.add(&judged)?;
            known.insert(arch.clone(), judged);
            done();
            Ok(())
        })?;
        let judged = archs.iter().map(|arch| known.remove(arch).context("an arch is named twice"));
        judged.collect()
    }
}

impl Judged {
    pub(crate) fn accuracy(&self) -> f64 {
        self.right.iter().filter(|&&right| right).count() as f64 / self.right.len() as f64
    }

    fn sample(&self) -> Sample {
        Sample { arch: self.arch.clone(), accuracy: self.accuracy() }
    }
}

impl Survey {
    /// For people: how good the predictor is, how good it could be, and whether more samples would help.
    pub fn text(&self) -> String {
        let Self { report, noise, .. } = self;
        let points = |share: f64| format!("{:.2}", 100.0 * share);
        let limit = |limit: &Limit| format!("{} points, tau at most {:.3}", points(limit.standard_error), limit.tau);
        let mut text = format!(
            "predictor of {} members, trained on {} nets judged on {} images; accuracy spans {} to {} %\n\
             on nets held out: RMSE {} points, Kendall's tau {:.3}, Spearman's rho {:.3}; {:.0} % within one deviation, \
             {:.0} % within two\n\
             noise of an accuracy: by itself {}; beside the other nets' {}\n\n\
             nets trained on  RMSE, points    tau",
            self.layers[self.layers.len() - 1].bias.len(),
            report.trained_on,
            noise.images,
            points(report.span[0]),
            points(report.span[1]),
            points(report.rmse),
            report.kendall_tau,
            report.spearman,
            100.0 * report.within[0],
            100.0 * report.within[1],
            limit(&noise.alone),
            limit(&noise.beside),
        );
        for CurvePoint { samples, rmse, kendall_tau } in &report.curve {
            text += &format!("\n{samples:>15}  {:>12}  {kendall_tau:>5.3}", points(*rmse));
        }
        text
    }

    /// Writes the predictor to `path`, and beside it as `.json` the samples with the report.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        #[derive(Serialize)]
        struct Report<'a> {
            header: &'a Header,
            report: &'a FitReport,
            noise: &'a Noise,
            samples: Vec<Row<'a>>,
        }
        #[derive(Serialize)]
        struct Row<'a> {
            #[serde(flatten)]
            sample: &'a Sample,
            /// By a predictor that has not seen it.
            predicted: f32,
            deviation: f32,
        }
        let Self { header, samples, noise, layers, report } = self;
        let row = |(sample, &Prediction { accuracy, deviation })| Row { sample, predicted: accuracy, deviation };
        let samples = samples.iter().zip(&report.foretold).map(row).collect();
        files::write_json(&path.with_extension("json"), &Report { header, report, noise, samples })?;
        let numbers = [("rmse", report.rmse), ("kendall_tau", report.kendall_tau), ("spearman", report.spearman)];
        let mut metadata = numbers.map(|(name, number)| (name, number.to_string())).to_vec();
        metadata.push((predictor::IMAGES, noise.images.to_string()));
        files::write(path, &predictor::write_mlp(layers, header, &metadata))
    }
}

/// Draws `count` different archs: the smallest and the largest, nets with each single choice of the space, and
/// others drawn evenly. Fewer where the space has fewer.
pub(crate) fn draw(space: &Space, count: usize, rng: &mut impl Rng) -> Vec<Arch> {
    let mut archs = vec![space.smallest(), space.largest()];
    let mut covered = vec![false; features(space, &archs[0]).len()];
    let mut add = |arch: Arch, archs: &mut Vec<Arch>| {
        for (covered, feature) in covered.iter_mut().zip(features(space, &arch)) {
            *covered |= feature > 0.0;
        }
        archs.push(arch);
        covered.iter().position(|covered| !covered)
    };
    archs.dedup();
    let mut missing = Some(0);
    for arch in std::mem::take(&mut archs) {
        missing = add(arch, &mut archs);
    }
    // A space with as many nets as are asked for is exhausted only by chance: so many draws may find nothing new.
    let mut fruitless = 0;
    while archs.len() < count && fruitless < 10_000 {
        let arch = space.sample(rng);
        let useful = missing.is_none_or(|feature| features(space, &arch)[feature] > 0.0);
        if useful && !archs.contains(&arch) {
            missing = add(arch, &mut archs);
            fruitless = 0;
        } else {
            fruitless += 1;
        }
    }
    archs
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_ends_and_every_choice_are_drawn_and_no_net_twice() {
        let space = Space::load("fashion").unwrap();
        let archs = draw(&space, 40, &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!((archs.len(), &archs[0], &archs[1]), (40, &space.smallest(), &space.largest()));
        let counts = archs
            .iter()
            .map(|arch| features(&space, arch))
            .reduce(|sum, features| sum.iter().zip(&features).map(|(a, b)| a + b).collect());
        assert!(counts.unwrap().iter().all(|&count| count > 0.0));
        let distinct: std::collections::BTreeSet<_> = archs.iter().collect();
        assert_eq!(distinct.len(), archs.len());
    }
}
