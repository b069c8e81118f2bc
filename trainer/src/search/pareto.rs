//! The whole front in one go: accuracy, latency, SRAM and flash.
//!
//! As NSGA-II (Deb et al. 2002), nets that nothing beats are parents, those in thinly settled parts of the front more
//! often than others; but all of them are kept, however many they are. Later each is compared with all nets that differ
//! from it in one choice (Pareto local search, Paquete et al. 2004), and evolution goes on where that changes nothing. At
//! the end the search for the most accurate net goes on from that end of the front.

use anyhow::{Result, ensure};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::evolve::{self, Effort};
use super::judge::{Candidate, Judge, Seen};
use super::{LISTABLE, LISTED, Method, Net, Problem};
use crate::space::pick;

/// Children of a generation.
const CHILDREN: usize = 200;
const MUTATIONS: [f64; 3] = [0.02, 0.05, 0.1];
/// What the evolution takes of all evaluations; the rest is for the local search.
const EVOLUTION: f64 = 0.4;
/// What the search for the most accurate net takes at the end: there the front is the last to be found.
const ACCURATE: f64 = 0.1;
/// Nets around which the local search looks at the same time.
const AROUND: usize = 16;
/// Ends after so many rounds in a row that add nothing to the front.
const FRUITLESS: usize = 100;

/// Nets that no other beats or equals in accuracy, latency, SRAM and flash together.
#[derive(Clone, PartialEq, Debug)]
pub struct FoundFront {
    /// The most accurate first; all within the limits of cost.
    pub nets: Vec<Net>,
    /// How many nets were looked at.
    pub evaluated: usize,
    /// How many of those the predictor was asked about.
    pub evaluations: usize,
    /// Sides of the images that were open to the search.
    pub resolutions: Vec<u16>,
}

/// Looks for the front of the nets within the limits of the problem's one board. The same seed gives the same answer on
/// any number of threads.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::search::{Costs, Limits, Problem, search_front};
///
/// let space = made_up::space();
/// let (predictor, costs) = (made_up::predictor(&space), Costs::from_table(&space, &made_up::table(&space))?);
/// let found = search_front(&Problem::new(&space, &predictor, &costs, Limits::default()), 1)?;
/// assert!(found.nets.is_sorted_by(|a, b| a.accuracy >= b.accuracy));
/// assert_eq!(found.file(&space, 1, &costs).unit.as_deref(), Some("cycles"));
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If there are several boards, no net is within the limits, the predictor fails, or there are too many nets to list.
pub fn search_front(problem: &Problem, seed: u64) -> Result<FoundFront> {
    ensure!(problem.boards.len() == 1, "a front is of one board: give one --table, or --all-boards");
    let mut judge = Judge::new(problem)?;
    let count = judge.coding.count();
    let mut front = Archive::default();
    match problem.method {
        Method::Auto if count.is_none_or(|count| count > LISTED) => {
            evolve(&mut judge, &mut front, Effort::default().evaluations, seed)?;
        }
        Method::Evolution(effort) => evolve(&mut judge, &mut front, effort.evaluations, seed)?,
        Method::Auto | Method::Exhaustive => {
            let few = count.is_some_and(|count| count <= LISTABLE);
            ensure!(few, "the space has too many nets to look at all: more than {LISTABLE}");
            let all = judge.judge(judge.candidates(judge.coding.all().collect()), usize::MAX)?;
            front.add(&judge, all.into_iter().flatten());
        }
    }
    if front.0.is_empty() {
        // Says why.
        super::search(problem, seed)?;
    }
    let mut nets = front.0.iter().map(|member| judge.net(member.net)).collect::<Result<Vec<_>>>()?;
    nets.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy).then(a.cost.cmp(&b.cost)));
    Ok(FoundFront {
        nets,
        evaluated: judge.nets.len(),
        evaluations: judge.evaluations,
        resolutions: problem.resolutions()?,
    })
}

fn evolve(judge: &mut Judge, front: &mut Archive, evaluations: usize, seed: u64) -> Result<()> {
    let most = evaluations - (ACCURATE * evaluations as f64) as usize;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut first = judge.candidates(judge.coding.ends().into());
    first.extend((0..CHILDREN).map(|_| judge.repair(judge.coding.sample(&mut rng), &mut rng)));
    let positions = judge.judge(first, most)?;
    front.add(judge, positions.into_iter().flatten());
    let mut fruitless = 0;
    while judge.evaluations < most && !front.0.is_empty() {
        // Thorough only once the front is roughly known.
        let early = (judge.evaluations as f64) < EVOLUTION * most as f64 && fruitless < FRUITLESS;
        let around: Vec<usize> = if early { vec![] } else { front.unexplored().take(AROUND).collect() };
        if around.is_empty() && fruitless >= FRUITLESS {
            break;
        }
        let nets = match &around[..] {
            [] => children(judge, front, &mut rng),
            around => {
                let neighbours = |&net: &usize| judge.coding.neighbours(judge.genes(net));
                judge.candidates(around.iter().flat_map(neighbours).collect())
            }
        };
        front.0.iter_mut().filter(|member| around.contains(&member.net)).for_each(|member| member.explored = true);
        let positions = judge.judge(nets, most)?;
        let grown = front.add(judge, positions.into_iter().flatten());
        fruitless = if grown { 0 } else { fruitless + 1 };
    }
    let known = front.0.iter().map(|member| judge.genes(member.net).clone()).collect();
    let before = judge.nets.len();
    evolve::evolve(judge, known, Effort { evaluations, ..Effort::default() }, seed)?;
    front.add(judge, before..judge.nets.len());
    Ok(())
}

fn children(judge: &Judge, front: &Archive, rng: &mut ChaCha8Rng) -> Vec<Candidate> {
    let streams: Vec<(usize, usize, u64)> =
        front.parents(rng).into_iter().map(|(mother, father)| (mother, father, rng.random())).collect();
    let child = |&(mother, father, stream): &(usize, usize, u64)| {
        let mut rng = ChaCha8Rng::seed_from_u64(stream);
        let [mother, father] = [mother, father].map(|net| judge.genes(net));
        let child = match rng.random_range(0..3) {
            0 => judge.coding.mutate(mother, pick(&MUTATIONS, &mut rng), &mut rng),
            1 => judge.coding.cross(mother, father, &mut rng),
            // Further than the local search looks, in spaces of few choices too.
            _ => {
                let mut child = mother.clone();
                (0..rng.random_range(2..6)).for_each(|_| judge.coding.nudge(&mut child, &mut rng));
                child
            }
        };
        judge.repair(child, &mut rng)
    };
    streams.par_iter().map(child).collect()
}

/// All nets so far that nothing beats or equals.
#[derive(Default)]
struct Archive(Vec<Member>);

struct Member {
    net: usize,
    /// The less the better.
    values: [f64; 4],
    explored: bool,
}

impl Archive {
    /// Adds those of the nets that nothing beats, and leaves out what they beat. Whether there were any.
    fn add(&mut self, judge: &Judge, nets: impl Iterator<Item = usize>) -> bool {
        let mut grown = false;
        for net in nets {
            let Some(values) = values(&judge.nets[net]) else { continue };
            if self.0.iter().any(|member| no_worse(&member.values, &values)) {
                continue;
            }
            self.0.retain(|member| !no_worse(&values, &member.values));
            self.0.push(Member { net, values, explored: false });
            grown = true;
        }
        grown
    }

    fn unexplored(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter(|member| !member.explored).map(|member| member.net)
    }

    /// Pairs of parents: each the lonelier of two drawn.
    fn parents(&self, rng: &mut impl Rng) -> Vec<(usize, usize)> {
        let room = self.room();
        let mut parent = || {
            let [a, b] = [(); 2].map(|()| rng.random_range(0..self.0.len()));
            self.0[if room[a] >= room[b] { a } else { b }].net
        };
        (0..CHILDREN).map(|_| (parent(), parent())).collect()
    }

    /// For each member how far its neighbours on the front are, summed over the values, each as a share of its range
    /// (NSGA-II's crowding distance).
    fn room(&self) -> Vec<f64> {
        let mut room = vec![0.0; self.0.len()];
        for value in 0..4 {
            let mut order: Vec<usize> = (0..self.0.len()).collect();
            let of = |member: usize| self.0[member].values[value];
            order.sort_by(|&a, &b| of(a).total_cmp(&of(b)).then(a.cmp(&b)));
            let [first, last] = [order[0], order[order.len() - 1]];
            let range = of(last) - of(first);
            if range > 0.0 {
                (room[first], room[last]) = (f64::INFINITY, f64::INFINITY);
                for three in order.windows(3) {
                    room[three[1]] += (of(three[2]) - of(three[0])) / range;
                }
            }
        }
        room
    }
}

fn values(seen: &Seen) -> Option<[f64; 4]> {
    let prediction = seen.prediction?;
    let cost = seen.totals.cost()?;
    let costs = [cost.latency.unwrap_or(0), cost.sram_bytes, cost.flash_bytes].map(|cost| cost as f64);
    Some([-f64::from(prediction.accuracy), costs[0], costs[1], costs[2]])
}

fn no_worse(a: &[f64; 4], b: &[f64; 4]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b)
}
