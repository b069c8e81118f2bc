//! What the commands that use libtorch share.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use tch::{Cuda, Device};
use trainer::dataset::Dataset;
use trainer::search::Choice;
use trainer::space::{Arch, Space};
use trainer::supernet::Supernet;

/// The images in the folder `data`, or the usual ones, as the nets of this supernet read them.
///
/// # Errors
/// One line, if they cannot be read or are of another kind than those it was trained on.
pub fn dataset_for(supernet: &Supernet, data: Option<PathBuf>) -> Result<Dataset> {
    let dataset = Dataset::named(data, supernet.space().input.channels.0)?;
    supernet.check(&dataset)?;
    Ok(dataset)
}

/// The net of the space that is called so: largest, middle or smallest; or that of a file from `ofa search`.
///
/// # Errors
/// One line, if it is neither.
pub fn named_arch(name: &str, space: &Space) -> Result<Arch> {
    Ok(match name {
        "largest" => space.largest(),
        "middle" => space.middle(),
        "smallest" => space.smallest(),
        path => Choice::load(Path::new(path), space)?.arch,
    })
}

/// `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// If the name is another, or there is no such device.
pub fn parse_device(name: &str) -> Result<Device> {
    let number = match name {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => Some(0),
        _ => name.strip_prefix("cuda:").and_then(|number| number.parse::<usize>().ok()),
    };
    match number {
        Some(number) if (number as i64) < Cuda::device_count() => Ok(Device::Cuda(number)),
        Some(_) => bail!("there is no device {name}: libtorch sees {} CUDA devices", Cuda::device_count()),
        None => bail!("no device is called {name}: use cpu, or cuda:0"),
    }
}
