//! `ofa extract`: one subnet leaves the supernet.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use runtime::Layer;
use serde_json::json;
use trainer::evaluate::extract;
use trainer::files;
use trainer::supernet::Supernet;

use crate::torch::{dataset_for, named_arch, parse_device};

/// Take a subnet out of the supernet: batch norm recalibrated and folded, as ONNX.
#[derive(Args)]
#[command(after_help = "Examples:\n  ofa extract supernet.safetensors --arch arch.json --out subnet.onnx")]
pub struct Cmd {
    /// From `ofa train`.
    #[arg(default_value = "supernet.safetensors")]
    supernet: PathBuf,
    /// The net: largest, middle, smallest, or a file from `ofa search`.
    #[arg(long, default_value = "arch.json")]
    arch: String,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where the subnet goes.
    #[arg(long, default_value = "subnet.onnx")]
    out: PathBuf,
    /// cpu, or cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print what the net is as JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let (supernet, seed) = Supernet::load(&self.supernet, parse_device(&self.device)?)?;
        let arch = named_arch(&self.arch, supernet.space())?;
        let dataset = dataset_for(&supernet, self.data)?;
        files::check_writable(&self.out)?;
        extract(&supernet, &arch, &dataset.train, seed)?.save(&self.out)?;
        let layers = supernet.space().layers(&arch);
        let text = match self.json {
            true => format!(
                "{:#}",
                json!({
                    "onnx": self.out,
                    "arch": arch,
                    "macs": layers.iter().map(Layer::macs).sum::<u64>(),
                    "parameters": layers.iter().map(Layer::parameters).sum::<usize>(),
                })
            ),
            false => self.out.display().to_string(),
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}
