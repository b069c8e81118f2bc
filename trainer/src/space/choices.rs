//! The numbers of a space, each checked where it is read, so that an error has a line and a field.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::Stage;

/// A number from 1 to 4096.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct Positive(pub u16);

/// Side of a window: odd, from 1 to 15.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct Kernel(pub u8);

/// 1 or 2.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct Stride(pub u8);

/// Numbers from 1 to 15, ascending, at least one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>")]
pub struct Choices(pub Vec<u8>);

/// Sides of windows, ascending, at least one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>")]
pub struct Kernels(pub Vec<u8>);

/// Sides of images in pixels, from 8 to 1024, ascending, at least one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<u16>")]
pub struct Resolutions(pub Vec<u16>);

/// At least one stage.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<Stage>")]
pub struct Stages(pub Vec<Stage>);

impl TryFrom<u16> for Positive {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        if (1..=4096).contains(&number) { Ok(Self(number)) } else { Err(format!("{number} is not from 1 to 4096")) }
    }
}

impl TryFrom<u8> for Kernel {
    type Error = String;

    fn try_from(side: u8) -> Result<Self, String> {
        check_kernel(side).map(Self)
    }
}

impl TryFrom<u8> for Stride {
    type Error = String;

    fn try_from(stride: u8) -> Result<Self, String> {
        if stride == 1 || stride == 2 { Ok(Self(stride)) } else { Err(format!("stride {stride} is neither 1 nor 2")) }
    }
}

impl TryFrom<Vec<u8>> for Choices {
    type Error = String;

    fn try_from(choices: Vec<u8>) -> Result<Self, String> {
        check_ascending(&choices)?;
        match choices.iter().find(|choice| !(1..=15).contains(*choice)) {
            Some(choice) => Err(format!("{choice} is not from 1 to 15")),
            None => Ok(Self(choices)),
        }
    }
}

impl TryFrom<Vec<u8>> for Kernels {
    type Error = String;

    fn try_from(kernels: Vec<u8>) -> Result<Self, String> {
        check_ascending(&kernels)?;
        kernels.iter().try_for_each(|&side| check_kernel(side).map(drop))?;
        Ok(Self(kernels))
    }
}

impl TryFrom<Vec<u16>> for Resolutions {
    type Error = String;

    fn try_from(sides: Vec<u16>) -> Result<Self, String> {
        check_ascending(&sides)?;
        match sides.iter().find(|side| !(8..=1024).contains(*side)) {
            Some(side) => Err(format!("resolution {side} is not from 8 to 1024")),
            None => Ok(Self(sides)),
        }
    }
}

impl TryFrom<Vec<Stage>> for Stages {
    type Error = String;

    fn try_from(stages: Vec<Stage>) -> Result<Self, String> {
        if stages.is_empty() { Err("a space needs at least one stage".into()) } else { Ok(Self(stages)) }
    }
}

fn check_kernel(side: u8) -> Result<u8, String> {
    if side % 2 == 1 && side <= 15 { Ok(side) } else { Err(format!("kernel {side} is not an odd number from 1 to 15")) }
}

fn check_ascending<T: PartialOrd + Display>(choices: &[T]) -> Result<(), String> {
    if choices.is_empty() {
        return Err("there must be at least one choice".into());
    }
    match choices.windows(2).find(|pair| pair[0] >= pair[1]) {
        Some(pair) => Err(format!("choices must ascend, but {} is followed by {}", pair[0], pair[1])),
        None => Ok(()),
    }
}
