//! `ofa train`: a dataset and a space become a supernet.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use trainer::dataset::Dataset;
use trainer::files;
use trainer::recipe::{BUILT_IN, Recipe};
use trainer::space::Space;
use trainer::supernet::Supernet;
use trainer::train::{Earlier, Keep, PhaseReport, StopSignal, Training, forget, profile, train};

use crate::torch::{named_arch, parse_device};

/// Train a supernet by a recipe.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Examples:\n",
        "  ofa train --recipe full\n",
        "  ofa train --space mcu:3 --data photos --recipe mcu --out photos.safetensors\n",
        "  ofa train --show-recipe full > mine.toml && ofa train --recipe mine.toml",
    )
)]
pub struct Cmd {
    /// A built-in space (fashion, mcu, mobilenetv3; mcu:7 is the same for 7 classes) or a TOML file.
    #[arg(long, default_value = "fashion")]
    space: String,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// A built-in recipe (demo, full, sandwich, compound, random, independent, mcu, mcu-demo) or a TOML file.
    #[arg(long, default_value = "full")]
    recipe: String,
    /// Print a built-in recipe, to change it or to read it.
    #[arg(long, value_name = "NAME", exclusive = true)]
    show_recipe: Option<String>,
    /// For the recipe `independent`: smallest, middle, largest, or a file from `ofa search`.
    #[arg(long)]
    arch: Option<String>,
    /// Where the supernet goes. Beside it, in a folder of the same name that ends in `.training`: checkpoints,
    /// metrics.jsonl, and files for TensorBoard.
    #[arg(long, default_value = "supernet.safetensors")]
    out: PathBuf,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, or cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Go on where a training with the same arguments was stopped or killed.
    #[arg(long)]
    resume: bool,
    /// Begin again where a training was not finished.
    #[arg(long, conflicts_with = "resume")]
    restart: bool,
    /// Seconds from one checkpoint to the next; longer where they would take 2 % of the time.
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    checkpoint_every: f64,
    /// Train nothing: print where the time of so many steps of the recipe's last phase goes, and leave a file that
    /// chrome://tracing reads.
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..))]
    profile: Option<u32>,
    /// Print what each phase came to as JSON.
    #[arg(long, conflicts_with = "profile")]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        if let Some(name) = &self.show_recipe {
            return show(name);
        }
        let space = Space::load(&self.space)?;
        let recipe = Recipe::load(&self.recipe)?;
        let device = parse_device(&self.device)?;
        let given = self.arch.as_deref().map(|name| named_arch(name, &space)).transpose()?;
        let at_least = Duration::try_from_secs_f64(self.checkpoint_every)?;
        let dataset = Dataset::named(self.data.clone(), space.input.channels.0)?;
        files::check_writable(&self.out)?;
        let folder = self.out.with_extension("training");
        let finished = Finished { path: folder.join("finished.json"), of: &self.out };
        let training = Training {
            space: &space,
            recipe: &recipe,
            dataset: &dataset,
            device,
            seed: self.seed,
            given: given.as_ref(),
        };
        if let Some(steps) = self.profile {
            return show_profile(&training, steps as usize, &self.out.with_extension("trace.json"));
        }
        if self.resume && finished.is_there(&training) {
            eprintln!("{} was finished before", self.out.display());
            return self.print(&[]);
        }
        let earlier = match (self.resume, self.restart) {
            (true, _) => Earlier::Resume,
            (_, true) => Earlier::Remove,
            _ => Earlier::Refuse,
        };
        if earlier != Earlier::Resume {
            finished.forget()?;
        }
        let keep = Keep { folder: &folder, earlier, at_least, stop: StopSignal::catch()? };
        let mut phases = vec![];
        let supernet = train(&training, Some(&keep), |phase| {
            eprintln!(
                "  {:10} loss {:.3}; validation accuracy: largest net {:.2} %, smallest {:.2} %; waited for images \
                 {:.1} % of the time, for checkpoints {:.1} %",
                phase.name,
                phase.loss,
                phase.largest * 100.0,
                phase.smallest * 100.0,
                phase.waited * 100.0,
                phase.checkpoints * 100.0
            );
            phases.push(phase.clone());
        })?;
        supernet.save(&self.out, self.seed)?;
        finished.write(&training)?;
        forget(&folder)?;
        self.print(&phases)
    }

    /// `phases` are those that this run has ended.
    fn print(&self, phases: &[PhaseReport]) -> Result<()> {
        let text = match self.json {
            true => format!("{:#}", json!({ "supernet": self.out, "seed": self.seed, "phases": phases })),
            false => self.out.display().to_string(),
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}

fn show(name: &str) -> Result<()> {
    let recipe = BUILT_IN.iter().find(|(built_in, _)| *built_in == name);
    let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    ensure!(recipe.is_some(), "there is no built-in recipe {name}, but: {}", names.join(", "));
    let text = recipe.map_or("", |(_, text)| text);
    Ok(write!(std::io::stdout(), "{text}")?)
}

fn show_profile(training: &Training, steps: usize, trace: &Path) -> Result<()> {
    let profile = profile(training, steps)?;
    files::write_json(trace, &profile.trace())?;
    let mut out = std::io::stdout().lock();
    let lines = profile.lines();
    for (i, line) in lines.iter().enumerate() {
        if i == 0 || lines[i - 1].part != line.part {
            let of_part = lines.iter().filter(|other| other.part == line.part);
            let (milliseconds, share) =
                of_part.fold((0.0, 0.0), |(ms, share), line| (ms + line.milliseconds, share + line.share));
            let part = format!("{:?}", line.part).to_lowercase();
            writeln!(out, "{part:20} {milliseconds:9.2} ms {:6.1} %", 100.0 * share)?;
        }
        writeln!(out, "  {:18} {:9.2} ms {:6.1} %", line.what, line.milliseconds, 100.0 * line.share)?;
    }
    writeln!(out, "{:20} {:9.2} ms", "a step", lines.iter().map(|line| line.milliseconds).sum::<f64>())?;
    Ok(writeln!(out, "{}", trace.display())?)
}

/// A note that a training has nothing left to do, so that to resume it is harmless.
struct Finished<'a> {
    path: PathBuf,
    of: &'a Path,
}

impl Finished<'_> {
    fn note(training: &Training) -> serde_json::Value {
        json!({
            "space": training.space.hash(),
            "recipe": training.recipe,
            "seed": training.seed,
            "arch": training.given,
        })
    }

    fn is_there(&self, training: &Training) -> bool {
        let note = files::read_json::<serde_json::Value>(&self.path, "ofa train");
        note.is_ok_and(|note| note == Self::note(training)) && Supernet::load(self.of, tch::Device::Cpu).is_ok()
    }

    fn write(&self, training: &Training) -> Result<()> {
        files::write_json(&self.path, &Self::note(training))
    }

    /// What begins anew is not finished.
    fn forget(&self) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}
