//! `ofa study search`: what the search's answers are worth.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use trainer::files;
use trainer::predictor::Predictor;
use trainer::search::{Costs, Limits};
use trainer::searching::Study;
use trainer::supernet::Supernet;
use trainer::table::LatencyTable;

use crate::torch::{dataset_for, parse_device};

/// What the search's answers come to on the test images, beside what was foretold and beside other ways to a net.
///
/// Nets along the front are judged; and within each limit the search's net, the verified one, the best of random ones, and the
/// largest net scaled down by hand: of those that make the same choice in all stages, counted from the largest, that of the most
/// multiply-accumulates.
///
/// With the defaults about 820 nets are judged, each with statistics of its own: a second or two for each on two cores and
/// 10,000 images of 28×28 pixels. They are journalled in the folder: ended at any moment, the same command goes on where it
/// stopped.
#[derive(Args)]
#[command(
    after_help = concat!(
        "Example:\n",
        "  ofa study search supernet.safetensors --table latency/mps2-an386.json --limit latency=4M,sram=12k",
    )
)]
pub struct Cmd {
    /// From `ofa train`.
    #[arg(default_value = "supernet.safetensors")]
    supernet: PathBuf,
    /// From `ofa predictor`.
    #[arg(long, default_value = "predictor.onnx")]
    predictor: PathBuf,
    /// From `ofa measure`.
    #[arg(long)]
    table: PathBuf,
    /// What the nets of one problem may cost, as for `ofa search`, parted by commas. Repeat it for several problems; three,
    /// at a quarter, half and three quarters between the latencies of the smallest and the largest net, where not given.
    #[arg(long = "limit", value_name = "NAME=NUMBER[,…]")]
    limits: Vec<String>,
    /// A folder of images (IDX, CIFAR, CLASS/*.jpg); Fashion-MNIST from the cache where not given.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Nets along the front of predicted accuracy and latency.
    #[arg(long, default_value_t = 20)]
    front: usize,
    /// The most promising nets of each search, to be judged on all validation images: the best of them is the verified one, as
    /// by `ofa search --verify`.
    #[arg(long, default_value_t = 20)]
    verify: usize,
    /// Nets drawn within each limit, to be judged on all validation images.
    #[arg(long, default_value_t = 200)]
    random: usize,
    /// Nets drawn from the whole space, to be judged on both splits: how much harder the test images are.
    #[arg(long, default_value_t = 50)]
    even: usize,
    /// The folder for search.json, search.md and search.svg.
    #[arg(long, default_value = "study/search")]
    out: PathBuf,
    /// Of the searches and the draws.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// cpu, or cuda:0.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Print search.json.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    pub fn run(self) -> Result<()> {
        for (name, count) in
            [("front", self.front), ("verify", self.verify), ("random", self.random), ("even", self.even)]
        {
            ensure!(count > 0, "--{name} 0 leaves nothing to judge");
        }
        let (supernet, _) = Supernet::load(&self.supernet, parse_device(&self.device)?)?;
        let space = supernet.space();
        let predictor = Predictor::load(&self.predictor, space)?;
        let costs = Costs::from_table(space, &LatencyTable::load(&self.table, space)?)?;
        let limits = |problem: &String| Limits::parse(problem.split(','), costs.clock());
        let limits = self.limits.iter().map(limits).collect::<Result<_>>()?;
        let dataset = dataset_for(&supernet, self.data)?;
        let path = |name: &str| self.out.join(name);
        files::check_writable(&path("search.json"))?;
        let study = Study {
            supernet: &supernet,
            dataset: &dataset,
            predictor: &predictor,
            costs: &costs,
            limits,
            front: self.front,
            verify: self.verify,
            random: self.random,
            even: self.even,
            seed: self.seed,
        };
        let result = study.run(&path("search.json"))?;
        files::write_json(&path("search.json"), &result)?;
        let table = result.table();
        files::write(&path("search.md"), format!("{table}\n").as_bytes())?;
        files::write(&path("search.svg"), result.plot().as_bytes())?;
        let text = if self.json {
            serde_json::to_string_pretty(&result)?
        } else {
            format!("{table}\n\n{}", path("search.svg").display())
        };
        Ok(writeln!(std::io::stdout(), "{text}")?)
    }
}
