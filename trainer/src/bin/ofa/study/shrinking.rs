//! `ofa study shrinking`: what progressive shrinking is worth.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use trainer::dataset::Dataset;
use trainer::files;
use trainer::shrinking::{NETS, RECIPES, Study};
use trainer::space::Space;

use crate::torch::parse_device;

/// Train a supernet by each recipe, and nets alone, at equal steps, and compare the same nets on the test images.
///
/// Each training is kept when it is done: ended at any moment, the same command goes on with the one that was cut.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Example:\n",
        "  ofa study shrinking --seeds 3 --steps 2000 --recipes demo,random --nets smallest,middle",
    )
)]
pub struct Cmd {
    /// A built-in space or a TOML file.
    #[arg(long, default_value = "fashion")]
    space: String,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Trainings of each kind.
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Of the first; the others follow.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Steps of each training.
    #[arg(long, default_value_t = 3000)]
    steps: usize,
    /// Recipes of supernets, with commas between; the first is what the others are measured against.
    #[arg(long, default_values = RECIPES, value_delimiter = ',', value_name = "NAME,…")]
    recipes: Vec<String>,
    /// Nets that are compared and trained alone, with commas between; the sharp one sees the largest images.
    #[arg(long, default_values = NETS, value_delimiter = ',', value_name = "NAME,…")]
    nets: Vec<String>,
    /// The folder for shrinking.json, shrinking.md and shrinking.svg, and trainings.journal, from which it goes on.
    #[arg(long, default_value = "study")]
    out: PathBuf,
    /// cpu, or cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print shrinking.json.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let space = Space::load(&self.space)?;
        let device = parse_device(&self.device)?;
        let dataset =
            Dataset::load(&self.data.unwrap_or_else(Dataset::default_folder))?.widened(space.input.channels.0);
        files::check_writable(&self.out.join("shrinking.json"))?;
        let study = Study {
            space: &space,
            dataset: &dataset,
            device,
            steps: self.steps,
            seeds: self.seeds,
            first_seed: self.seed,
            recipes: &self.recipes,
            nets: &self.nets,
        };
        let result = study.run(&self.out.join("trainings.journal"), |line| eprintln!("  {line}"))?;
        files::write_json(&self.out.join("shrinking.json"), &result)?;
        files::write(&self.out.join("shrinking.md"), format!("{}\n", result.table()).as_bytes())?;
        files::write(&self.out.join("shrinking.svg"), result.plot().as_bytes())?;
        let text = match self.json {
            true => serde_json::to_string_pretty(&result)?,
            false => format!("{}\n\n{}", result.table(), self.out.join("shrinking.svg").display()),
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}
