//! `ofa study predictor`: how good a predictor gets with the number of nets judged, and what noise allows.

use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;
use trainer::files;
use trainer::supernet::Supernet;
use trainer::survey::{Subject, study};

use crate::torch::{dataset_for, parse_device};

/// The predictor's learning curve, beside what the noise of the accuracies allows.
///
/// Judged nets are journalled in the folder: ended at any moment, the same command goes on where it stopped.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Examples:\n",
        "  ofa study predictor supernet.safetensors\n",
        "  ofa study predictor photos.safetensors --data photos --samples 200 --out study/photos",
    )
)]
pub struct Cmd {
    /// From `ofa train`.
    #[arg(default_value = "supernet.safetensors")]
    supernet: PathBuf,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Nets to judge.
    #[arg(long, default_value_t = 400)]
    samples: usize,
    /// Nets that the predictor then chooses, to be judged too.
    #[arg(long, default_value_t = 20)]
    chosen: usize,
    /// Validation images to judge each on, at most; all where not given.
    #[arg(long)]
    images: Option<usize>,
    /// The folder for predictor.onnx, curve.json, curve.svg and curve.txt.
    #[arg(long, default_value = "study/predictor")]
    out: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, or cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print curve.json.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        ensure!(self.chosen > 0, "--chosen 0 leaves nothing to judge");
        let (supernet, _) = Supernet::load(&self.supernet, parse_device(&self.device)?)?;
        let dataset = dataset_for(&supernet, self.data)?;
        let path = |name: &str| self.out.join(name);
        files::check_writable(&path("curve.json"))?;
        let validation = self.images.map_or(dataset.validation.clone(), |images| dataset.validation.first(images));
        ensure!(!validation.is_empty(), "there are no validation images to judge on");
        let subject = Subject { supernet: &supernet, train: &dataset.train, validation: &validation };
        let start = Instant::now();
        let study = study(subject, self.samples, self.chosen, self.seed, &path("predictor.onnx"))?;
        let seconds = start.elapsed().as_secs();
        study.survey.save(&path("predictor.onnx"))?;
        let json = json!({
            "header": study.survey.header,
            "report": study.survey.report,
            "noise": study.survey.noise,
            "chosen": study.chosen,
        });
        files::write_json(&path("curve.json"), &json)?;
        files::write(&path("curve.svg"), study.survey.plot().as_bytes())?;
        let text = study.text();
        files::write(&path("curve.txt"), format!("{text}\n").as_bytes())?;
        let text = if self.json {
            serde_json::to_string_pretty(&json)?
        } else {
            format!("{text}\n\n{seconds} s\n{}", self.out.display())
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}
