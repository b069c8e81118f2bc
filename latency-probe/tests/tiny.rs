//! The harness's side of MLPerf Tiny's protocol, against the device's on this host.

use std::cell::Cell;
use std::convert::Infallible;

use embedded_io::{ErrorType, Read, Write};
use latency_probe::{Facts, Meter, NoPin, Timer, Tiny, serve_tiny};
use proptest::prelude::*;
use runtime::{Activation, Arena, Channel, Layer, Linear, Model, Quant, ScoreScale, Step};

const LAYER: Linear = Linear { inputs: 4, outputs: 2, activation: Activation::None };
const STEPS: [Step; 1] = [Step {
    layer: Layer::Linear(LAYER),
    quant: Quant { input_zero: 0, output_zero: 0, hidden_zeros: [0; 2], residual: 0 },
}];
const ARENA_BYTES: usize = runtime::arena_bytes(&STEPS);
/// One in units of 2⁻³².
static CHANNELS: [Channel; 2] = [Channel { bias: 0, multiplier: i32::MAX }; 2];
/// The first score is of input 0, the second of input 3.
static TAPS: [u8; 8] = [64, 0, 0, 0, 0, 0, 0, 64];
static MODEL: Model<4, ARENA_BYTES, 2> = Model::new(&STEPS, &CHANNELS, &TAPS);
const SCALE: ScoreScale = ScoreScale { unit: 1 << 15, zero: 0 };

const fn facts(unit: &'static str) -> Facts<'static> {
    Facts {
        board: "bench",
        core: "host",
        unit,
        clock_hz: 2_000_000,
        flash_bytes: 1 << 20,
        ram_bytes: 1 << 16,
        version: latency_probe::VERSION,
        firmware: "0",
    }
}

struct Link<'s> {
    sent: &'s [u8],
    back: Vec<u8>,
}

impl ErrorType for Link<'_> {
    type Error = Infallible;
}

impl Read for Link<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        Read::read(&mut self.sent, buffer)
    }
}

impl Write for Link<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let written = bytes.len().min(3);
        self.back.extend_from_slice(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Every piece of work takes ten ticks.
struct Ten(Cell<u32>);

impl Timer for Ten {
    fn now(&self) -> u32 {
        self.0.replace(self.0.get().wrapping_add(10))
    }

    fn since(&self, start: u32) -> u32 {
        self.0.get().wrapping_sub(start)
    }
}

fn exchange(unit: &'static str, sent: &[u8]) -> String {
    let mut link = Link { sent, back: Vec::new() };
    let mut meter = Meter { timer: Ten(Cell::new(0)), pin: NoPin };
    let (mut arena, mut image) = (Arena::new(), [0; 4]);
    let mut tiny = Tiny { model: &MODEL, scale: SCALE, name: "ic01", arena: &mut arena, image: &mut image };
    let Ok(()) = serve_tiny(&mut link, &facts(unit), &mut meter, &mut tiny);
    String::from_utf8_lossy(&link.back).into_owned()
}

/// What comes back after the greeting.
fn answers(unit: &'static str, sent: &str) -> Vec<String> {
    let text = exchange(unit, sent.as_bytes());
    let lines: Vec<_> = text.split("\r\n").map(str::to_string).collect();
    let (end, lines) = lines.split_last().unwrap();
    assert_eq!(end, "", "the last line ends");
    let greeting = lines.iter().position(|line| line == "m-ready").unwrap() + 1;
    assert_eq!(lines[0], "m-timestamp-mode-performance");
    assert_eq!(lines[greeting - 2], "m-init-done");
    lines[greeting..].to_vec()
}

#[test]
fn a_session_of_the_harness() {
    let sent = "name%profile%timestamp%db load 4%db 9080%\r\ndb 70AA%db print%infer 3 1%results%";
    assert_eq!(
        answers("cycles", sent),
        [
            "m-name-dut-[ofa on bench]",
            "m-ready",
            "m-profile-[ULPMark for tinyML Firmware V0.0.1]",
            "m-model-[ic01]",
            "m-ready",
            "m-lap-us-0",
            "m-ready",
            "m-[Expecting 4 bytes]",
            "m-ready",
            "m-ready",
            "m-load-done",
            "m-ready",
            "m-buffer-90-80-70-aa",
            "m-ready",
            "m-warmup-start-1",
            "m-warmup-done",
            "m-infer-start-3",
            "m-lap-us-0",
            "m-lap-us-15",
            "m-infer-done",
            // Pixels 0x90 and 0xAA less 128, times 64 · 2⁻¹, half a unit each.
            "m-results-[63.500,63.500]",
            "m-ready",
            "m-results-[63.500,63.500]",
            "m-ready",
        ]
    );
}

#[test]
fn what_is_no_time_is_not_called_one() {
    let answers = answers("instructions", "db load 4%db 80808080%infer 2%");
    let laps: Vec<_> = answers.iter().filter(|line| line.starts_with("m-lap")).collect();
    assert_eq!(laps, ["m-lap-instructions-0", "m-lap-instructions-20"]);
}

#[test]
fn what_cannot_be_is_an_error_and_the_next_command_works() {
    let check = |command: &str, error: &str| {
        let answers = answers("cycles", &format!("{command}%name%"));
        assert_eq!(answers[..2], [error, "m-ready"], "{command}");
        assert!(answers[2].starts_with("m-name-dut-["), "{answers:?}");
    };
    check("nonsense", "e-[Unknown command: nonsense]");
    check("", "e-[Unknown command: ]");
    check("db", "e-[Command 'db' requires a subcommand]");
    check("db load", "e-[Command 'db load' requires the # of bytes]");
    check("db load 0", "e-[Command 'db load' must be >0 bytes]");
    check("db load x", "e-[Command 'db load' must be >0 bytes]");
    check("db load 5", "e-[Supplied buffer size 5 exceeds maximum of 4]");
    check("db 123", "e-[Insufficent number of hex digits]");
    check("db x412", "e-[Invalid hex digit 'x4']");
    check("infer 0", "e-[Inference iterations must be >0]");
    check("infer 1 -1", "e-[Inference warmup must be >=0]");
    check("infer 1", "e-[The net reads 4 bytes: load them first]");
    check(&"z".repeat(200), &format!("e-[Unknown command: {}]", "z".repeat(80)));
}

proptest! {
    /// Whatever is sent, it is answered, and nothing is written where it should not be.
    #[test]
    fn no_bytes_are_too_strange(sent in proptest::collection::vec(prop_oneof![Just(b'%'), Just(b' '), any::<u8>()], 0..300)) {
        let commands = sent.iter().filter(|byte| **byte == b'%').count();
        let text = exchange("cycles", &sent);
        prop_assert!(text.matches("m-ready\r\n").count() > commands, "{text}");
    }
}
