//! What a person sees of the training: on stderr, and only on a terminal.

use anyhow::{Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tch::{Kind, Tensor};

/// Steps over which the shown loss and accuracy are averaged, nearly.
const MEMORY: f64 = 50.0;

/// A phase's progress with loss, accuracy, images per second and time left.
pub(super) struct TrainingBar {
    bar: ProgressBar,
    steps: u64,
    images: f64,
    loss: Option<f64>,
    accuracy: f64,
}

impl TrainingBar {
    /// A bar of `steps` steps.
    pub fn new(phase: &str, steps: usize) -> Self {
        let bar = ProgressBar::new(steps as u64).with_prefix(phase.to_string());
        let style = ProgressStyle::with_template("  {prefix:10} {bar:24} {pos}/{len} {msg}, {eta} left");
        bar.set_style(style.expect("the template is valid"));
        Self { bar, steps: 0, images: 0.0, loss: None, accuracy: 0.0 }
    }

    /// Takes in the scores of one net on one batch.
    ///
    /// # Errors
    /// If the loss is not a finite number: training has diverged.
    pub fn add(&mut self, loss: &Tensor, scores: &Tensor, labels: &Tensor) -> Result<()> {
        let loss = loss.double_value(&[]);
        ensure!(loss.is_finite(), "the loss is {loss} in step {}: lower the learning rate", self.steps);
        let hits = scores.argmax(1, false).eq_tensor(labels).to_kind(Kind::Float).mean(Kind::Float);
        let accuracy = hits.double_value(&[]);
        let share = if self.loss.is_none() { 1.0 } else { 1.0 / MEMORY };
        self.loss = Some(self.loss.map_or(loss, |mean| mean + (loss - mean) * share));
        self.accuracy += (accuracy - self.accuracy) * share;
        self.images += labels.size()[0] as f64;
        Ok(())
    }

    /// One optimiser step is done.
    pub fn step(&mut self) {
        self.steps += 1;
        let rate = self.images / self.bar.elapsed().as_secs_f64().max(1e-9);
        let (loss, accuracy) = (self.loss.unwrap_or(f64::NAN), self.accuracy * 100.0);
        self.bar.set_message(format!("loss {loss:.3}, accuracy {accuracy:.1} %, {rate:.0} images/s"));
        self.bar.inc(1);
    }

    /// Ends the bar; the mean loss of the last steps.
    pub fn finish(self) -> f64 {
        self.bar.finish_and_clear();
        self.loss.unwrap_or(f64::NAN)
    }
}
