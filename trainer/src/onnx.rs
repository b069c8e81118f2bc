//! Float nets as ONNX files: subnets, and the predictor's small network.
//!
//! ```text
//!  Subnet ──▶ write ──▶ build ──▶ bytes ──▶ wire ──▶ parse ──▶ read ──▶ Subnet
//!                                        (no groups) (protobuf) (layers)
//! ```
//!
//! Bytes from outside are never handed to another library than protobuf's parser: what runs a net writes it anew.

mod build;
mod parse;
mod read;
mod wire;
mod write;

#[cfg(test)]
mod tests;

pub use read::read;
pub use write::write;

pub(crate) use build::{Attribute, Graph};
pub(crate) use parse::{Nodes, Parsed};
pub(crate) use write::{map_names, output_names};
