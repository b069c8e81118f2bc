//! The probe of a computer or a phone: a program that speaks the protocol over its stdin and stdout, times by the
//! system's clock, and stays on one core.

mod affinity;

use std::format;
use std::fs;
use std::io::{self, Read as _, StdinLock, StdoutLock, Write as _};
use std::string::{String, ToString};
use std::time::Instant;
use std::vec;

use embedded_io::{ErrorType, Read, Write};
use runtime::{Channel, Weights};

use crate::wire::{CRC, FRAME, Facts, VERSION};
use crate::{Meter, NoPin, Probe, Timer, fill, serve};

/// Memory that it has for one layer or chain.
pub const ARENA_BYTES: usize = 64 << 20;
/// Taps in its pool of weights.
pub const TAPS: usize = 4 << 20;
/// Channels in its pool of weights.
pub const CHANNELS: usize = 32 << 10;
/// What its timer counts.
pub const UNIT: &str = "nanoseconds";
/// Most bytes of what it says of its core.
const CORE_BYTES: usize = 80;

/// Answers over stdin and stdout, by the name of `board`, until stdin ends.
///
/// # Errors
/// Of the pipes.
pub fn serve_stdio(board: &str) -> io::Result<()> {
    let core = cut(format!("{}{}", processor(), stay_on_one_core()), CORE_BYTES);
    let firmware = own_checksum();
    let facts = Facts {
        board,
        core: &core,
        unit: UNIT,
        clock_hz: 0,
        flash_bytes: u32::MAX,
        ram_bytes: u32::MAX,
        version: VERSION,
        firmware: &firmware,
    };
    let (mut channels, mut taps) = (vec![Channel { bias: 0, multiplier: 0 }; CHANNELS], vec![0; TAPS]);
    fill(&mut channels, &mut taps);
    let mut arena = vec![0; ARENA_BYTES / 4];
    let mut probe = Probe::new(&mut arena, Weights { channels: &channels, taps: &taps });
    let mut link = Pipes { input: io::stdin().lock(), output: io::stdout().lock() };
    serve(&mut link, &facts, &mut Meter { timer: Clock(Instant::now()), pin: NoPin }, &mut probe, &mut [0; FRAME])
}

struct Pipes {
    input: StdinLock<'static>,
    output: StdoutLock<'static>,
}

impl ErrorType for Pipes {
    type Error = io::Error;
}

impl Read for Pipes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Pipes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Nanoseconds since its start. They come round after 4.29 s, which no layer takes.
#[derive(Debug)]
pub struct Clock(pub Instant);

impl Timer for Clock {
    fn now(&self) -> u32 {
        self.0.elapsed().as_nanos() as u32
    }

    fn since(&self, start: u32) -> u32 {
        self.now().wrapping_sub(start)
    }
}

/// What the system calls its processor.
fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        matches!(key.trim(), "model name" | "Hardware").then(|| value.trim().to_string())
    });
    cut(name.unwrap_or_else(|| std::env::consts::ARCH.into()), CORE_BYTES / 2)
}

/// Keeps this thread on one core; what there is to say about that: its number, its governor and the temperature, as far
/// as the system shows them.
fn stay_on_one_core() -> String {
    let Some(core) = affinity::stay_on_last_core() else { return ", not kept on a core".into() };
    let said = |path: String| fs::read_to_string(path).ok().map(|text| text.trim().to_string());
    let governor = said(format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"));
    let temperature = said("/sys/class/thermal/thermal_zone0/temp".into()).and_then(|text| text.parse::<i32>().ok());
    let governor = governor.map_or(String::new(), |governor| format!(", governor {governor}"));
    // Most systems count thousandths.
    let degrees = |number: i32| if number.abs() > 1000 { number / 1000 } else { number };
    let temperature = temperature.map_or(String::new(), |number| format!(", {} degrees", degrees(number)));
    format!(", core {core}{governor}{temperature}")
}

/// CRC-32 of the program, which tells builds apart.
fn own_checksum() -> String {
    let program = std::env::current_exe().and_then(fs::read);
    program.map_or_else(|_| "unknown".into(), |bytes| format!("{:08x}", CRC.checksum(&bytes)))
}

fn cut(mut text: String, bytes: usize) -> String {
    let end = (0..=bytes.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text.truncate(end);
    text
}
