//! What a search's answer stands beside: nets drawn within the same limits, and the largest net scaled down by hand.

use std::collections::HashSet;

use anyhow::Result;
use rand::Rng;

use super::judge::Judge;
use super::{Net, Problem};
use crate::space::{Arch, BlockArch, Space};

/// So many draws at most, however few of the nets fit.
const DRAWS: usize = 1_000_000;

/// Different nets within all limits, and how many draws they took.
#[derive(Clone, PartialEq, Debug)]
pub struct Drawn {
    /// As many as were asked for, or all that a million draws found.
    pub nets: Vec<Net>,
    /// Nets drawn, those outside the limits and those drawn again among them.
    pub draws: usize,
}

/// Draws `count` nets as [`Space::sample`] does, and keeps those within the limits of every board.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use rand::SeedableRng;
/// use rand_chacha::ChaCha8Rng;
/// use trainer::search::{Costs, Limits, Problem, draw_within, scaled_down};
///
/// let space = made_up::space();
/// let (predictor, costs) = (made_up::predictor(&space), Costs::from_table(&space, &made_up::table(&space))?);
/// let limits = Limits { latency: Some(2_000_000), ..Limits::default() };
/// let problem = Problem::new(&space, &predictor, &costs, limits);
/// let drawn = draw_within(&problem, 5, &mut ChaCha8Rng::seed_from_u64(1))?;
/// assert!(drawn.nets.len() == 5 && drawn.draws >= 5);
/// assert!(scaled_down(&problem)?.is_some_and(|net| net.cost.is_some_and(|cost| cost.latency <= limits.latency)));
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// If the tables and the predictor know no resolution in common, or the predictor fails.
pub fn draw_within(problem: &Problem, count: usize, rng: &mut impl Rng) -> Result<Drawn> {
    let mut judge = Judge::new(problem)?;
    let mut known = HashSet::new();
    let mut within = vec![];
    let mut draws = 0;
    while within.len() < count && draws < DRAWS {
        draws += 1;
        let net = judge.candidate(judge.coding.sample(rng));
        if net.fits() && known.insert(net.genes.clone()) {
            within.push(net);
        }
    }
    let positions = judge.judge(within, usize::MAX)?;
    let nets = positions.into_iter().flatten().map(|net| judge.net(net)).collect::<Result<_>>()?;
    Ok(Drawn { nets, draws })
}

/// The largest net scaled down by hand, as one does without a search: images, depths, kernels and expand ratios are
/// lowered in all stages alike, and of the nets within the limits the one of the most multiply-accumulates is taken, of
/// equals that of the larger images. `None` where none of them fits.
///
/// # Errors
/// As [`draw_within`].
pub fn scaled_down(problem: &Problem) -> Result<Option<Net>> {
    let (costs, _) = &problem.boards[0];
    let fits = |arch: &Arch| {
        let layers = problem.space.layers(arch);
        problem.boards.iter().all(|(costs, limits)| limits.excess(costs.of(&layers).as_ref()) <= 1.0)
    };
    let costed = uniform(problem.space, &problem.resolutions()?).into_iter().filter(fits).map(|arch| {
        let cost = costs.of(&problem.space.layers(&arch));
        (arch, cost)
    });
    let Some((arch, cost)) = costed.max_by_key(|(arch, cost)| (cost.map(|cost| cost.macs), arch.resolution)) else {
        return Ok(None);
    };
    let said = problem.predictor.predict_interval(std::slice::from_ref(&arch))?[0];
    Ok(Some(Net { arch, accuracy: said.accuracy, deviation: said.deviation, cost }))
}

/// The nets of these resolutions in which all stages have the choice at the same place from the end of their lists, or
/// the first where a list is shorter.
fn uniform(space: &Space, resolutions: &[u16]) -> Vec<Arch> {
    let stages = || space.stages.0.iter();
    let from_end = |choices: &[u8], steps: usize| choices[(choices.len() - 1).saturating_sub(steps)];
    let depths = stages().map(|stage| stage.depth.0.len()).max().unwrap_or(0);
    let kernels = stages().map(|stage| stage.kernel.0.len()).max().unwrap_or(0);
    let expands = stages().map(|stage| stage.expand.0.len()).max().unwrap_or(0);
    let mut archs = vec![];
    for &resolution in resolutions {
        for (depth, kernel) in (0..depths).flat_map(|depth| (0..kernels).map(move |kernel| (depth, kernel))) {
            archs.extend((0..expands).map(|expand| {
                let blocks = stages().map(|stage| {
                    let block = BlockArch {
                        kernel: from_end(&stage.kernel.0, kernel),
                        expand: from_end(&stage.expand.0, expand),
                    };
                    vec![block; usize::from(from_end(&stage.depth.0, depth))]
                });
                Arch { resolution, stages: blocks.collect() }
            }));
        }
    }
    archs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nets_that_make_one_choice_everywhere_are_of_the_space_and_hold_its_ends() {
        for (name, count) in [("fashion", 3 * 27), ("mcu", 6 * 27), ("mobilenetv3", 25 * 27)] {
            let space = Space::load(name).unwrap();
            let archs = uniform(&space, &space.input.resolutions.0);
            archs.iter().for_each(|arch| space.check(arch).unwrap());
            assert_eq!(archs.iter().collect::<HashSet<_>>().len(), count, "{name}");
            assert!(archs.contains(&space.smallest()) && archs.contains(&space.largest()), "{name}");
        }
    }
}
