//! `ofa evaluate`: nets of a supernet are judged on images.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use trainer::evaluate::{ClassReport, Judge, NetReport, RandomReport};
use trainer::progress::with_progress;
use trainer::space::Space;
use trainer::supernet::Supernet;

use crate::torch::{dataset_for, named_arch, parse_device};

/// Judge nets of a supernet on images, each with statistics of its own.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Examples:\n",
        "  ofa evaluate supernet.safetensors --arch smallest\n",
        "  ofa evaluate supernet.safetensors --random 50 --split test --json",
    )
)]
pub struct Cmd {
    /// From `ofa train`.
    #[arg(default_value = "supernet.safetensors")]
    supernet: PathBuf,
    /// The net: largest, middle, smallest, or a file from `ofa search`.
    #[arg(long, default_value = "largest")]
    arch: String,
    /// Judge so many nets drawn at random instead.
    #[arg(long, value_name = "N", conflicts_with = "arch")]
    random: Option<usize>,
    /// The images.
    #[arg(long, value_enum, default_value_t = Split::Test)]
    split: Split,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Of the draw of random nets.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, or cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Split {
    Test,
    Validation,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        let (supernet, _) = Supernet::load(&self.supernet, parse_device(&self.device)?)?;
        let space = supernet.space();
        let arch = named_arch(&self.arch, space)?;
        let dataset = dataset_for(&supernet, self.data)?;
        ensure!(
            dataset.classes <= space.classes.0,
            "the dataset has {} classes, the supernet knows {}; name the folder it was trained on with --data",
            dataset.classes,
            space.classes.0
        );
        let (name, images) = match self.split {
            Split::Test => ("test", &dataset.test),
            Split::Validation => ("validation", &dataset.validation),
        };
        let mut judge = Judge::new(&supernet, &dataset.train, images);
        let text = match self.random {
            None => {
                let report = ClassReport::new(space, &arch, &judge.one(&arch)?, images.labels());
                let json = || json!({ "split": name, "net": report });
                if self.json { as_json(&json())? } else { report.text(&dataset.names) }
            }
            Some(count) => {
                ensure!(count > 0, "--random 0 judges nothing");
                let report = random(&mut judge, space, images.labels(), count, self.seed)?;
                let json = || json!({ "split": name, "random": report });
                if self.json { as_json(&json())? } else { report.text() }
            }
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}

fn random(judge: &mut Judge, space: &Space, labels: &[u16], count: usize, seed: u64) -> Result<RandomReport> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let archs: Vec<_> = (0..count).map(|_| space.sample(&mut rng)).collect();
    let mut nets = vec![];
    with_progress("judge", count, |done| {
        judge.all(&archs, |arch, answers| {
            nets.push(NetReport::new(space, arch, &answers, labels));
            done();
            Ok(())
        })
    })?;
    Ok(RandomReport::new(nets, seed))
}

fn as_json(value: &serde_json::Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}
