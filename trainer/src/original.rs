//! What users of the original once-for-all code have: its latency tables and its accuracy predictor, as files of ours.
//!
//! ```text
//!  160_lookup_table.yaml … ─▶ read_table ─▶ latency table ─┐
//!                                                          ├─▶ search
//!  acc_predictor.pth ─▶ read_predictor ─▶ predictor.onnx ──┘
//! ```
//!
//! Both are for MobileNetV3's space of width 1.2 (Cai et al. 2020, section 4.1, and the tutorial of the paper's
//! published code).
//!
//! ```no_run
//! use trainer::original::{read_predictor, resolutions};
//! use trainer::predictor::Predictor;
//! use trainer::space::Space;
//!
//! let space = Space::load("mobilenetv3@1.2")?;
//! let layers = read_predictor(&std::fs::read("acc_predictor.pth")?, &space)?;
//! let predictor = Predictor::new(&layers, &space)?.knowing(&resolutions(&space))?;
//! println!("{:?}", predictor.predict(&[space.smallest(), space.largest()])?);
//! # Ok::<(), anyhow::Error>(())
//! ```

mod archive;
mod features;
mod pickle;
mod predictor;
mod saved;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod yaml;

pub use features::resolutions;
pub(crate) use features::{FEATURES, layers_for};
pub use predictor::read_predictor;
pub use table::{Imported, read_table};
