//! Subnets of a supernet are judged, and small networks learn to foretell their accuracy.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;
use trainer::files;
use trainer::supernet::Supernet;
use trainer::survey::{self, Subject};

use crate::torch::{dataset_for, parse_device};

#[derive(Args)]
pub struct Train {
    /// From `ofa train`.
    #[arg(default_value = "supernet.safetensors")]
    supernet: PathBuf,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Nets to judge.
    #[arg(long, default_value_t = 200)]
    samples: usize,
    /// Validation images to judge each on, at most; all where not given.
    #[arg(long)]
    images: Option<usize>,
    /// Where the predictor goes; its samples go beside it, as .json and .HASH.journal.
    #[arg(long, default_value = "predictor.onnx")]
    out: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, or cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl Train {
    pub fn run(self) -> Result<()> {
        let (supernet, _) = Supernet::load(&self.supernet, parse_device(&self.device)?)?;
        let dataset = dataset_for(&supernet, self.data)?;
        files::check_writable(&self.out)?;
        let validation = self.images.map_or(dataset.validation.clone(), |images| dataset.validation.first(images));
        ensure!(!validation.is_empty(), "there are no validation images to judge on");
        let subject = Subject { supernet: &supernet, train: &dataset.train, validation: &validation };
        let survey = survey::run(subject, self.samples, self.seed, &self.out)?;
        survey.save(&self.out)?;
        let text = if self.json {
            serde_json::to_string_pretty(&json!({ "report": survey.report, "noise": survey.noise }))?
        } else {
            format!("{}\n{}", survey.text(), self.out.display())
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}
