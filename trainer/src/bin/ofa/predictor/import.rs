//! `ofa predictor import`: the original's accuracy predictor.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use trainer::files::{self, Header};
use trainer::original::{read_predictor, resolutions};
use trainer::predictor::{self, Predictor, RESOLUTIONS, write_mlp};

use crate::search::named_space;

/// A checkpoint with what its optimiser remembers has less than a hundredth of it.
const MOST_BYTES: u64 = 1 << 30;

/// Read the accuracy predictor of the original once-for-all code. Nothing in the file is executed.
#[derive(Args)]
#[command(after_help = "Example:\n  ofa predictor import acc_predictor.pth --out predictor.onnx")]
pub struct Cmd {
    /// What torch.save wrote, since PyTorch 0.1.10, such as acc_predictor.pth.
    file: PathBuf,
    /// A built-in space or a TOML file.
    #[arg(long, default_value = "mobilenetv3")]
    space: String,
    /// What its widths are multiplied by.
    #[arg(long, default_value_t = 1.2)]
    width: f64,
    /// Where the predictor goes.
    #[arg(long, default_value = "predictor.onnx")]
    out: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let space = named_space(&self.space, self.width)?;
        let path = self.file.display();
        let bytes = files::read_at_most(&self.file, MOST_BYTES)?;
        let layers = read_predictor(&bytes, &space).with_context(|| path.to_string())?;
        let resolutions = resolutions(&space);
        Predictor::new(&layers, &space)
            .and_then(|read| read.knowing(&resolutions))
            .with_context(|| path.to_string())?;
        let sides = resolutions.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let header = Header::new(predictor::FORMAT, &space.hash(), 0);
        files::write(&self.out, &write_mlp(&layers, &header, &[(RESOLUTIONS, sides)]))?;
        let lengths: Vec<_> = layers.iter().map(|layer| layer.bias.len()).collect();
        let text = if self.json {
            format!("{:#}", json!({ "out": self.out, "layers": lengths, "resolutions": resolutions }))
        } else {
            format!("layers of {lengths:?} values, for images of {resolutions:?} pixels\n{}", self.out.display())
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}
