//! The STM32F746 at 216 MHz (reference manual RM0385).

use core::convert::Infallible;

use cortex_m::Peripherals;
use embedded_hal::digital::{self, OutputPin};
use rtt::Cycles;
use stm32_metapac::flash::vals::Latency;
use stm32_metapac::gpio::vals::Moder;
use stm32_metapac::rcc::vals::{Hpre, Pllm, Plln, Pllp, Pllsrc, Ppre, Sw};
use stm32_metapac::{FLASH, GPIOI, PWR, RCC};

/// PI1: D13 of the Arduino connector, and the green light.
const PIN: usize = 1;

/// Clocks, caches, the counter and the pin.
pub(crate) fn start() {
    let Some(mut core) = Peripherals::take() else { return };
    clocks();
    core.SCB.enable_icache();
    core.SCB.enable_dcache(&mut core.CPUID);
    Cycles::start(&mut core);
    RCC.ahb1enr().modify(|enable| enable.set_gpioien(true));
    // The clock needs two cycles to arrive.
    let _ = RCC.ahb1enr().read();
    GPIOI.moder().modify(|mode| mode.set_moder(PIN, Moder::OUTPUT));
}

/// The core, flash and memory at 216 MHz, which asks for the overdrive of the voltage and seven cycles for flash.
fn clocks() {
    RCC.apb1enr().modify(|enable| enable.set_pwren(true));
    let _ = RCC.apb1enr().read();
    // 16 MHz / 8 · 216 / 2.
    RCC.pllcfgr().modify(|pll| {
        pll.set_pllsrc(Pllsrc::HSI);
        pll.set_pllm(Pllm::DIV8);
        pll.set_plln(Plln::MUL216);
        pll.set_pllp(Pllp::DIV2);
    });
    RCC.cr().modify(|clocks| clocks.set_pllon(true));
    PWR.cr1().modify(|power| power.set_oden(true));
    while !PWR.csr1().read().odrdy() {}
    PWR.cr1().modify(|power| power.set_odswen(true));
    while !PWR.csr1().read().odswrdy() {}
    FLASH.acr().modify(|access| {
        access.set_latency(Latency::WS7);
        access.set_prften(true);
        access.set_arten(true);
    });
    while !RCC.cr().read().pllrdy() {}
    RCC.cfgr().modify(|clocks| {
        clocks.set_hpre(Hpre::DIV1);
        clocks.set_ppre1(Ppre::DIV4);
        clocks.set_ppre2(Ppre::DIV2);
    });
    RCC.cfgr().modify(|clocks| clocks.set_sw(Sw::PLL1_P));
    while RCC.cfgr().read().sws() != Sw::PLL1_P {}
}

/// PI1: D13 of the Arduino connector, and the green light.
#[derive(Debug)]
pub struct Pin;

impl digital::ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        GPIOI.bsrr().write(|pins| pins.set_br(PIN, true));
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        GPIOI.bsrr().write(|pins| pins.set_bs(PIN, true));
        Ok(())
    }
}
