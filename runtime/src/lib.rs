//! Runs a once-for-all subnet on a microcontroller: integers only, no heap, no dependencies.
//!
//! ```text
//!  image (pixel − 128)                                    scores
//!      │                                                     ▲
//!      ▼                                                     │
//!    Conv ──▶ Block ──▶ … ──▶ Block ──▶ Conv ──▶ Pool ──▶ Linear      a net: a slice of `Step`s
//!      └───────────────── one `Arena`, planned ──────────────┘       (a `Layer`, its zero points)
//! ```
//!
//! [`Layer`] is the unit that everything speaks of: the search space lists layers, the latency probe
//! measures them, the planner ([`arena_bytes`]) places their activations and [`Net`] executes them.
//! [`Model`] is a net with its shapes in its type, the form that `ofa compile` writes for firmware; [`RowModel`] the
//! same for images that come row by row.
//!
//! Every backend gives the same bits; `NUMERICS.md` beside this crate is their definition.
//!
//! Deliberately absent: floating point (but for [`ScoreScale::real`]), allocation, and the float path of the network (that is the
//! trainer's). Nothing here knows a chip.

#![no_std]

#[cfg(any(feature = "std", test))]
extern crate std;

#[cfg(any(ofa_dsp, test))]
mod dsp;
mod fits;
mod general;
mod grouped;
mod held;
mod join;
mod layer;
mod memory;
mod model;
mod order;
mod parts;
mod plan;
mod prediction;
mod quant;
mod reference;
mod rows;
mod scalar;
#[cfg(all(ofa_vectors, any(feature = "std", test)))]
mod simd;
mod stream;
#[cfg(test)]
mod tests;
mod trail;
mod weights;
mod whole;
mod work;

pub use fits::assert_fits;
pub use layer::{Activation, Block, Conv, Depthwise, Invalid, Layer, Linear, Pool, Shape, TABLE_TAPS};
pub use memory::{Arena, bytes};
pub use model::{Model, Moment, Net};
pub use order::pack;
pub use plan::{Needs, Regions, Step, arena_bytes, arena_of, joined_bytes, regions};
pub use prediction::{Prediction, ScoreScale, argmax};
pub use quant::{Channel, HIDDEN_ZERO, Quant, narrow};
pub use reference::execute;
pub use rows::{RowCount, RowModel, Rows, rows_arena_bytes};
pub use weights::Weights;
