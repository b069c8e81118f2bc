//! `ofa extract`: one subnet leaves the supernet.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use trainer::dataset::Dataset;
use trainer::evaluate::extract;
use trainer::files;
use trainer::search::Choice;
use trainer::supernet::Supernet;

use crate::torch::parse_device;

/// Take a subnet out of the supernet: batch norm recalibrated and folded, as ONNX.
#[derive(Args)]
pub struct Cmd {
    /// From `ofa train`.
    #[arg(default_value = "supernet.safetensors")]
    supernet: PathBuf,
    /// From `ofa search`.
    #[arg(long, default_value = "arch.json")]
    arch: PathBuf,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where the subnet goes.
    #[arg(long, default_value = "subnet.onnx")]
    out: PathBuf,
    /// cpu, or cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let (supernet, seed) = Supernet::load(&self.supernet, parse_device(&self.device)?)?;
        let choice = Choice::load(&self.arch, supernet.space())?;
        let dataset = Dataset::load(&self.data.unwrap_or_else(Dataset::default_folder))?
            .widened(supernet.space().input.channels.0);
        supernet.check(&dataset)?;
        files::check_writable(&self.out)?;
        extract(&supernet, &choice.arch, &dataset.train, seed)?.save(&self.out)?;
        Ok(writeln!(std::io::stdout(), "{}", self.out.display())?)
    }
}
