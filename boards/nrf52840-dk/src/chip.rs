//! The nRF52840 (product specification, 1.7).

use core::convert::Infallible;

use cortex_m::Peripherals;
use embedded_hal::digital::{self, OutputPin};
use nrf_pac::gpio::vals::Dir;
use nrf_pac::{NVMC, P0};
use rtt::Cycles;

/// P0.03: A0 of the Arduino connector.
const PIN: usize = 3;

/// The cache of flash, the counter and the pin.
pub(crate) fn start() {
    let Some(mut core) = Peripherals::take() else { return };
    NVMC.icachecnf().modify(|cache| cache.set_cacheen(true));
    Cycles::start(&mut core);
    P0.pin_cnf(PIN).modify(|pin| pin.set_dir(Dir::Output));
}

/// P0.03: A0 of the Arduino connector.
#[derive(Debug)]
pub struct Pin;

impl digital::ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        P0.outclr().write(|pins| pins.0 = 1 << PIN);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        P0.outset().write(|pins| pins.0 = 1 << PIN);
        Ok(())
    }
}
