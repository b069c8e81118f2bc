//! The RP2040 at 125 MHz (datasheet, 2.14 to 2.18).

use core::convert::Infallible;

use cortex_m::Peripherals;
use embedded_hal::digital::{self, OutputPin};
use rp_pac::clocks::vals::{ClkRefCtrlSrc, ClkSysCtrlAuxsrc, ClkSysCtrlSrc};
use rp_pac::xosc::vals::{CtrlFreqRange, Enable};
use rp_pac::{CLOCKS, IO_BANK0, PLL_SYS, RESETS, SIO, XOSC};

use crate::systick::Cycles;

/// GP15, in the corner of the board.
const PIN: usize = 15;
/// The function that gives a pin to the core.
const BY_THE_CORE: u8 = 5;
/// A millisecond of the crystal, in 256 cycles.
const START_UP: u16 = 47;
/// In the registers that say which source a clock has, source `i` is bit `i`.
const SYSTEM_FROM_REFERENCE: u32 = 1 << 0;
const SYSTEM_FROM_PLL: u32 = 1 << 1;
const REFERENCE_FROM_CRYSTAL: u32 = 1 << 2;

/// What makes flash readable as memory, for the kind of flash that the board has.
// SAFETY: `memory.x` gives that section a place of its own, as long as this.
#[allow(unsafe_code)]
#[unsafe(link_section = ".boot2")]
#[unsafe(no_mangle)]
#[used]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

/// Clocks, the counter and the pin.
pub(crate) fn start() {
    let Some(mut core) = Peripherals::take() else { return };
    RESETS.reset().modify(|reset| {
        reset.set_pll_sys(false);
        reset.set_io_bank0(false);
        reset.set_pads_bank0(false);
    });
    let done = || RESETS.reset_done().read();
    while !(done().pll_sys() && done().io_bank0() && done().pads_bank0()) {}
    clocks();
    Cycles::start(&mut core);
    IO_BANK0.gpio(PIN).ctrl().write(|pin| pin.set_funcsel(BY_THE_CORE));
    SIO.gpio_oe(0).value_set().write_value(1 << PIN);
}

/// Crystal and system clock: 12 MHz · 125 / 6 / 2.
fn clocks() {
    CLOCKS.clk_sys_ctrl().modify(|clock| clock.set_src(ClkSysCtrlSrc::CLK_REF));
    while CLOCKS.clk_sys_selected().read() != SYSTEM_FROM_REFERENCE {}
    XOSC.startup().write(|crystal| crystal.set_delay(START_UP));
    XOSC.ctrl().write(|crystal| {
        crystal.set_freq_range(CtrlFreqRange::_1_15MHZ);
        crystal.set_enable(Enable::ENABLE);
    });
    while !XOSC.status().read().stable() {}
    CLOCKS.clk_ref_ctrl().modify(|clock| clock.set_src(ClkRefCtrlSrc::XOSC_CLKSRC));
    while CLOCKS.clk_ref_selected().read() != REFERENCE_FROM_CRYSTAL {}
    PLL_SYS.cs().modify(|pll| pll.set_refdiv(1));
    PLL_SYS.fbdiv_int().write(|pll| pll.set_fbdiv_int(125));
    PLL_SYS.pwr().modify(|power| {
        power.set_pd(false);
        power.set_vcopd(false);
    });
    while !PLL_SYS.cs().read().lock() {}
    PLL_SYS.prim().write(|pll| {
        pll.set_postdiv1(6);
        pll.set_postdiv2(2);
    });
    PLL_SYS.pwr().modify(|power| power.set_postdivpd(false));
    CLOCKS.clk_sys_ctrl().modify(|clock| clock.set_auxsrc(ClkSysCtrlAuxsrc::CLKSRC_PLL_SYS));
    CLOCKS.clk_sys_ctrl().modify(|clock| clock.set_src(ClkSysCtrlSrc::CLKSRC_CLK_SYS_AUX));
    while CLOCKS.clk_sys_selected().read() != SYSTEM_FROM_PLL {}
}

/// GP15, in the corner of the board.
#[derive(Debug)]
pub struct Pin;

impl digital::ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        SIO.gpio_out(0).value_clr().write_value(1 << PIN);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        SIO.gpio_out(0).value_set().write_value(1 << PIN);
        Ok(())
    }
}
