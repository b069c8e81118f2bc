//! The nets of one step, side by side: each is computed by one thread alone, which wastes far less of a processor than
//! many threads that share each layer.
//!
//! Their gradients are summed in the order of the nets, so that the bits don't depend on which thread was the first.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use tch::Tensor;

use super::batches::Batch;
use super::teacher::{Frozen, Goal};
use crate::space::Arch;
use crate::supernet::Supernet;

/// What one net of a step came to.
pub(super) struct Learned {
    /// Its loss on the batch.
    pub loss: Tensor,
    /// batch × classes.
    pub scores: Tensor,
    /// Its share of the step's gradient: of each parameter that it uses.
    pub gradient: Vec<Option<Tensor>>,
}

/// Trains each arch on the batch, the first with the first of the `copies` of one supernet, and so on; they imitate
/// `frozen` where it is given.
pub(super) fn side_by_side(
    copies: &mut [Supernet],
    archs: &[Arch],
    frozen: Option<&mut Frozen>,
    batch: &Batch,
    goal: &Goal,
) -> Vec<Learned> {
    let threads = tch::get_num_threads();
    let mut tasks = tasks(copies, archs, frozen, batch, goal);
    let workers = if batch.on_cpu() { tasks.len().min(threads as usize) } else { 1 };
    if workers == 1 {
        return tasks.into_iter().filter_map(Task::run).collect();
    }
    // Taken from the end: the first is the teacher, for whom the others wait.
    tasks.reverse();
    let tasks = Mutex::new(tasks);
    let next = || tasks.lock().expect("nothing panics while it holds the tasks").pop();
    let mut learned = std::thread::scope(|scope| {
        let work = || {
            tch::set_num_threads(1);
            let mut learned = Vec::new();
            while let Some(task) = next() {
                let place = task.place;
                learned.extend(task.run().map(|learned| (place, learned)));
            }
            learned
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.flatten().collect::<Vec<_>>()
    });
    // Some of what each thread is told is known to all of libtorch.
    tch::set_num_threads(threads);
    learned.sort_by_key(|(place, _)| *place);
    learned.into_iter().map(|(_, learned)| learned).collect()
}

/// What one thread does by itself.
struct Task<'a> {
    place: usize,
    batch: Batch,
    pupils: Vec<Sender<Tensor>>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Teach(&'a mut Frozen),
    Learn {
        supernet: &'a mut Supernet,
        arch: &'a Arch,
        teacher: Option<Receiver<Tensor>>,
        goal: Goal,
        /// Of its loss in that of the step.
        share: f64,
    },
}

/// A task for the teacher, if it is none of the nets, and one for each net; none waits for one behind it.
fn tasks<'a>(
    copies: &'a mut [Supernet],
    archs: &'a [Arch],
    frozen: Option<&'a mut Frozen>,
    batch: &Batch,
    goal: &Goal,
) -> Vec<Task<'a>> {
    let mut pupils = Vec::new();
    let share = 1.0 / archs.len() as f64;
    let taught_by_first = frozen.is_none() && goal.in_place();
    let mut tasks = Vec::new();
    for (i, (supernet, arch)) in copies.iter_mut().zip(archs).enumerate() {
        let taught = frozen.is_some() || (taught_by_first && i > 0);
        let teacher = taught.then(|| {
            let (pupil, teacher) = channel();
            pupils.push(pupil);
            teacher
        });
        let kind = Kind::Learn { supernet, arch, teacher, goal: *goal, share };
        tasks.push(Task { place: i, batch: batch.shallow_clone(), pupils: vec![], kind });
    }
    match frozen {
        Some(frozen) => {
            let kind = Kind::Teach(frozen);
            tasks.insert(0, Task { place: 0, batch: batch.shallow_clone(), pupils, kind });
        }
        None => tasks[0].pupils = pupils,
    }
    tasks
}

impl Task<'_> {
    fn run(self) -> Option<Learned> {
        let Self { batch, pupils, kind, .. } = self;
        // A pupil that no longer listens has failed, and its thread says so.
        let teach = |scores: &Tensor| pupils.iter().for_each(|pupil| drop(pupil.send(scores.shallow_clone())));
        match kind {
            Kind::Teach(frozen) => {
                teach(&frozen.scores(|side| batch.pixels(side)));
                None
            }
            Kind::Learn { supernet, arch, teacher, goal, share } => {
                let forward = supernet.forward_for_gradient(arch, &batch.pixels(arch.resolution));
                let scores = forward.scores.detach();
                teach(&scores);
                let teacher = teacher.map(|teacher| teacher.recv().expect("the teacher is ahead of its pupils"));
                let loss = goal.loss(&forward.scores, &batch.labels, teacher.as_ref());
                let gradient = forward.gradient(&(&loss * share), &supernet.parameters());
                Some(Learned { loss: loss.detach(), scores, gradient })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use tch::Device;

    use super::*;
    use crate::dataset::Normalisation;
    use crate::space::Space;

    #[test]
    fn shared_weights_are_seen_by_all() {
        let space = Space::load("fashion").unwrap();
        let normalisation = Normalisation { mean: vec![0.4], deviation: vec![0.2] };
        let supernet = Supernet::new(&space, normalisation, Device::Cpu, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let shared = supernet.share().unwrap();
        let pixels = Tensor::ones([2, 1, 28, 28], tch::kind::FLOAT_CPU);
        let scores = |of: &Supernet| of.forward(&space.smallest(), &pixels.slice(2, 0, 24, 1).slice(3, 0, 24, 1));
        let before = scores(&shared);
        for parameter in supernet.parameters() {
            let _ = tch::no_grad(|| parameter.tensor.shallow_clone().g_add_scalar_(0.1));
        }
        assert_ne!(scores(&shared), before);
        assert_eq!(scores(&shared), scores(&supernet));
    }
}
