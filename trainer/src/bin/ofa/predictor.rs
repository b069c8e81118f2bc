//! `ofa predictor`: subnets of a supernet are judged, and an MLP learns to foretell their accuracy.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use trainer::dataset::Dataset;
use trainer::files;
use trainer::supernet::Supernet;
use trainer::survey;

use crate::torch::parse_device;

/// Train the accuracy predictor.
#[derive(Args)]
pub struct Cmd {
    /// From `ofa train`.
    #[arg(default_value = "supernet.safetensors")]
    supernet: PathBuf,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Nets to judge; a fifth of them is held out to report on.
    #[arg(long, default_value_t = 200)]
    samples: usize,
    /// Validation images to judge each on, at most.
    #[arg(long, default_value_t = 5000)]
    images: usize,
    /// Where the predictor goes; its samples go beside it, as .json.
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

impl Cmd {
    pub fn run(self) -> Result<()> {
        let (supernet, _) = Supernet::load(&self.supernet, parse_device(&self.device)?)?;
        let dataset = Dataset::load(&self.data.unwrap_or_else(Dataset::default_folder))?
            .widened(supernet.space().input.channels.0);
        supernet.check(&dataset)?;
        files::check_writable(&self.out)?;
        let validation = dataset.validation.first(self.images);
        let survey = survey::run(&supernet, &dataset.train, &validation, self.samples, self.seed)?;
        survey.save(&self.out)?;
        let report = &survey.report;
        let text = if self.json {
            serde_json::to_string_pretty(report)?
        } else {
            format!(
                "predictor trained on {} nets; on the {} held out, whose accuracy spans {:.2} to {:.2} %: \
                 RMSE {:.2} points, Kendall's tau {:.3}, Spearman's rho {:.3}\n{}",
                report.trained_on,
                report.held_out,
                report.span[0] * 100.0,
                report.span[1] * 100.0,
                report.rmse * 100.0,
                report.kendall_tau,
                report.spearman,
                self.out.display()
            )
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}
