// A board for the documentation's examples: its link is memory, and its timer counts how often it is asked.

use core::cell::Cell;
use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use latency_probe::{Facts, Timer, VERSION};

pub const FACTS: Facts<'_> = Facts {
    board: "example",
    core: "none",
    unit: "calls",
    clock_hz: 1,
    flash_bytes: 1 << 20,
    ram_bytes: 1 << 16,
    version: VERSION,
    firmware: "0",
};

/// What the host sends, then what comes back.
#[derive(Default)]
pub struct Link {
    pub sent: std::collections::VecDeque<u8>,
    pub back: Vec<u8>,
}

impl ErrorType for Link {
    type Error = Infallible;
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        Ok(buffer.iter_mut().zip(std::iter::from_fn(|| self.sent.pop_front())).map(|(to, byte)| *to = byte).count())
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.back.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

pub struct Calls(pub Cell<u32>);

impl Timer for Calls {
    fn now(&self) -> u32 {
        self.0.replace(self.0.get().wrapping_add(1))
    }

    fn since(&self, start: u32) -> u32 {
        self.now().wrapping_sub(start)
    }
}
