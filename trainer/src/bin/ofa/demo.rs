//! `ofa demo`: the whole path from nothing.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use trainer::board::Board;
use trainer::dataset::Dataset;
use trainer::demo::{self, Demo, run};
use trainer::recipe::Recipe;
use trainer::space::Space;

use crate::torch::parse_device;

/// Train, predict, measure, search, extract, compile and run, on an emulated Cortex-M4: Fashion-MNIST, or images of
/// yours.
#[derive(Args)]
#[command(after_help = "Examples:\n  ofa demo\n  ofa demo --data photos --space mcu --out out/photos")]
pub struct Cmd {
    /// Where all files go.
    #[arg(long, default_value = "out/demo")]
    out: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A built-in space (fashion; mcu for photographs) or a TOML file. Its nets get as many classes as the images have.
    #[arg(long, default_value = "fashion")]
    space: String,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// A built-in recipe or a TOML file [default: a quick one for the space: demo, or mcu-demo].
    #[arg(long)]
    recipe: Option<String>,
    /// The board to measure and to run on.
    #[arg(long, default_value = "mps2-an386")]
    board: String,
    /// Nets to judge for the predictor.
    #[arg(long, default_value_t = 100)]
    samples: usize,
    /// Validation images to judge each on, at most.
    #[arg(long, default_value_t = 3000)]
    validation: usize,
    /// Test images to run on the board.
    #[arg(long, default_value_t = 300)]
    images: usize,
    /// cpu, or cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print summary.json; what is said on the way goes to stderr.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let space = Space::load(&self.space)?;
        let recipe = self.recipe.unwrap_or_else(|| demo::recipe(&space).into());
        let recipe = Recipe::load(&recipe)?;
        let dataset = Dataset::load(&self.data.unwrap_or_else(Dataset::default_folder))?;
        let demo = Demo {
            dataset: dataset.widened(space.input.channels.0),
            space,
            recipe,
            board: Board::load(&self.board)?,
            device: parse_device(&self.device)?,
            out: self.out,
            seed: self.seed,
            samples: self.samples,
            validation_images: self.validation,
            device_images: self.images,
        };
        if self.json {
            let summary = run(&demo, |line| eprintln!("{line}"))?;
            return Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&summary)?)?);
        }
        // That nobody reads it must not end the work.
        run(&demo, |line| drop(writeln!(std::io::stdout(), "{line}"))).map(|_| ())
    }
}
