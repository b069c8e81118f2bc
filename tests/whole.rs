//! What crosses crates: the whole path on a tiny space, and what bad input gets.
//!
//! `./ofa test` builds the binary and names it in `OFA_BIN`. Tests that need QEMU or Fashion-MNIST say so when they
//! are skipped.

mod bad_input;
mod book;
mod evaluate;
mod fixture;
mod path;
mod predictor;
mod report;
mod resume;
#[path = "../trainer/tests/schema/mod.rs"]
mod schema;
mod study;
