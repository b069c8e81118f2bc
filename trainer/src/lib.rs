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
//!
//! ```
//! # mod made_up { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/made_up.rs")); }
//! # #[cfg(feature = "torch")]
//! # fn main() -> anyhow::Result<()> {
//! use trainer::compile::{Settings, compile};
//! use trainer::evaluate::extract;
//! use trainer::quantise::Method;
//! use trainer::recipe::Recipe;
//! use trainer::train::{Training, train};
//!
//! let (space, dataset) = (made_up::space(), made_up::dataset());
//! let recipe = Recipe { batch: 16, ..Recipe::load("random")?.scaled(4, dataset.train.len()) };
//! let device = tch::Device::Cpu;
//! let training = Training { space: &space, recipe: &recipe, dataset: &dataset, device, seed: 1, given: None };
//! let supernet = train(&training, None, |phase| println!("{}: loss {:.3}", phase.name, phase.loss))?;
//! let subnet = extract(&supernet, &space.middle(), &dataset.train, training.seed)?;
//! let settings = Settings { calibration_images: 16, seed: 1, method: Method::default(), table: None };
//! let compilation = compile(&subnet, &dataset, &settings)?;
//! assert_eq!(training.steps(), 4);
//! assert_eq!(compilation.report.macs, space.layers(&space.middle()).iter().map(runtime::Layer::macs).sum::<u64>());
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "torch"))]
//! # fn main() {}
//! ```

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
pub mod metrics;
pub mod model;
mod names;
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
