//! The STM32H743 at 400 MHz (reference manual RM0433).

use core::convert::Infallible;

use cortex_m::Peripherals;
use embedded_hal::digital::{self, OutputPin};
use rtt::Cycles;
use stm32_metapac::gpio::vals::Moder;
use stm32_metapac::pwr::vals::Vos;
use stm32_metapac::rcc::vals::{Hpre, Plldiv, Pllm, Plln, Pllrge, Pllsrc, Pllvcosel, Ppre, Sw};
use stm32_metapac::{FLASH, GPIOB, PWR, RCC};

/// PB0: D33 of the Zio connector, and the green light.
const PIN: usize = 0;

/// Clocks, caches, the counter and the pin.
pub(crate) fn start() {
    let Some(mut core) = Peripherals::take() else { return };
    clocks();
    core.SCB.enable_icache();
    core.SCB.enable_dcache(&mut core.CPUID);
    Cycles::start(&mut core);
    RCC.ahb4enr().modify(|enable| enable.set_gpioben(true));
    // The clock needs two cycles to arrive.
    let _ = RCC.ahb4enr().read();
    GPIOB.moder().modify(|mode| mode.set_moder(PIN, Moder::OUTPUT));
}

/// The core at 400 MHz, the bus of flash and memory at 200, the others at 100. Flash waits two cycles of its bus, as
/// table 17 asks for at the highest voltage.
fn clocks() {
    PWR.cr3().modify(|supply| {
        supply.set_scuen(true);
        supply.set_ldoen(true);
        supply.set_bypass(false);
    });
    while !PWR.csr1().read().actvosrdy() {}
    PWR.d3cr().modify(|voltage| voltage.set_vos(Vos::SCALE1));
    while !PWR.d3cr().read().vosrdy() {}
    FLASH.acr().modify(|access| {
        access.set_latency(2);
        access.set_wrhighfreq(2);
    });
    // 64 MHz / 4 · 50 / 2.
    RCC.pllckselr().modify(|source| {
        source.set_pllsrc(Pllsrc::HSI);
        source.set_divm(0, Pllm::DIV4);
    });
    RCC.pllcfgr().modify(|pll| {
        pll.set_pllvcosel(0, Pllvcosel::WIDE_VCO);
        pll.set_pllrge(0, Pllrge::RANGE8);
        pll.set_pllfracen(0, false);
        pll.set_divpen(0, true);
    });
    RCC.plldivr(0).modify(|divisors| {
        divisors.set_plln(Plln::MUL50);
        divisors.set_pllp(Plldiv::DIV2);
    });
    RCC.cr().modify(|clocks| clocks.set_pllon(0, true));
    while !RCC.cr().read().pllrdy(0) {}
    RCC.d1cfgr().modify(|domain| {
        domain.set_d1cpre(Hpre::DIV1);
        domain.set_hpre(Hpre::DIV2);
        domain.set_d1ppre(Ppre::DIV2);
    });
    RCC.d2cfgr().modify(|domain| {
        domain.set_d2ppre1(Ppre::DIV2);
        domain.set_d2ppre2(Ppre::DIV2);
    });
    RCC.d3cfgr().modify(|domain| domain.set_d3ppre(Ppre::DIV2));
    RCC.cfgr().modify(|clocks| clocks.set_sw(Sw::PLL1_P));
    while RCC.cfgr().read().sws() != Sw::PLL1_P {}
}

/// PB0: D33 of the Zio connector, and the green light.
#[derive(Debug)]
pub struct Pin;

impl digital::ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        GPIOB.bsrr().write(|pins| pins.set_br(PIN, true));
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        GPIOB.bsrr().write(|pins| pins.set_bs(PIN, true));
        Ok(())
    }
}
