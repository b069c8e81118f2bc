//! Signals that end a training: it finishes its step and writes a checkpoint first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// A training was stopped by a signal.
#[derive(Debug, thiserror::Error)]
#[error("stopped after step {step} of {steps}; go on with --resume")]
pub struct Stopped {
    /// The signal's number.
    pub signal: i32,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole training.
    pub steps: u64,
}

/// Whether a signal has come.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(Arc<AtomicUsize>);

impl StopSignal {
    /// Catches SIGINT and SIGTERM from now on; a second one ends the process at once.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn catch() -> Result<Self> {
        let signal = Self::default();
        let second = Arc::new(AtomicBool::new(false));
        for number in [SIGINT, SIGTERM] {
            // In the order in which they act.
            flag::register_conditional_shutdown(number, 128 + number, second.clone())?;
            flag::register(number, second.clone())?;
            flag::register_usize(number, signal.0.clone(), number as usize)?;
        }
        Ok(signal)
    }

    /// The signal that has come.
    pub(super) fn number(&self) -> Option<i32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            number => Some(number as i32),
        }
    }
}
