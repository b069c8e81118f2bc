//! Empty: the tests are in `whole.rs`.
