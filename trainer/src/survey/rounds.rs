//! Which nets are judged: first some that are drawn evenly, then as many that a search finds by what is known so far.
//!
//! A predictor that learns from nets drawn evenly knows little of the best ones, of which hardly any is drawn; a search
//! goes where it promises too much. So each round adds the nets that a search chooses, within limits of MACs that cover
//! the space, and the next predictor has seen what they come to (Lu et al., NSGANetV2, ECCV 2020, choose
//! all but the first so). Half of each round is drawn evenly still, for what no search would choose.

use anyhow::{Result, ensure};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use runtime::Layer;

use super::{Judged, draw};
use crate::fit::ensemble;
use crate::predictor::Predictor;
use crate::search::{Costs, Effort, Limits, Method, Problem, search};
use crate::space::{Arch, Space};

/// Nets of a round.
const ROUND: usize = 30;
/// How long each search looks.
const EFFORT: Effort = Effort { evaluations: 5_000, fruitless_populations: 4 };
/// Multiples of it, less whole numbers, cover the numbers from 0 to 1 evenly however many there are.
const GOLDEN_RATIO: f64 = 1.618_033_988_749_895;

/// Judges `count` nets, or all that the space has, round by round; `judge` is given the nets of a round. More nets of the
/// same seed begin with the same ones.
pub(super) fn run(
    space: &Space,
    count: usize,
    seed: u64,
    mut judge: impl FnMut(&[Arch]) -> Result<Vec<Judged>>,
) -> Result<Vec<Judged>> {
    ensure!(count > 0, "without nets there is nothing to learn from");
    let even = draw(space, count, &mut ChaCha8Rng::seed_from_u64(seed));
    let first = even.len().min(ROUND);
    let mut judged = judge(&even[..first])?;
    let mut even = even[first..].iter();
    let mut searched = 0;
    while judged.len() < count {
        let guide = Guide::new(space, &judged, seed)?;
        let mut known: Vec<Arch> = judged.iter().map(|judged| judged.arch.clone()).collect();
        let end = count.min(known.len() + ROUND);
        while known.len() < end {
            let before = known.len();
            let drawn = even.by_ref().find(|arch| !known.contains(arch)).cloned();
            known.extend(drawn);
            if known.len() < end {
                known.extend(guide.choose(searched, &known)?);
                searched += 1;
            }
            if known.len() == before {
                break;
            }
        }
        let round = &known[judged.len()..];
        if round.is_empty() {
            break;
        }
        judged.extend(judge(round)?);
    }
    Ok(judged)
}

/// What is known so far, to search by.
struct Guide<'a> {
    space: &'a Space,
    predictor: Predictor,
    /// MACs of the smallest and of the largest net.
    macs: [f64; 2],
    seed: u64,
}

impl<'a> Guide<'a> {
    fn new(space: &'a Space, judged: &[Judged], seed: u64) -> Result<Self> {
        let samples: Vec<_> = judged.iter().map(Judged::sample).collect();
        let predictor = Predictor::new(&ensemble(space, &samples, seed), space)?;
        let macs = |arch: &Arch| space.layers(arch).iter().map(Layer::macs).sum::<u64>() as f64;
        Ok(Self { space, predictor, macs: [macs(&space.smallest()), macs(&space.largest())], seed })
    }

    /// The net of the highest predicted accuracy within the MACs of search `number` that is not known; `None` if a search
    /// finds none.
    fn choose(&self, number: usize, known: &[Arch]) -> Result<Option<Arch>> {
        let [least, most] = self.macs;
        let share = (number as f64 * GOLDEN_RATIO).fract();
        let limit = least * (most / least).powf(share);
        let limits = Limits { macs: Some(limit.ceil() as u64), ..Limits::default() };
        let costs = Costs::without_board();
        let method = Method::Evolution(EFFORT);
        let problem = Problem { method, ..Problem::new(self.space, &self.predictor, &costs, limits) };
        let found = search(&problem, self.seed)?.top;
        Ok(found.into_iter().map(|net| net.arch).find(|arch| !known.contains(arch)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Nets are the better the larger they are, and wide kernels waste what they cost.
    fn judged(space: &Space, archs: &[Arch]) -> Vec<Judged> {
        let right = |arch: &Arch| {
            let macs: u64 = space.layers(arch).iter().map(Layer::macs).sum();
            let wide = arch.stages.iter().flatten().filter(|block| block.kernel > 3).count();
            (300.0 + 80.0 * (macs as f64 / 4e5).ln() - 20.0 * wide as f64) as usize
        };
        archs
            .iter()
            .map(|arch| Judged { arch: arch.clone(), right: (0..1000).map(|i| i < right(arch)).collect() })
            .collect()
    }

    #[test]
    fn half_of_what_follows_the_first_round_are_nets_that_a_search_would_choose() {
        let space = Space::load("fashion").unwrap();
        let mut rounds = vec![];
        let all = run(&space, 150, 3, |archs| {
            rounds.push(archs.len());
            Ok(judged(&space, archs))
        });
        let all: Vec<Arch> = all.unwrap().into_iter().map(|judged| judged.arch).collect();
        assert_eq!(rounds, [30; 5]);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 150, "none twice");
        let even = draw(&space, 150, &mut ChaCha8Rng::seed_from_u64(3));
        let (drawn, searched): (Vec<_>, Vec<_>) = all[30..].iter().partition(|arch| even.contains(arch));
        assert!(searched.len() >= 50, "{} searched", searched.len());
        let narrow = |archs: &[&Arch]| {
            let blocks: Vec<_> = archs.iter().flat_map(|arch| arch.stages.iter().flatten()).collect();
            blocks.iter().filter(|block| block.kernel == 3).count() as f64 / blocks.len() as f64
        };
        let [drawn, searched] = [drawn, searched].map(|archs| narrow(&archs));
        assert!(drawn < 0.5 && searched > 0.8, "{drawn} {searched}");
        let fewer = run(&space, 95, 3, |archs| Ok(judged(&space, archs))).unwrap();
        assert!(fewer.iter().map(|judged| &judged.arch).eq(&all[..95]), "more nets begin with the same ones");
    }

    #[test]
    fn a_small_space_is_judged_whole() {
        let space = Space::parse(include_str!("../search/toy.toml"), "toy").unwrap();
        let mut one = space.clone();
        one.input.resolutions.0.truncate(1);
        one.stages.0.truncate(1);
        let nets = one.subnets().unwrap() as usize;
        assert!(nets < 2000, "{nets}");
        assert_eq!(run(&one, 5000, 1, |archs| Ok(judged(&one, archs))).unwrap().len(), nets);
    }
}
