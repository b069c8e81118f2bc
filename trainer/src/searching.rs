//! The study of what a search's answers are worth. Along the front of accuracy and latency: what was foretold beside what
//! comes true on images that nothing was chosen by. At each of some limits: the chosen net beside what is had without a
//! search.
//!
//! ```
//! # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
//! use trainer::search::Costs;
//! use trainer::searching::Study;
//!
//! let (space, dataset) = (made_up::space(), made_up::dataset());
//! let supernet = made_up::supernet(&space, &dataset);
//! let study = Study {
//!     supernet: &supernet,
//!     dataset: &dataset,
//!     predictor: &made_up::predictor(&space),
//!     costs: &Costs::from_table(&space, &made_up::table(&space))?,
//!     limits: vec![],
//!     front: 3,
//!     verify: 2,
//!     random: 2,
//!     even: 2,
//!     seed: 1,
//! };
//! let folder = tempfile::tempdir()?;
//! let found = study.run(&folder.path().join("search.json"))?;
//! assert_eq!((found.front.len(), found.limits.len()), (3, 3));
//! assert!(found.table().contains("| ") && found.plot().starts_with("<svg"));
//! # Ok::<(), anyhow::Error>(())
//! ```

mod error;
mod plot;
mod table;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::dataset::{Dataset, Split};
use crate::evaluate::Score;
use crate::files::Header;
use crate::predictor::Predictor;
use crate::search::{Costs, Limits, Net, Problem, draw_within, scaled_down, search, search_front};
use crate::space::{Arch, Space};
use crate::supernet::Supernet;
use crate::survey::{Judged, Subject, judge};

pub use error::{Difference, Foretold, Splits};

/// Format name of `search.json`.
pub const FORMAT: &str = "ofa-study-search";

/// Where the limits lie that a study sets by itself, between the latencies of the smallest and the largest net.
const SHARES: [f64; 3] = [0.25, 0.5, 0.75];

/// Ways to a net within limits.
const WAYS: [&str; 5] = [
    "searched",
    "searched and verified",
    "best of the random nets by validation",
    "best of the random nets by prediction",
    "largest net scaled down",
];

/// What to study.
pub struct Study<'a> {
    /// Whose nets.
    pub supernet: &'a Supernet,
    /// Nets are chosen by its validation images and reported on its test images.
    pub dataset: &'a Dataset,
    /// What the search believes.
    pub predictor: &'a Predictor,
    /// Of a board with a latency table.
    pub costs: &'a Costs,
    /// The problems; empty: a quarter, half and three quarters of the way from the smallest to the largest net's latency.
    pub limits: Vec<Limits>,
    /// Nets along the front.
    pub front: usize,
    /// The most promising nets of each search that are judged on the validation images, of which the best is the verified one.
    pub verify: usize,
    /// Nets drawn within each problem's limits.
    pub random: usize,
    /// Nets drawn from the whole space that tell how much harder one split is than the other.
    pub even: usize,
    /// Of the searches and the draws.
    pub seed: u64,
}

/// What came out.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Searching {
    /// Identifies space and seed.
    pub header: Header,
    /// Whose latencies they are.
    pub board: String,
    /// What a tick of them is.
    pub unit: String,
    /// Images that nets were chosen by.
    pub validation_images: usize,
    /// Images that they are reported on.
    pub test_images: usize,
    /// Along the front of predicted accuracy and latency, the fastest first.
    pub front: Vec<Answer>,
    /// How much harder the test images are.
    pub splits: Splits,
    /// How far the front's accuracies are from what was foretold.
    pub errors: Errors,
    /// The problems.
    pub limits: Vec<Row>,
}

/// A net, and what came true of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Answer {
    /// What was foretold.
    pub net: Net,
    /// Its accuracy on the validation images.
    pub validation: Score,
    /// Its accuracy on the test images.
    pub test: Score,
}

/// The predictions of the front's nets beside each measure of the truth.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Errors {
    /// Their accuracies on the validation images, from which the predictor learnt.
    pub validation: Foretold,
    /// On the test images.
    pub test: Foretold,
    /// On the test images, after the predictions were lowered by how much harder these are for nets drawn evenly.
    pub test_less_splits: Foretold,
}

/// One problem.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// Within these.
    pub limits: Limits,
    /// Nets drawn to find those within the limits.
    pub draws: usize,
    /// Different ones that were found, and judged on the validation images.
    pub random: usize,
    /// The searched net first, then the verified one.
    pub ways: Vec<Way>,
}

/// One way to a net within the limits.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Way {
    /// Which.
    pub name: &'static str,
    /// What it leads to.
    #[serde(flatten)]
    pub answer: Answer,
    /// Test accuracy of the searched net less that of this one; `None` for itself.
    pub gain: Option<Difference>,
    /// The same of the verified net.
    pub verified_gain: Option<Difference>,
}

/// Nets of one problem, before they are judged.
struct Candidates {
    limits: Limits,
    /// The most promising first.
    searched: Vec<Net>,
    draws: usize,
    random: Vec<Net>,
    scaled: Option<Net>,
}

impl Study<'_> {
    /// Searches, and judges what was found. The judged nets are journalled beside `out`, so that the same study goes on
    /// where it ended.
    ///
    /// # Errors
    /// [`crate::search::Infeasible`] where nothing is within some limits; or if the supernet's space, the predictor and the
    /// table don't go together, or a journal is damaged or cannot be written.
    pub fn run(&self, out: &Path) -> Result<Searching> {
        let Self { supernet, dataset, costs, seed, .. } = *self;
        let space = supernet.space();
        let unit = costs.unit().context("a study of the search needs a latency table")?;
        ensure!(
            self.front > 0 && self.verify > 0 && self.random > 0 && self.even > 0,
            "a study needs a net of each kind at least"
        );
        ensure!(!dataset.validation.is_empty() && !dataset.test.is_empty(), "there are no images to judge on");

        let problem = |limits| Problem::new(space, self.predictor, costs, limits);
        let front = spread(&search_front(&problem(Limits::default()), seed)?.nets, self.front);
        let limits = if self.limits.is_empty() { between(&problem(Limits::default()))? } else { self.limits.clone() };
        let candidates = |(i, limits): (usize, Limits)| self.candidates(&problem(limits), i as u64 + 1);
        let problems = limits.into_iter().enumerate().map(candidates).collect::<Result<Vec<_>>>()?;
        let even = self.even(&problem(Limits::default()))?;

        let of_rows = || problems.iter().flat_map(Candidates::nets);
        let nets = || front.iter().chain(of_rows()).chain(&even).map(|net| &net.arch);
        let validated = self.judge(nets(), &dataset.validation, out)?;
        let best: Vec<_> = problems.iter().map(|problem| problem.ways(&validated)).collect();
        let reported = front.iter().chain(best.iter().flatten().map(|(_, net)| *net)).chain(&even);
        let tested = self.judge(reported.map(|net| &net.arch), &dataset.test, out)?;

        let answer = |net: &Net| Answer {
            net: net.clone(),
            validation: validated[&net.arch].score(),
            test: tested[&net.arch].score(),
        };
        let pairs: Vec<_> = even.iter().map(|net| [&validated, &tested].map(|judged| &judged[&net.arch])).collect();
        let splits = Splits::of(&pairs);
        let front: Vec<_> = front.iter().map(answer).collect();
        let rows = problems.iter().zip(&best).map(|(problem, ways)| {
            let right = |net: &Net| &tested[&net.arch].right;
            let way = |(i, &(name, net)): (usize, &(&'static str, &Net))| {
                let beside = |own: usize| (i != own).then(|| Difference::of(right(ways[own].1), right(net)));
                Way { name, answer: answer(net), gain: beside(0), verified_gain: beside(1) }
            };
            Row {
                limits: problem.limits,
                draws: problem.draws,
                random: problem.random.len(),
                ways: ways.iter().enumerate().map(way).collect(),
            }
        });
        let test = |answer: &Answer| answer.test.accuracy;
        Ok(Searching {
            header: Header::new(FORMAT, &space.hash(), seed),
            board: costs.board().unwrap_or_default().into(),
            unit: unit.into(),
            validation_images: dataset.validation.len(),
            test_images: dataset.test.len(),
            errors: Errors {
                validation: Foretold::of(&front, |answer| answer.validation.accuracy, 0.0, |_| 0.0),
                test: Foretold::of(&front, test, 0.0, |Answer { validation, test, .. }| {
                    validation.standard_error.powi(2) + test.standard_error.powi(2)
                }),
                test_less_splits: Foretold::of(&front, test, splits.harder, |_| 0.0),
            },
            splits,
            limits: rows.collect(),
            front,
        })
    }

    fn candidates(&self, problem: &Problem, stream: u64) -> Result<Candidates> {
        let mut searched = search(problem, self.seed)?.top;
        searched.truncate(self.verify);
        let drawn = draw_within(problem, self.random, &mut self.rng(stream))?;
        let limits = problem.boards[0].1;
        let scaled = scaled_down(problem)?;
        Ok(Candidates { limits, searched, draws: drawn.draws, random: drawn.nets, scaled })
    }

    /// Drawn from the whole space.
    fn even(&self, problem: &Problem) -> Result<Vec<Net>> {
        Ok(draw_within(problem, self.even, &mut self.rng(0))?.nets)
    }

    fn rng(&self, stream: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(stream);
        rng
    }

    fn judge<'n>(
        &self,
        archs: impl Iterator<Item = &'n Arch>,
        images: &Split,
        out: &Path,
    ) -> Result<HashMap<Arch, Judged>> {
        let archs: Vec<Arch> = archs.collect::<BTreeSet<_>>().into_iter().cloned().collect();
        let subject = Subject { supernet: self.supernet, train: &self.dataset.train, validation: images };
        let judged = judge(subject, &archs, self.seed, out)?;
        Ok(archs.into_iter().zip(judged).collect())
    }
}

impl Candidates {
    fn nets(&self) -> impl Iterator<Item = &Net> {
        self.searched.iter().chain(&self.random).chain(&self.scaled)
    }

    /// The search's nets, and what the other ways lead to.
    fn ways(&self, validated: &HashMap<Arch, Judged>) -> Vec<(&'static str, &Net)> {
        let validation = |net: &Net| validated[&net.arch].accuracy();
        let prediction = |net: &Net| f64::from(net.accuracy);
        let nets = [
            self.searched.first(),
            best(&self.searched, validation),
            best(&self.random, validation),
            best(&self.random, prediction),
            self.scaled.as_ref(),
        ];
        WAYS.into_iter().zip(nets).filter_map(|(name, net)| Some((name, net?))).collect()
    }
}

/// The net with the highest figure; of equals the first in the order of archs.
fn best(nets: &[Net], figure: impl Fn(&Net) -> f64) -> Option<&Net> {
    nets.iter().max_by(|a, b| figure(a).total_cmp(&figure(b)).then(b.arch.cmp(&a.arch)))
}

/// So many of a front's nets, spread evenly over their latencies: of those that none beats in accuracy and latency.
fn spread(front: &[Net], count: usize) -> Vec<Net> {
    let latency = |net: &Net| net.cost.and_then(|cost| cost.latency).unwrap_or(0);
    let mut nets: Vec<&Net> = front.iter().collect();
    nets.sort_by(|a, b| latency(a).cmp(&latency(b)).then(b.accuracy.total_cmp(&a.accuracy)));
    let mut best = f32::NEG_INFINITY;
    nets.retain(|net| {
        let better = net.accuracy > best;
        best = best.max(net.accuracy);
        better
    });
    let ends = nets.first().zip(nets.last()).map(|(first, last)| [latency(first), latency(last)].map(|end| end as f64));
    let Some([least, most]) = ends else { return vec![] };
    let mut spread: Vec<&Net> = vec![];
    for i in 0..count.min(nets.len()) {
        let place = least + (most - least) * i as f64 / (count - 1).max(1) as f64;
        let near = |a: &usize, b: &usize| {
            let distance = |&net: &usize| (latency(nets[net]) as f64 - place).abs();
            distance(a).total_cmp(&distance(b))
        };
        let nearest = (0..nets.len()).min_by(near).expect("there are nets left");
        spread.push(nets.remove(nearest));
    }
    spread.sort_by_key(|net| latency(net));
    spread.into_iter().cloned().collect()
}

/// The limits that a study sets by itself.
fn between(problem: &Problem) -> Result<Vec<Limits>> {
    let Problem { space, boards, .. } = problem;
    let open = problem.resolutions()?;
    let latency = |arch: Arch, resolution: u16| {
        let cost = boards[0].0.of(&Space::layers(space, &Arch { resolution, ..arch }));
        let latency = cost.and_then(|cost| cost.latency);
        latency.context("the board refuses a layer of the smallest or the largest net: set limits with --limit")
    };
    let least = latency(space.smallest(), open[0])?;
    let most = latency(space.largest(), open[open.len() - 1])?;
    let limit = |share: f64| least + (share * most.saturating_sub(least) as f64) as u64;
    Ok(SHARES.map(|share| Limits { latency: Some(limit(share)), ..Limits::default() }).into())
}
