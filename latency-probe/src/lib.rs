//! Measures layers on a device.
#![no_std]
