//! What a person sees of the training, on stderr: a bar on a terminal, elsewhere a line a minute.

use std::time::Instant;

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tch::{Kind, Tensor};

use crate::progress::Lines;

/// Steps over which the shown loss and accuracy are averaged, nearly.
const MEMORY: f64 = 50.0;

/// A phase's progress with loss, accuracy, images per second and time left.
pub(super) struct TrainingBar {
    bar: ProgressBar,
    lines: Lines,
    loss: Option<f64>,
    accuracy: f64,
    images: f64,
    since: Instant,
}

impl TrainingBar {
    /// A bar of `steps` steps, of which `done` are done, with the means that they came to.
    pub fn new(phase: &str, steps: usize, done: usize, loss: Option<f64>, accuracy: f64) -> Self {
        let bar = ProgressBar::new(steps as u64).with_prefix(phase.to_string()).with_position(done as u64);
        let style = ProgressStyle::with_template("  {prefix:10} {bar:24} {pos}/{len} {msg}, {eta} left");
        bar.set_style(style.expect("the template is valid"));
        bar.reset_eta();
        Self { lines: Lines::new(&bar), bar, loss, accuracy, images: 0.0, since: Instant::now() }
    }

    /// Takes in the scores of one net on one batch.
    ///
    /// # Errors
    /// If the loss is not a finite number: training has diverged.
    pub fn add(&mut self, loss: &Tensor, scores: &Tensor, labels: &Tensor) -> Result<()> {
        let loss = loss.double_value(&[]);
        let step = self.bar.position();
        ensure!(loss.is_finite(), "the loss is {loss} in step {step}: lower the learning rate");
        let hits = scores.argmax(1, false).eq_tensor(labels).to_kind(Kind::Float).mean(Kind::Float);
        let accuracy = hits.double_value(&[]);
        let share = if self.loss.is_none() { 1.0 } else { 1.0 / MEMORY };
        self.loss = Some(self.loss.map_or(loss, |mean| mean + (loss - mean) * share));
        self.accuracy += (accuracy - self.accuracy) * share;
        Ok(())
    }

    /// One optimiser step on so many images is done.
    pub fn step(&mut self, images: usize) {
        self.images += images as f64;
        let (loss, accuracy) = (self.loss(), self.accuracy * 100.0);
        self.bar.set_message(format!("loss {loss:.3}, accuracy {accuracy:.1} %, {:.0} images/s", self.rate()));
        self.bar.inc(1);
        self.lines.say(&self.bar);
    }

    /// Mean loss of the last steps.
    pub fn loss(&self) -> f64 {
        self.loss.unwrap_or(f64::NAN)
    }

    /// Mean share of training images whose class was named in the last steps.
    pub fn accuracy(&self) -> f64 {
        self.accuracy
    }

    /// Images per second since this bar began.
    pub fn rate(&self) -> f64 {
        self.images / self.since.elapsed().as_secs_f64().max(1e-9)
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
