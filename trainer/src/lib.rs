//! Once-for-all networks: one supernet, trained once; the best subnet of it for every device.
//!
//! ```text
//!  dataset ─▶ train ─▶ supernet ─┬─▶ predictor ─────┐
//!                                │                  ├─▶ search ─▶ arch
//!  board ◀─▶ measure ────────────┼─▶ latency table ─┘              │
//!                                └──▶ extract ◀────────────────────┘
//!                                        └─▶ subnet.onnx ─▶ compile ─▶ model ─▶ run (board)
//! ```
//!
//! Each step is a function from values to values and a file that the next step reads; the binary `ofa` has a
//! command for each. Without the feature `torch` the steps that need libtorch (train, evaluate,
//! predictor, study, extract, demo) are absent.

pub mod bench;
pub mod board;
mod child;
pub mod compile;
pub mod dataset;
#[cfg(feature = "torch")]
pub mod demo;
pub mod device;
pub mod estimate;
#[cfg(feature = "torch")]
pub mod evaluate;
pub mod files;
pub mod firmware;
#[cfg(feature = "torch")]
mod fit;
mod float;
mod journal;
pub mod lab;
pub mod link;
pub mod loader;
pub mod measure;
mod metrics;
pub mod model;
mod onnx;
pub mod original;
mod panel;
pub mod predictor;
pub mod progress;
pub mod quantise;
pub mod recipe;
pub mod report;
pub mod run;
pub mod search;
#[cfg(feature = "torch")]
pub mod searching;
#[cfg(feature = "torch")]
pub mod shrinking;
pub mod space;
pub mod subnet;
pub mod suggest;
#[cfg(feature = "torch")]
pub mod supernet;
#[cfg(feature = "torch")]
pub mod survey;
pub mod table;
#[cfg(feature = "torch")]
mod tensorboard;
#[cfg(feature = "torch")]
pub mod train;
