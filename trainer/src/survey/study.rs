//! How far a predictor can be trusted: its errors on nets drawn evenly, and on the nets that it itself would choose.

use std::path::Path;

use anyhow::Result;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{Subject, Survey, judge, run};
use crate::predictor::Predictor;
use crate::space::Arch;

/// Nets among which the predictor chooses.
const CANDIDATES: usize = 10_000;

/// A survey, and what the predictor's choice is worth.
#[derive(Clone, PartialEq, Debug)]
pub struct Study {
    /// Nets drawn evenly.
    pub survey: Survey,
    /// The nets that promise the most.
    pub chosen: Chosen,
}

/// The nets of the highest predicted accuracies among many drawn evenly, none of which the predictor has seen. Who
/// chooses by a prediction chooses its errors too: the promise is higher than what it comes to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Chosen {
    /// Nets.
    pub nets: usize,
    /// Nets that were drawn.
    pub candidates: usize,
    /// Mean of the predicted accuracies.
    pub predicted: f64,
    /// Mean of the predictions' deviations.
    pub deviation: f64,
    /// Mean of the measured accuracies.
    pub measured: f64,
    /// Root mean squared error.
    pub rmse: f64,
}

/// Surveys `count` nets as [`run`] does, then judges the `chosen` most promising of those not surveyed.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::survey::{Subject, study};
///
/// let (space, dataset) = (made_up::space(), made_up::dataset());
/// let supernet = made_up::supernet(&space, &dataset);
/// let subject = Subject { supernet: &supernet, train: &dataset.train, validation: &dataset.validation };
/// let folder = tempfile::tempdir()?;
/// let study = study(subject, 12, 3, 1, &folder.path().join("predictor.onnx"))?;
/// assert_eq!((study.survey.samples.len(), study.chosen.nets), (12, 3));
/// println!("{}", study.text());
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// As [`run`]; or if tract fails.
pub fn study(subject: Subject, count: usize, chosen: usize, seed: u64, out: &Path) -> Result<Study> {
    let space = subject.supernet.space();
    let survey = run(subject, count, seed, out)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(1);
    let mut archs: Vec<Arch> = (0..CANDIDATES).map(|_| space.sample(&mut rng)).collect();
    archs.retain(|arch| survey.samples.iter().all(|sample| sample.arch != *arch));
    archs.sort();
    archs.dedup();
    let candidates = archs.len();
    let predictions = Predictor::new(&survey.layers, space)?.predict_interval(&archs)?;
    let mut ranked: Vec<_> = predictions.into_iter().zip(archs).collect();
    ranked.sort_by(|(a, _), (b, _)| b.accuracy.total_cmp(&a.accuracy));
    ranked.truncate(chosen);
    let archs: Vec<_> = ranked.iter().map(|(_, arch)| arch.clone()).collect();
    let measured: Vec<f64> = judge(subject, &archs, seed, out)?.iter().map(super::Judged::accuracy).collect();
    let predicted: Vec<f64> = ranked.iter().map(|(prediction, _)| prediction.accuracy.into()).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let deviations: Vec<f64> = ranked.iter().map(|(prediction, _)| prediction.deviation.into()).collect();
    let chosen = Chosen {
        nets: measured.len(),
        candidates,
        predicted: mean(&predicted),
        deviation: mean(&deviations),
        measured: mean(&measured),
        rmse: crate::metrics::rmse(&predicted, &measured),
    };
    Ok(Study { survey, chosen })
}

impl Study {
    /// For people.
    pub fn text(&self) -> String {
        let Chosen { nets, candidates, predicted, deviation, measured, rmse } = &self.chosen;
        format!(
            "{}\n\nthe {nets} most promising of {candidates} other nets: predicted {:.2} % ± {:.2}, measured {:.2} %, \
             RMSE {:.2} points",
            self.survey.text(),
            100.0 * predicted,
            100.0 * deviation,
            100.0 * measured,
            100.0 * rmse
        )
    }
}
