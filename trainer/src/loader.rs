//! Batches for training, made ahead by threads of their own.
//!
//! A batch is a function of the seed and the number of its step alone: the order of every epoch and every draw of the
//! augmentation come from a generator of their own. So any number of threads makes the same batches, and who resumes
//! a training needs to know nothing but the step.

mod augment;
pub(crate) mod random;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use rand::seq::SliceRandom;

pub use augment::Augment;

use crate::dataset::{Images, Split};
use random::{Purpose, generator};

/// Batches that wait at most, for each thread.
const AHEAD: usize = 2;

/// How batches are made.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LoaderSettings {
    /// Images in each. What is left of an epoch that makes no whole batch is left out of it.
    pub batch: usize,
    /// How the images are varied.
    pub augment: Augment,
    /// Of order and augmentation.
    pub seed: u64,
    /// Threads that make them; [`LoaderSettings::threads`] is a good number.
    pub workers: usize,
}

impl LoaderSettings {
    /// One for each core, but not more than eight.
    pub fn threads() -> usize {
        std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8))
    }
}

/// Batches, one after the other, without end.
///
/// ```
/// # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
/// use trainer::dataset::Split;
/// use trainer::loader::{Augment, Loader, LoaderSettings};
///
/// let augment = Augment { shift: 2, flip: true, ..Augment::default() };
/// let settings = LoaderSettings { batch: 8, augment, seed: 5, workers: LoaderSettings::threads() };
/// let images = Split::from(made_up::images(64));
/// let mut loader = Loader::new(&images, settings, |step| if step % 2 == 0 { 24 } else { 28 }, 0)?;
/// let [first, second] = [loader.next()?, loader.next()?];
/// assert_eq!((first.len(), first.side, second.side), (8, 24, 28));
/// assert!((0.0..=1.0).contains(&loader.waited()));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Loader {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    since: Instant,
    waited: Duration,
}

/// What the threads know.
struct Shared {
    split: Split,
    settings: LoaderSettings,
    resolution_of_step: Box<dyn Fn(usize) -> u16 + Send + Sync>,
    queue: Mutex<Queue>,
    /// Something in the queue has changed.
    changed: Condvar,
}

struct Queue {
    /// The step whose batch is to be made next.
    make: usize,
    /// The step whose batch is to be taken next.
    take: usize,
    ready: BTreeMap<usize, Result<Images>>,
    ended: bool,
}

impl Loader {
    /// Begins to make the batches from `first_step` on, each with images of the resolution of its step.
    ///
    /// # Errors
    /// If there are fewer images than a batch takes, or the system has no thread left.
    pub fn new(
        split: &Split,
        settings: LoaderSettings,
        resolution_of_step: impl Fn(usize) -> u16 + Send + Sync + 'static,
        first_step: usize,
    ) -> Result<Self> {
        let LoaderSettings { batch, workers, .. } = settings;
        ensure!(batch > 0 && split.len() >= batch, "a batch of {batch} from {} training images", split.len());
        ensure!(workers > 0, "batches need a thread to make them");
        let queue = Queue { make: first_step, take: first_step, ready: BTreeMap::new(), ended: false };
        let shared = Arc::new(Shared {
            split: split.clone(),
            settings,
            resolution_of_step: Box::new(resolution_of_step),
            queue: Mutex::new(queue),
            changed: Condvar::new(),
        });
        let mut loader =
            Self { shared: shared.clone(), workers: vec![], since: Instant::now(), waited: Duration::ZERO };
        for i in 0..workers {
            let shared = shared.clone();
            let worker = std::thread::Builder::new().name(format!("loader {i}"));
            loader.workers.push(worker.spawn(move || shared.work())?);
        }
        Ok(loader)
    }

    /// The batch of the next step.
    ///
    /// # Errors
    /// If too many of the pictures cannot be decoded.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Images> {
        let start = Instant::now();
        let mut queue = self.shared.lock();
        let batch = loop {
            let step = queue.take;
            match queue.ready.remove(&step) {
                Some(batch) => break batch,
                None => queue = self.shared.wait(queue),
            }
        };
        queue.take += 1;
        drop(queue);
        self.shared.changed.notify_all();
        self.waited += start.elapsed();
        batch
    }

    /// Share of the time since the beginning in which [`Loader::next`] had nothing to give.
    pub fn waited(&self) -> f64 {
        self.waited.as_secs_f64() / self.since.elapsed().as_secs_f64().max(1e-9)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        for worker in self.workers.drain(..) {
            // What a thread dies of is in its batch.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes batch after batch, as long as not too many wait.
    fn work(&self) {
        let mut epoch = (usize::MAX, vec![]);
        loop {
            let step = {
                let mut queue = self.lock();
                while !queue.ended && queue.make >= queue.take + AHEAD * self.settings.workers {
                    queue = self.wait(queue);
                }
                if queue.ended {
                    return;
                }
                queue.make += 1;
                queue.make - 1
            };
            // The trainer waits for this very batch: it must get one, or the reason why not.
            let made = catch_unwind(AssertUnwindSafe(|| self.make(step, &mut epoch)));
            let batch =
                made.unwrap_or_else(|_| Err(anyhow!("the thread that made the batch of step {step} broke down")));
            self.lock().ready.insert(step, batch);
            self.changed.notify_all();
        }
    }

    /// The batch of a step. `epoch` is the last order that was drawn, with its number.
    fn make(&self, step: usize, epoch: &mut (usize, Vec<usize>)) -> Result<Images> {
        let LoaderSettings { batch, augment, seed, .. } = self.settings;
        let steps = self.split.len() / batch;
        let number = step / steps;
        if epoch.0 != number {
            let mut order: Vec<usize> = (0..self.split.len()).collect();
            order.shuffle(&mut generator(seed, Purpose::Order, number as u64));
            *epoch = (number, order);
        }
        let side = (self.resolution_of_step)(step);
        let channels = self.split.channels();
        let mut images = Images { side, channels, pixels: vec![], labels: vec![] };
        images.pixels.reserve_exact(batch * images.image_len());
        for (slot, &position) in epoch.1[step % steps * batch..][..batch].iter().enumerate() {
            let (picture, label) = self.split.picture(position)?;
            let mut rng = generator(seed, Purpose::Augment, (step * batch + slot) as u64);
            images.pixels.extend(augment.apply(&picture, side, &mut rng));
            images.labels.push(label);
        }
        Ok(images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pictures that are each a ramp from their own number, which is their class too.
    fn split(count: u16) -> Split {
        let pixels = (0..count).flat_map(|i| (0..16 * 16).map(move |pixel| (i + pixel) as u8)).collect();
        Images { side: 16, channels: 1, pixels, labels: (0..count).collect() }.into()
    }

    const AUGMENT: Augment =
        Augment { crop: 0.5, shift: 1, flip: true, brightness: 0.2, contrast: 0.2, saturation: 0.2, erase: 0.5 };

    fn batches(count: usize, workers: usize, seed: u64, augment: Augment, first: usize) -> Vec<Images> {
        let settings = LoaderSettings { batch: 6, augment, seed, workers };
        let resolution = |step: usize| 10 + (step % 3) as u16;
        let mut loader = Loader::new(&split(20), settings, resolution, first).unwrap();
        (0..count).map(|_| loader.next().unwrap()).collect()
    }

    #[test]
    fn batches_depend_on_seed_and_step_alone() {
        let alone = batches(12, 1, 3, AUGMENT, 0);
        for workers in [2, 3, 7] {
            assert!(batches(12, workers, 3, AUGMENT, 0) == alone, "{workers} threads");
        }
        assert!(batches(5, 2, 3, AUGMENT, 7) == alone[7..], "resumed at step 7, in the middle of an epoch");
        assert!(batches(12, 1, 4, AUGMENT, 0) != alone, "another seed");
        assert!(alone.iter().map(|images| images.side).eq([10, 11, 12].repeat(4)));
    }

    #[test]
    fn an_epoch_shows_no_image_twice_and_the_next_another_order() {
        let labels: Vec<Vec<u16>> = batches(6, 2, 1, Augment::default(), 0)
            .chunks(3)
            .map(|epoch| epoch.iter().flat_map(|images| images.labels.clone()).collect())
            .collect();
        for epoch in &labels {
            let distinct: std::collections::BTreeSet<_> = epoch.iter().collect();
            assert_eq!(distinct.len(), 18);
        }
        assert_ne!(labels[0], labels[1]);
    }

    #[test]
    fn without_augmentation_training_sees_what_judges_see() {
        let split = split(20);
        for images in batches(4, 2, 1, Augment::default(), 0) {
            let positions: Vec<_> = images.labels.iter().map(|&label| label.into()).collect();
            assert_eq!(split.select(&positions).resized(images.side).unwrap(), images);
        }
    }

    #[test]
    fn the_queue_is_bounded_and_ends_with_the_loader() {
        let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = made.clone();
        let resolution = move |_| {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            10
        };
        let settings = LoaderSettings { batch: 6, augment: AUGMENT, seed: 1, workers: 2 };
        let mut loader = Loader::new(&split(20), settings, resolution, 0).unwrap();
        for _ in 0..3 {
            loader.next().unwrap();
        }
        assert!((0.0..=1.0).contains(&loader.waited()));
        drop(loader);
        let made = made.load(std::sync::atomic::Ordering::SeqCst);
        assert!((3..=3 + 2 * AHEAD).contains(&made), "{made}");
    }

    #[test]
    fn a_batch_that_cannot_be_made_is_an_error() {
        let settings = LoaderSettings { batch: 6, augment: AUGMENT, seed: 1, workers: 2 };
        assert!(Loader::new(&split(5), settings, |_| 10, 0).is_err());
        let mut loader =
            Loader::new(&split(20), settings, |step| if step == 1 { panic!("a test") } else { 10 }, 0).unwrap();
        loader.next().unwrap();
        assert!(loader.next().unwrap_err().to_string().contains("step 1"));
        loader.next().unwrap();
    }
}
