//! `ofa train`: a dataset and a space become a supernet.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use trainer::dataset::Dataset;
use trainer::recipe::Recipe;
use trainer::space::Space;
use trainer::train::train;

use crate::torch::parse_device;

/// Train a supernet by progressive shrinking.
#[derive(Args)]
pub struct Cmd {
    /// A built-in space (fashion, mcu, mobilenetv3; mcu:7 is the same for 7 classes) or a TOML file.
    #[arg(long, default_value = "fashion")]
    space: String,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// A built-in recipe (demo, full, mcu, mcu-demo) or a TOML file.
    #[arg(long, default_value = "full")]
    recipe: String,
    /// Where the supernet goes.
    #[arg(long, default_value = "supernet.safetensors")]
    out: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, or cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let space = Space::load(&self.space)?;
        let recipe = Recipe::load(&self.recipe)?;
        let device = parse_device(&self.device)?;
        let dataset =
            Dataset::load(&self.data.unwrap_or_else(Dataset::default_folder))?.widened(space.input.channels.0);
        trainer::files::check_writable(&self.out)?;
        let supernet = train(&space, &recipe, &dataset, device, self.seed, |phase| {
            eprintln!(
                "  {:10} loss {:.3}; validation accuracy: largest net {:.2} %, smallest {:.2} %; waited for images {:.1} %",
                phase.name,
                phase.loss,
                phase.largest * 100.0,
                phase.smallest * 100.0,
                phase.waited * 100.0
            );
        })?;
        supernet.save(&self.out, self.seed)?;
        Ok(writeln!(std::io::stdout(), "{}", self.out.display())?)
    }
}
