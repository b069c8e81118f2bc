//! What real Cortex-M boards share: a link by SEGGER's real-time transfer, which any debug probe reads and writes
//! while the core runs, and the counter of cycles of the debug unit. A panic halts the core, and the host then says
//! that no answer comes.

#![no_std]

#[cfg(feature = "dwt")]
mod dwt;

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use panic_halt as _;
use rtt_target::{ChannelMode, DownChannel, UpChannel, rtt_init};

pub use cortex_m_rt::entry;
#[cfg(feature = "dwt")]
pub use dwt::Cycles;

/// Taps in the probe's pool of weights, which all these boards have the flash for.
pub const TAPS: usize = 512 << 10;
/// Channels in the probe's pool of weights.
pub const CHANNELS: usize = 4096;

/// Channel 0 in both directions. Its memory is `.uninit.rtt.*`, which a chip with a data cache places where the
/// probe sees what the core has written.
pub struct Rtt {
    up: UpChannel,
    down: DownChannel,
}

impl Rtt {
    /// Makes the control block, which the probe finds by its symbol. To be called once.
    #[allow(unsafe_code)] // in what `rtt_init` makes of it
    pub fn start() -> Self {
        let channels = rtt_init! {
            up: {
                0: {
                    size: 2048,
                    mode: ChannelMode::BlockIfFull,
                    name: "ofa",
                    section: ".uninit.rtt.up"
                }
            }
            down: {
                0: {
                    size: 2048,
                    name: "ofa",
                    section: ".uninit.rtt.down"
                }
            }
            section_cb: ".uninit.rtt.control"
        };
        Self { up: channels.up.0, down: channels.down.0 }
    }
}

impl ErrorType for Rtt {
    type Error = Infallible;
}

impl Read for Rtt {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.down.read(buffer) {
                0 => {}
                count => return Ok(count),
            }
        }
    }
}

impl Write for Rtt {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        Ok(self.up.write(bytes))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
