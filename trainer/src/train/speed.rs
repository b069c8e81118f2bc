//! How fast training steps are, ours beside those of the same net in Python torch.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::sgd::{Gradient, Sgd};
use crate::board::root;
use crate::dataset::Normalisation;
use crate::space::{Arch, Space};
use crate::supernet::Supernet;

/// Steps before the first that counts.
const WARM_UP: usize = 3;

/// Steps of each in a round; rounds alternate, so that both meet the same weather.
const ROUND: usize = 5;

/// What to time.
pub struct Problem<'a> {
    /// Whose largest net.
    pub space: &'a Space,
    /// Side of its images.
    pub resolution: u16,
    /// Images in a step.
    pub batch: usize,
    /// Steps of each contestant; rounded up to whole rounds.
    pub steps: usize,
}

/// Images per second.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Speed {
    /// Multiply-accumulates of one image, forward.
    pub macs: u64,
    /// Steps timed of each.
    pub steps: usize,
    /// Threads of each.
    pub threads: i32,
    /// In the median step.
    pub ours: f64,
    /// In the fastest step.
    pub ours_best: f64,
    /// Of Python torch, in its median step.
    pub torch: Option<f64>,
    /// Of Python torch, in its fastest step.
    pub torch_best: Option<f64>,
}

/// Times our steps, and where a Python with torch is given, its steps in turn with ours.
///
/// ```
/// use trainer::space::Space;
/// use trainer::train::speed::{Problem, speed};
///
/// let space = Space::load("fashion")?;
/// let speed = speed(&Problem { space: &space, resolution: 24, batch: 2, steps: 5 }, None)?;
/// assert!(speed.ours > 0.0 && speed.ours_best >= speed.ours && speed.torch.is_none());
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the space lacks the resolution, or Python fails.
pub fn speed(problem: &Problem, python: Option<&Path>) -> Result<Speed> {
    let Problem { space, resolution, batch, steps } = *problem;
    let arch = Arch { resolution, ..space.largest() };
    space.check(&arch)?;
    let layers = space.layers(&arch);
    let mut ours = Ours::new(space, arch, batch)?;
    let mut torch = python.map(|python| Torch::start(python, &layers, batch)).transpose()?;
    ours.seconds(WARM_UP);
    let (mut our_seconds, mut their_seconds) = (Vec::new(), Vec::new());
    for _ in 0..steps.div_ceil(ROUND).max(1) {
        our_seconds.extend(ours.seconds(ROUND));
        if let Some(torch) = &mut torch {
            their_seconds.extend(torch.seconds(ROUND)?);
        }
    }
    let rate = |seconds: f64| batch as f64 / seconds;
    let [median, best] = median_and_best(&mut our_seconds);
    let theirs = torch.is_some().then(|| median_and_best(&mut their_seconds));
    Ok(Speed {
        macs: layers.iter().map(runtime::Layer::macs).sum(),
        steps: our_seconds.len(),
        threads: tch::get_num_threads(),
        ours: rate(median),
        ours_best: rate(best),
        torch: theirs.map(|[median, _]| rate(median)),
        torch_best: theirs.map(|[_, best]| rate(best)),
    })
}

fn median_and_best(seconds: &mut [f64]) -> [f64; 2] {
    seconds.sort_unstable_by(f64::total_cmp);
    [seconds[seconds.len() / 2], seconds[0]]
}

/// The same step again and again, on images of noise.
struct Ours {
    supernet: Supernet,
    sgd: Sgd,
    arch: Arch,
    images: Tensor,
    labels: Tensor,
}

impl Ours {
    fn new(space: &Space, arch: Arch, batch: usize) -> Result<Self> {
        let channels = usize::from(space.input.channels.0);
        let normalisation = Normalisation { mean: vec![0.0; channels], deviation: vec![1.0; channels] };
        let supernet = Supernet::new(space, normalisation, Device::Cpu, &mut ChaCha8Rng::seed_from_u64(0))?;
        let sgd = Sgd::new(supernet.parameters(), 0.9, 1e-4);
        let side = i64::from(arch.resolution);
        let images = Tensor::randn([batch as i64, channels as i64, side, side], tch::kind::FLOAT_CPU);
        let labels = Tensor::arange(batch as i64, (Kind::Int64, Device::Cpu)).remainder(i64::from(space.classes.0));
        Ok(Self { supernet, sgd, arch, images, labels })
    }

    fn seconds(&mut self, steps: usize) -> Vec<f64> {
        let mut step = || {
            let start = Instant::now();
            let forward = self.supernet.forward_for_gradient(&self.arch, &self.images);
            let loss = forward.scores.cross_entropy_loss(&self.labels, None::<Tensor>, tch::Reduction::Mean, -100, 0.1);
            let mut gradient = Gradient::default();
            gradient.add(forward.gradient(&loss, self.sgd.parameters()));
            self.sgd.step(&gradient, 0.01);
            start.elapsed().as_secs_f64()
        };
        (0..steps).map(|_| step()).collect()
    }
}

/// `benches/torch_baseline.py`, running.
struct Torch {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Torch {
    fn start(python: &Path, layers: &[runtime::Layer], batch: usize) -> Result<Self> {
        let script = root().join("trainer/benches/torch_baseline.py");
        let mut process = Command::new(python)
            .arg(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {} {}", python.display(), script.display()))?;
        let to = process.stdin.take().context("it has no stdin")?;
        let from = BufReader::new(process.stdout.take().context("it has no stdout")?);
        let mut torch = Self { process, to, from };
        let problem = json!({"layers": layers, "batch": batch, "threads": tch::get_num_threads(), "warm_up": WARM_UP});
        let answer = torch.ask(&problem.to_string())?;
        ensure!(answer == "ready", "{} said {answer}", script.display());
        Ok(torch)
    }

    fn seconds(&mut self, steps: usize) -> Result<Vec<f64>> {
        Ok(serde_json::from_str(&self.ask(&steps.to_string())?)?)
    }

    fn ask(&mut self, line: &str) -> Result<String> {
        let ended = "Python torch ended early; does that Python have torch?";
        writeln!(self.to, "{line}").context(ended)?;
        let mut answer = String::new();
        ensure!(self.from.read_line(&mut answer)? > 0, ended);
        Ok(answer.trim_end().to_string())
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
