//! Archs as the search holds them: a short row of numbers that is quick to compare, to vary and to look costs up by.

use rand::{Rng, RngExt};

use crate::space::{Arch, BlockArch, Space};

/// The position of the resolution among the space's; then for each stage, up to its largest depth, its blocks: 0 where
/// there is none, otherwise 1 + kernel × expand ratios + expand, each as its position among the stage's choices.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Genes(Box<[u16]>);

/// How a space's archs are written as [`Genes`].
#[derive(Clone, Debug)]
pub(super) struct Coding {
    stages: Vec<Stage>,
    /// Positions of the resolutions that are open to the search, ascending.
    open: Vec<u16>,
    resolutions: Vec<u16>,
    /// Features before the resolutions.
    features: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// Of its first block among the genes.
    pub first: usize,
    pub depths: Vec<u8>,
    pub kernels: Vec<u8>,
    pub expands: Vec<u8>,
    /// Features before its own.
    features: u32,
}

impl Stage {
    /// Kinds of block.
    pub fn choices(&self) -> usize {
        self.kernels.len() * self.expands.len()
    }

    pub fn max_depth(&self) -> usize {
        usize::from(self.depths[self.depths.len() - 1])
    }

    fn random_block(&self, rng: &mut impl Rng) -> u16 {
        1 + rng.random_range(0..self.choices()) as u16
    }
}

impl Genes {
    /// The position of its resolution among the space's.
    pub fn resolution(&self) -> usize {
        usize::from(self.0[0])
    }

    /// The stage's blocks, as positions among its kinds.
    pub fn blocks(&self, stage: &Stage) -> impl Iterator<Item = usize> {
        self.slots(stage).iter().take_while(|&&block| block > 0).map(|&block| usize::from(block) - 1)
    }

    fn slots(&self, stage: &Stage) -> &[u16] {
        &self.0[stage.first..][..stage.max_depth()]
    }

    fn slots_mut(&mut self, stage: &Stage) -> &mut [u16] {
        &mut self.0[stage.first..][..stage.max_depth()]
    }

    fn depth(&self, stage: &Stage) -> usize {
        self.slots(stage).iter().take_while(|&&block| block > 0).count()
    }
}

impl Coding {
    /// Of a space of which these resolutions are open.
    pub fn new(space: &Space, open: &[u16]) -> Self {
        let (mut first, mut features) = (1, 0);
        let mut stages = vec![];
        for stage in &space.stages.0 {
            let [depths, kernels, expands] = [&stage.depth.0, &stage.kernel.0, &stage.expand.0].map(Clone::clone);
            stages.push(Stage { first, depths, kernels, expands, features });
            first += stage.max_depth();
            features += (stage.max_depth() * (stage.kernel.0.len() + stage.expand.0.len())) as u32;
        }
        let resolutions = space.input.resolutions.0.clone();
        let open = (0..).zip(&resolutions).filter(|(_, side)| open.contains(side)).map(|(at, _)| at).collect();
        Self { stages, open, resolutions, features }
    }

    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// How many archs are open; `None` above 2¹²⁸.
    pub fn count(&self) -> Option<u128> {
        self.stages.iter().try_fold(self.open.len() as u128, |product, stage| {
            let of_depth = |&depth: &u8| (stage.choices() as u128).checked_pow(u32::from(depth));
            let archs = stage.depths.iter().try_fold(0_u128, |sum, depth| sum.checked_add(of_depth(depth)?))?;
            product.checked_mul(archs)
        })
    }

    pub fn arch(&self, genes: &Genes) -> Arch {
        let block = |stage: &Stage, block: usize| BlockArch {
            kernel: stage.kernels[block / stage.expands.len()],
            expand: stage.expands[block % stage.expands.len()],
        };
        let blocks = |stage: &Stage| genes.blocks(stage).map(|kind| block(stage, kind)).collect();
        Arch { resolution: self.resolutions[genes.resolution()], stages: self.stages.iter().map(blocks).collect() }
    }

    /// Of an arch of the space.
    pub fn genes(&self, arch: &Arch) -> Genes {
        let position = |choices: &[u8], choice: u8| choices.iter().position(|&known| known == choice).unwrap_or(0);
        let mut genes = self.empty();
        genes.0[0] = self.resolutions.iter().position(|&side| side == arch.resolution).unwrap_or(0) as u16;
        for (stage, blocks) in self.stages.iter().zip(&arch.stages) {
            for (slot, block) in genes.slots_mut(stage).iter_mut().zip(blocks) {
                let (kernel, expand) = (position(&stage.kernels, block.kernel), position(&stage.expands, block.expand));
                *slot = 1 + (kernel * stage.expands.len() + expand) as u16;
            }
        }
        genes
    }

    /// The positions of the ones among its [features](crate::predictor::features), ascending.
    pub fn ones(&self, genes: &Genes) -> Vec<u32> {
        let mut ones = Vec::with_capacity(2 * genes.0.len());
        for stage in &self.stages {
            let (kernels, expands) = (stage.kernels.len(), stage.expands.len());
            for (position, block) in genes.blocks(stage).enumerate() {
                let before = stage.features + (position * (kernels + expands)) as u32;
                ones.extend([block / expands, kernels + block % expands].map(|one| before + one as u32));
            }
        }
        ones.push(self.features + genes.resolution() as u32);
        ones
    }

    /// The open arch with the first of every list of choices, and that with the last.
    pub fn ends(&self) -> [Genes; 2] {
        let [mut smallest, mut largest] = [self.empty(), self.empty()];
        (smallest.0[0], largest.0[0]) = (self.open[0], self.open[self.open.len() - 1]);
        for stage in &self.stages {
            smallest.slots_mut(stage)[..usize::from(stage.depths[0])].fill(1);
            largest.slots_mut(stage).fill(stage.choices() as u16);
        }
        [smallest, largest]
    }

    /// Drawn evenly, as [`Space::sample`] draws.
    pub fn sample(&self, rng: &mut impl Rng) -> Genes {
        let mut genes = self.empty();
        genes.0[0] = pick(&self.open, rng);
        for stage in &self.stages {
            let depth = usize::from(pick(&stage.depths, rng));
            genes.slots_mut(stage)[..depth].fill_with(|| stage.random_block(rng));
        }
        genes
    }

    /// As [`Coding::sample`], but with all blocks that there may be.
    pub fn sample_full(&self, rng: &mut impl Rng) -> Genes {
        let mut genes = self.ends()[1].clone();
        self.redraw(&mut genes, 1.0, rng);
        genes
    }

    /// The resolution and each block are drawn anew with this probability; depths stay.
    pub fn redraw(&self, genes: &mut Genes, probability: f64, rng: &mut impl Rng) {
        if rng.random_bool(probability) {
            genes.0[0] = pick(&self.open, rng);
        }
        for stage in &self.stages {
            for slot in genes.slots_mut(stage).iter_mut().take_while(|slot| **slot > 0) {
                if rng.random_bool(probability) {
                    *slot = stage.random_block(rng);
                }
            }
        }
    }

    /// The net of the first blocks of each stage.
    pub fn cut(&self, genes: &Genes, depths: &[u8]) -> Genes {
        let mut genes = genes.clone();
        for (stage, &depth) in self.stages.iter().zip(depths) {
            genes.slots_mut(stage)[usize::from(depth)..].fill(0);
        }
        genes
    }

    /// Each choice is drawn anew with this probability.
    pub fn mutate(&self, parent: &Genes, probability: f64, rng: &mut impl Rng) -> Genes {
        let mut child = parent.clone();
        if rng.random_bool(probability) {
            child.0[0] = pick(&self.open, rng);
        }
        for stage in &self.stages {
            if rng.random_bool(probability) {
                self.set_depth(&mut child, stage, rng);
            }
            for slot in child.slots_mut(stage).iter_mut().take_while(|slot| **slot > 0) {
                let (mut kernel, mut expand) = part(*slot, stage);
                if rng.random_bool(probability) {
                    kernel = rng.random_range(0..stage.kernels.len() as u16);
                }
                if rng.random_bool(probability) {
                    expand = rng.random_range(0..stage.expands.len() as u16);
                }
                *slot = 1 + kernel * stage.expands.len() as u16 + expand;
            }
        }
        child
    }

    /// One choice is drawn anew.
    pub fn nudge(&self, genes: &mut Genes, rng: &mut impl Rng) {
        let choice = rng.random_range(0..genes.0.len() + self.stages.len());
        if choice == 0 {
            genes.0[0] = pick(&self.open, rng);
        } else if let Some(stage) = choice.checked_sub(genes.0.len()) {
            self.set_depth(genes, &self.stages[stage], rng);
        } else if genes.0[choice] > 0 {
            let stage = self.stages.iter().rfind(|stage| stage.first <= choice).expect("a gene belongs to a stage");
            genes.0[choice] = stage.random_block(rng);
        }
    }

    fn set_depth(&self, genes: &mut Genes, stage: &Stage, rng: &mut impl Rng) {
        let depth = usize::from(pick(&stage.depths, rng));
        for (position, slot) in genes.slots_mut(stage).iter_mut().enumerate() {
            match (position < depth, *slot) {
                (false, _) => *slot = 0,
                (true, 0) => *slot = stage.random_block(rng),
                (true, _) => {}
            }
        }
    }

    /// Each choice is one of the parents'.
    pub fn cross(&self, mother: &Genes, father: &Genes, rng: &mut impl Rng) -> Genes {
        let mut child = mother.clone();
        if rng.random() {
            child.0[0] = father.0[0];
        }
        for stage in &self.stages {
            let depth = if rng.random() { mother.depth(stage) } else { father.depth(stage) };
            let parents = mother.slots(stage).iter().zip(father.slots(stage));
            for (position, (slot, parents)) in child.slots_mut(stage).iter_mut().zip(parents).enumerate() {
                *slot = match parents {
                    _ if position >= depth => 0,
                    (0, &block) | (&block, 0) => block,
                    (&mother, &father) => {
                        let (mother, father) = (part(mother, stage), part(father, stage));
                        let kernel = if rng.random() { mother.0 } else { father.0 };
                        let expand = if rng.random() { mother.1 } else { father.1 };
                        1 + kernel * stage.expands.len() as u16 + expand
                    }
                };
            }
        }
        child
    }

    /// All archs that differ in one choice: the resolution, a stage's depth, or a block's kernel and expand ratio. A
    /// stage that grows repeats its last block.
    pub fn neighbours(&self, genes: &Genes) -> Vec<Genes> {
        let mut all = vec![];
        let mut add = |change: &dyn Fn(&mut Genes)| {
            let mut neighbour = genes.clone();
            change(&mut neighbour);
            if neighbour != *genes {
                all.push(neighbour);
            }
        };
        for &resolution in &self.open {
            add(&|genes| genes.0[0] = resolution);
        }
        for stage in &self.stages {
            let depth = genes.depth(stage);
            let last = genes.slots(stage)[depth - 1];
            for new in stage.depths.iter().map(|&new| usize::from(new)) {
                add(&|genes| {
                    let slots = genes.slots_mut(stage);
                    slots[new..].fill(0);
                    slots[depth.min(new)..new].fill(last);
                });
            }
            for block in 0..depth {
                for kind in 1..=stage.choices() as u16 {
                    add(&|genes| genes.slots_mut(stage)[block] = kind);
                }
            }
        }
        all
    }

    /// All open archs, in order. Only for spaces that are small enough to be listed.
    pub fn all(&self) -> impl Iterator<Item = Genes> {
        let mut next = Some(self.ends()[0].clone());
        std::iter::from_fn(move || {
            let genes = next.take()?;
            next = self.after(&genes);
            Some(genes)
        })
    }

    /// The next one: like a counter whose last digit is the last stage.
    fn after(&self, genes: &Genes) -> Option<Genes> {
        let mut genes = genes.clone();
        for stage in self.stages.iter().rev() {
            let depth = genes.depth(stage);
            let slots = genes.slots_mut(stage);
            for slot in slots[..depth].iter_mut().rev() {
                if usize::from(*slot) < stage.choices() {
                    *slot += 1;
                    return Some(genes);
                }
                *slot = 1;
            }
            let deeper = stage.depths.iter().map(|&depth| usize::from(depth)).find(|&deeper| deeper > depth);
            slots.fill(0);
            slots[..deeper.unwrap_or(usize::from(stage.depths[0]))].fill(1);
            if deeper.is_some() {
                return Some(genes);
            }
        }
        genes.0[0] = *self.open.iter().find(|&&open| open > genes.0[0])?;
        Some(genes)
    }

    fn empty(&self) -> Genes {
        let last = &self.stages[self.stages.len() - 1];
        Genes(vec![0; last.first + last.max_depth()].into())
    }
}

/// Kernel and expand ratio of a block, as positions among the stage's choices.
fn part(block: u16, stage: &Stage) -> (u16, u16) {
    let expands = stage.expands.len() as u16;
    ((block - 1) / expands, (block - 1) % expands)
}

fn pick<T: Copy>(choices: &[T], rng: &mut impl Rng) -> T {
    crate::space::pick(choices, rng)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::predictor::features;

    fn coding(space: &Space) -> Coding {
        Coding::new(space, &space.input.resolutions.0)
    }

    #[test]
    fn genes_are_archs() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for name in ["fashion", "mcu", "mobilenetv3"] {
            let space = Space::load(name).unwrap();
            let coding = coding(&space);
            let [smallest, largest] = coding.ends().map(|genes| coding.arch(&genes));
            assert_eq!((smallest, largest), (space.smallest(), space.largest()));
            assert_eq!(coding.count(), space.subnets());
            for _ in 0..100 {
                let arch = space.sample(&mut rng);
                let genes = coding.genes(&arch);
                assert_eq!(coding.arch(&genes), arch);
                let features = features(&space, &arch).into_iter().zip(0..);
                let ones: Vec<u32> = features.filter(|(one, _)| *one > 0.0).map(|(_, at)| at).collect();
                assert_eq!(coding.ones(&genes), ones);
            }
        }
    }

    #[test]
    fn variation_stays_in_the_space() {
        let space = Space::load("mcu").unwrap();
        let coding = Coding::new(&space, &[64, 96]);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let check = |genes: &Genes| {
            let arch = coding.arch(genes);
            space.check(&arch).unwrap();
            assert!([64, 96].contains(&arch.resolution));
            assert_eq!(coding.genes(&arch), *genes, "one way of writing for an arch");
        };
        let mut parents: Vec<_> = (0..20).map(|_| coding.sample(&mut rng)).collect();
        for i in 0..200 {
            let (mother, father) = (&parents[i % 20], &parents[(7 * i + 3) % 20]);
            let mut child = coding.cross(&coding.mutate(mother, 0.3, &mut rng), father, &mut rng);
            coding.nudge(&mut child, &mut rng);
            check(&child);
            parents[i % 20] = child;
        }
        let neighbours = coding.neighbours(&parents[0]);
        neighbours.iter().for_each(check);
        assert_eq!(neighbours.iter().collect::<BTreeSet<_>>().len(), neighbours.len());
    }

    #[test]
    fn all_are_listed_once() {
        let space = Space::parse(include_str!("toy.toml"), "toy").unwrap();
        let all: Vec<_> = coding(&space).all().collect();
        assert_eq!(Some(all.len() as u128), space.subnets());
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        all.iter().for_each(|genes| space.check(&coding(&space).arch(genes)).unwrap());
        let half = Coding::new(&space, &[20]);
        assert_eq!((half.all().count(), half.count()), (all.len() / 2, Some(all.len() as u128 / 2)));
    }
}
