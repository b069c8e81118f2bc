//! The serial protocol of MLPerf Tiny, by which its harness (EEMBC's runner) drives a device: lines of text, commands that
//! end in `%`.
//!
//! ```text
//!   host                        device
//!   db load 784%                m-[Expecting 784 bytes]
//!   db 00ff…%  (many)           m-load-done
//!   infer 10 1%                 m-warmup-start-1 … m-infer-start-10, m-lap-us-…, m-lap-us-…, m-infer-done, m-results-[…]
//! ```
//!
//! The messages are those of `benchmark/api/internally_implemented.cpp` of github.com/mlcommons/tiny. What a command is
//! not given or given wrongly is an error message, as there, and nothing else happens.

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};
use runtime::{Arena, Model, ScoreScale};

use crate::meter::{Meter, Timer};
use crate::wire::Facts;

/// Characters of a command, the `%` left out.
const COMMAND: usize = 80;
/// Inferences before those that are timed, where the host does not say.
const WARM_UP: u32 = 10;
/// Bytes in a line of the buffer's content.
const PRINTED: usize = 8;

/// A net that the harness drives.
#[derive(Debug)]
pub struct Tiny<'a, const IMAGE: usize, const ARENA: usize, const CLASSES: usize> {
    /// The net.
    pub model: &'static Model<IMAGE, ARENA, CLASSES>,
    /// What its scores stand for.
    pub scale: ScoreScale,
    /// Which of the benchmark's nets it stands for, such as `ic01`.
    pub name: &'static str,
    /// What the net runs in.
    pub arena: &'a mut Arena<ARENA>,
    /// The pixels that the host loads, kept over inferences.
    pub image: &'a mut [u8; IMAGE],
}

/// Answers commands until the other side of the link is gone.
///
/// ```
/// # mod board { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/board.rs")); }
/// # mod model { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/doc/model.rs")); }
/// use latency_probe::{Meter, NoPin, Tiny, serve_tiny};
///
/// let mut link = board::Link { sent: b"name%".to_vec().into(), back: vec![] };
/// let (mut arena, mut image) = (runtime::Arena::new(), [0; 4]);
/// let mut tiny =
///     Tiny { model: &model::MODEL, scale: model::SCORES, name: "ic01", arena: &mut arena, image: &mut image };
/// let mut meter = Meter { timer: board::Calls(0.into()), pin: NoPin };
/// serve_tiny(&mut link, &board::FACTS, &mut meter, &mut tiny)?;
/// assert!(String::from_utf8_lossy(&link.back).contains("m-ready"));
/// # Ok::<(), core::convert::Infallible>(())
/// ```
///
/// # Errors
/// The link's own.
pub fn serve_tiny<
    L: Read + Write,
    T: Timer,
    P: OutputPin,
    const IMAGE: usize,
    const ARENA: usize,
    const CLASSES: usize,
>(
    link: &mut L,
    facts: &Facts<'_>,
    meter: &mut Meter<T, P>,
    tiny: &mut Tiny<'_, IMAGE, ARENA, CLASSES>,
) -> Result<(), L::Error> {
    let mut device = Device { facts, meter, tiny, expected: 0, loaded: 0, scores: [0; CLASSES], ticks: 0 };
    let mut out = Out(link);
    out.text("m-timestamp-mode-performance\r\n")?;
    device.timestamp(&mut out)?;
    out.text("m-init-done\r\nm-ready\r\n")?;
    let mut command = [0; COMMAND];
    let mut len = 0;
    loop {
        let mut byte = [0];
        if out.0.read(&mut byte)? == 0 {
            return Ok(());
        }
        match byte {
            [b'%'] => {
                device.obey(command.get(..len).unwrap_or_default(), &mut out)?;
                out.text("m-ready\r\n")?;
                out.0.flush()?;
                len = 0;
            }
            // What a terminal puts between commands.
            [b'\r' | b'\n'] => {}
            [byte] => {
                // Of a command that is too long the end is lost.
                if let Some(place) = command.get_mut(len) {
                    *place = byte;
                    len += 1;
                }
            }
        }
    }
}

struct Device<'d, 'a, T, P, const IMAGE: usize, const ARENA: usize, const CLASSES: usize> {
    facts: &'d Facts<'d>,
    meter: &'d mut Meter<T, P>,
    tiny: &'d mut Tiny<'a, IMAGE, ARENA, CLASSES>,
    /// Bytes that the host has announced.
    expected: usize,
    /// Those that it has sent.
    loaded: usize,
    scores: [i8; CLASSES],
    /// That inferences have taken since the start.
    ticks: u64,
}

impl<T: Timer, P: OutputPin, const IMAGE: usize, const ARENA: usize, const CLASSES: usize>
    Device<'_, '_, T, P, IMAGE, ARENA, CLASSES>
{
    fn obey<L: Write>(&mut self, command: &[u8], out: &mut Out<'_, L>) -> Result<(), L::Error> {
        let mut words = command.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        match words.next().unwrap_or_default() {
            b"name" => out.texts(&["m-name-dut-[ofa on ", self.facts.board, "]\r\n"]),
            b"timestamp" => self.timestamp(out),
            b"profile" => {
                out.texts(&["m-profile-[ULPMark for tinyML Firmware V0.0.1]\r\nm-model-[", self.tiny.name, "]\r\n"])
            }
            b"help" => out.text(HELP),
            b"db" => match words.next() {
                None => out.text("e-[Command 'db' requires a subcommand]\r\n"),
                Some(b"load") => self.expect(words.next(), out),
                Some(b"print") => self.print(out),
                Some(digits) => self.load(digits, out),
            },
            b"infer" => match (number(words.next(), 1), number(words.next(), WARM_UP)) {
                (None | Some(0), _) => out.text("e-[Inference iterations must be >0]\r\n"),
                (_, None) => out.text("e-[Inference warmup must be >=0]\r\n"),
                (Some(count), Some(warm_up)) => self.infer(count, warm_up, out),
            },
            b"results" => self.results(out),
            unknown => {
                out.text("e-[Unknown command: ")?;
                out.all(unknown)?;
                out.text("]\r\n")
            }
        }
    }

    fn expect<L: Write>(&mut self, count: Option<&[u8]>, out: &mut Out<'_, L>) -> Result<(), L::Error> {
        if count.is_none() {
            return out.text("e-[Command 'db load' requires the # of bytes]\r\n");
        }
        match number(count, 0) {
            None | Some(0) => out.text("e-[Command 'db load' must be >0 bytes]\r\n"),
            Some(count) if count as usize > IMAGE => {
                out.text("e-[Supplied buffer size ")?;
                out.number(count.into())?;
                out.text(" exceeds maximum of ")?;
                out.number(IMAGE as u64)?;
                out.text("]\r\n")
            }
            Some(count) => {
                (self.expected, self.loaded) = (count as usize, 0);
                out.text("m-[Expecting ")?;
                out.number(count.into())?;
                out.text(" bytes]\r\n")
            }
        }
    }

    fn load<L: Write>(&mut self, digits: &[u8], out: &mut Out<'_, L>) -> Result<(), L::Error> {
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return out.text("e-[Insufficent number of hex digits]\r\n");
        }
        for pair in pairs {
            let [Some(high), Some(low)] = pair.map(|digit| (digit as char).to_digit(16)) else {
                out.text("e-[Invalid hex digit '")?;
                out.all(pair)?;
                return out.text("']\r\n");
            };
            if self.loaded == self.expected {
                return Ok(());
            }
            if let Some(place) = self.tiny.image.get_mut(self.loaded) {
                *place = (16 * high + low) as u8;
            }
            self.loaded += 1;
            if self.loaded == self.expected {
                return out.text("m-load-done\r\n");
            }
        }
        Ok(())
    }

    fn print<L: Write>(&mut self, out: &mut Out<'_, L>) -> Result<(), L::Error> {
        for line in self.tiny.image.get(..self.expected).unwrap_or_default().chunks(PRINTED) {
            out.text("m-buffer-")?;
            for (i, byte) in line.iter().enumerate() {
                if i > 0 {
                    out.text("-")?;
                }
                let digit = |value: u8| char::from_digit(value.into(), 16).map_or(b'0', |digit| digit as u8);
                out.all(&[digit(byte >> 4), digit(byte & 15)])?;
            }
            out.text("\r\n")?;
        }
        Ok(())
    }

    fn infer<L: Write>(&mut self, count: u32, warm_up: u32, out: &mut Out<'_, L>) -> Result<(), L::Error> {
        if self.loaded != IMAGE {
            out.text("e-[The net reads ")?;
            out.number(IMAGE as u64)?;
            return out.text(" bytes: load them first]\r\n");
        }
        out.numbered("m-warmup-start-", warm_up.into())?;
        (0..warm_up).for_each(|_| {
            self.run();
        });
        out.text("m-warmup-done\r\n")?;
        out.numbered("m-infer-start-", count.into())?;
        self.timestamp(out)?;
        for _ in 0..count {
            self.ticks += u64::from(self.run());
        }
        self.timestamp(out)?;
        out.text("m-infer-done\r\n")?;
        self.results(out)
    }

    /// Ticks of one inference. That the image is put where the net reads it is no part of it.
    fn run(&mut self) -> u32 {
        let Tiny { model, arena, image, .. } = &mut *self.tiny;
        for (value, &pixel) in arena.bytes().iter_mut().zip(&**image) {
            *value = (pixel ^ 0x80) as i8;
        }
        let (ticks, scores) = self.meter.time(|| model.infer_in_place(arena));
        self.scores = *scores;
        ticks
    }

    /// Microseconds where the timer counts cycles; what it counts else is no time, and says so.
    fn timestamp<L: Write>(&self, out: &mut Out<'_, L>) -> Result<(), L::Error> {
        match self.facts.unit {
            "cycles" => {
                // Not by the quotient of a million and the clock: 2⁶⁴ / 10⁶ ticks last for days.
                out.numbered("m-lap-us-", self.ticks.saturating_mul(1_000_000) / u64::from(self.facts.clock_hz.max(1)))
            }
            unit => {
                out.texts(&["m-lap-", unit, "-"])?;
                out.numbered("", self.ticks)
            }
        }
    }

    /// The scores as real numbers: logits, of which the highest is the likeliest class.
    fn results<L: Write>(&self, out: &mut Out<'_, L>) -> Result<(), L::Error> {
        out.text("m-results-[")?;
        for (i, &score) in self.scores.iter().enumerate() {
            let fixed = self.tiny.scale.fixed(score);
            let thousandths = (u64::from(fixed.unsigned_abs()) * 1000 + (1 << 15)) >> 16;
            let sign = if fixed < 0 && thousandths > 0 { "-" } else { "" };
            out.texts(&[if i > 0 { "," } else { "" }, sign])?;
            out.number(thousandths / 1000)?;
            let digit = |unit: u64| b'0' + (thousandths / unit % 10) as u8;
            out.all(&[b'.', digit(100), digit(10), digit(1)])?;
        }
        out.text("]\r\n")
    }
}

/// The number that a word is, or the one that a word that is not there stands for.
fn number(word: Option<&[u8]>, missing: u32) -> Option<u32> {
    let Some(word) = word else { return Some(missing) };
    core::str::from_utf8(word).ok()?.parse().ok()
}

const HELP: &str = "\
name         : Print the name of the device\r\n\
timestamp    : Print the time that inferences have taken\r\n\
profile      : Print the version of the protocol, and the net\r\n\
db load N    : Expect N bytes\r\n\
db HH[HH]*   : Load bytes, until there are N\r\n\
db print     : Print them\r\n\
infer N [W]  : Execute N inferences after W that are not timed\r\n\
results      : Print the scores\r\n";

/// Text on its way to the host.
struct Out<'l, L>(&'l mut L);

impl<L: Write> Out<'_, L> {
    /// Up to the end of the link.
    fn all(&mut self, mut bytes: &[u8]) -> Result<(), L::Error> {
        while !bytes.is_empty() {
            match self.0.write(bytes)? {
                0 => break,
                written => bytes = bytes.get(written..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), L::Error> {
        self.all(text.as_bytes())
    }

    fn texts(&mut self, texts: &[&str]) -> Result<(), L::Error> {
        texts.iter().try_for_each(|text| self.text(text))
    }

    fn number(&mut self, number: u64) -> Result<(), L::Error> {
        let mut digits = [0; 20];
        let (mut rest, mut first) = (number, digits.len());
        for (i, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0' + (rest % 10) as u8;
            (rest, first) = (rest / 10, i);
            if rest == 0 {
                break;
            }
        }
        self.all(digits.get(first..).unwrap_or_default())
    }

    fn numbered(&mut self, text: &str, number: u64) -> Result<(), L::Error> {
        self.text(text)?;
        self.number(number)?;
        self.text("\r\n")
    }
}
