//! A board kept at work: what goes away is connected again, after pauses that grow.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::collect::Collection;
use crate::device::Device;
use crate::link::Port;

/// How often a board may fail in a row without having brought a layer.
const FAILURES: usize = 3;
/// The first pause; each one after it is twice as long.
const PAUSE: Duration = Duration::from_millis(200);

/// Works on that board until all layers are known.
///
/// # Errors
/// The board's, when it has failed again and again.
pub fn drive(collection: &Collection<'_>, port: &dyn Port, board: &str) -> Result<()> {
    let mut failures = 0;
    loop {
        let before = collection.known();
        let worked = Device::connect(port, board).and_then(|mut device| {
            let worked = collection.work(&mut device.link, |_| ());
            worked.map_err(|error| device.bury(error))
        });
        let Err(error) = worked else { return Ok(()) };
        failures = if collection.known() > before { 1 } else { failures + 1 };
        if failures == FAILURES {
            return Err(error);
        }
        thread::sleep(PAUSE * (1 << failures));
    }
}
