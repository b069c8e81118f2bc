//! `ofa predictor`: trained here, or the original's.

mod import;
#[cfg(feature = "torch")]
mod train;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Train the accuracy predictor.
///
/// Judged nets are journalled beside the predictor, as .HASH.journal: ended at any moment, the same command goes on
/// where it stopped, and with more --samples it adds to them.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
#[cfg_attr(
    feature = "torch",
    command(
        after_help = concat!(
            "Examples:\n",
            "  ofa predictor supernet.safetensors --samples 240\n",
            "  ofa predictor photos.safetensors --data photos --out photos.onnx",
        )
    )
)]
pub struct Cmd {
    #[command(subcommand)]
    command: Option<What>,
    #[cfg(feature = "torch")]
    #[command(flatten)]
    train: train::Train,
}

#[derive(Subcommand)]
enum What {
    Import(import::Cmd),
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        match self.command {
            Some(What::Import(cmd)) => cmd.run(),
            #[cfg(feature = "torch")]
            None => self.train.run(),
            #[cfg(not(feature = "torch"))]
            None => anyhow::bail!("this ofa was built without libtorch: it cannot train a predictor, only import one"),
        }
    }
}
