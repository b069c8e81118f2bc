//! Both firmwares on the host, at the end of a link of bytes in memory.

use std::convert::Infallible;

use embedded_hal::digital::{self, OutputPin};
use embedded_io::{ErrorType, Read, Write};
use latency_probe::{
    CHUNK, FRAME, Facts, Meter, Pool, Probe, RUNS, Refusal, Reply, Request, Runner, Service, Timer, UNASKED, encode,
    expected, parse, serve, unpack,
};
use proptest::prelude::*;
use runtime::{Activation, Arena, Block, Channel, Conv, Invalid, Layer, Linear, Model, Quant, Shape, Step};

static POOL: Pool<4096, 128> = Pool::new();
const ARENA_BYTES: usize = 4096;

const FACTS: Facts<'_> = Facts {
    board: "bench",
    core: "host",
    unit: "calls",
    clock_hz: 1,
    flash_bytes: 1 << 20,
    ram_bytes: 1 << 16,
    version: latency_probe::VERSION,
    firmware: "0123456789abcdef",
};

/// What the host has sent, and what comes back, at most `most` bytes at once.
struct Bytes {
    sent: std::vec::IntoIter<u8>,
    back: Vec<u8>,
    most: usize,
}

impl ErrorType for Bytes {
    type Error = Infallible;
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        Ok(buffer.iter_mut().zip(&mut self.sent).map(|(place, byte)| *place = byte).count())
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        let written = bytes.len().min(self.most);
        self.back.extend_from_slice(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Counts how often it is asked.
struct Calls(std::cell::Cell<u32>);

impl Timer for Calls {
    fn now(&self) -> u32 {
        self.0.set(self.0.get().wrapping_add(5));
        self.0.get()
    }

    fn since(&self, start: u32) -> u32 {
        self.now().wrapping_sub(start)
    }
}

#[derive(Default)]
struct Pin {
    high: bool,
    rises: u32,
}

impl digital::ErrorType for Pin {
    type Error = Infallible;
}

impl OutputPin for Pin {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.high = false;
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.rises += u32::from(!self.high);
        self.high = true;
        Ok(())
    }
}

/// What a service answers to those bytes, and how often its pin rose.
fn exchange(service: &mut impl Service, sent: Vec<u8>) -> (Vec<(u8, Reply<'static>)>, u32) {
    let mut link = Bytes { sent: sent.into_iter(), back: Vec::new(), most: 7 };
    // The counter wraps within the test.
    let mut meter = Meter { timer: Calls((u32::MAX - 7).into()), pin: Pin::default() };
    let Ok(()) = serve(&mut link, &FACTS, &mut meter, service, &mut [0; FRAME]);
    assert!(!meter.pin.high, "the pin stays high");
    let frames = link.back.split_inclusive(|&byte| byte == 0).map(|frame| {
        let (zero, frame) = frame.split_last().expect("split_inclusive gives no empty piece");
        assert_eq!(*zero, 0, "the last reply is cut off");
        let (sequence, message) = unpack(frame.to_vec().leak()).expect("a reply's frame is sound");
        (sequence, parse(message).expect("a reply is readable"))
    });
    (frames.collect(), meter.pin.rises)
}

fn frame(sequence: u8, request: &Request<'_>) -> Vec<u8> {
    encode(sequence, request, &mut [0; FRAME]).expect("a request fits").to_vec()
}

fn probe(sent: Vec<u8>) -> (Vec<(u8, Reply<'static>)>, u32) {
    exchange(&mut Probe::new(&mut vec![0; ARENA_BYTES / 4], POOL.weights()), sent)
}

fn answer(request: &Request<'_>) -> Reply<'static> {
    let (replies, _) = probe(frame(1, request));
    let [(1, reply)] = &replies[..] else { panic!("{replies:?}") };
    reply.clone()
}

const BLOCK: Block = Block {
    input: Shape::new(5, 5, 8),
    expanded: 32,
    kernel: 3,
    stride: 1,
    squeeze: 0,
    channels: 8,
    residual: true,
    activation: Activation::Relu,
};

fn measure(layer: Layer, runs: u8) -> Request<'static> {
    Request::Measure { layer, seed: 3, runs }
}

#[test]
fn hello_tells_the_facts_and_the_capacity() {
    let Reply::Hello { facts, capacity } = answer(&Request::Hello) else { panic!("no hello") };
    assert_eq!(facts, FACTS);
    assert_eq!((capacity.arena_bytes, capacity.pool_taps, capacity.pool_channels), (4096, 4096, 128));
    assert_eq!((capacity.image_bytes, capacity.classes), (0, 0));
}

#[test]
fn every_run_is_timed_once_and_the_checksum_is_the_hosts() {
    let layer = Layer::Block(BLOCK);
    let (replies, rises) = probe(frame(9, &measure(layer, 4)));
    let checksum = expected(layer, 3, POOL.weights(), &mut [0; ARENA_BYTES / 4]).unwrap();
    let ticks = [5; 4].into_iter().collect();
    assert_eq!(replies, [(9, Reply::Measured { ticks, checksum })]);
    assert_eq!(rises, 4);
}

#[test]
fn the_most_runs_are_done_and_one_more_or_none_is_refused() {
    let layer = Layer::Block(BLOCK);
    assert!(matches!(answer(&measure(layer, RUNS as u8)), Reply::Measured { ticks, .. } if ticks.len() == RUNS));
    assert_eq!(answer(&measure(layer, RUNS as u8 + 1)), Reply::Refused(Refusal::Runs));
    assert_eq!(answer(&measure(layer, 0)), Reply::Refused(Refusal::Runs));
}

#[test]
fn refusals_say_why() {
    let check = |layer, refusal| assert_eq!(answer(&measure(layer, 1)), Reply::Refused(refusal), "{layer}");
    let linear = |inputs, outputs| Layer::Linear(Linear { inputs, outputs, activation: Activation::None });
    check(Layer::Block(Block { kernel: 2, ..BLOCK }), Refusal::Invalid(Invalid::Kernel));
    check(Layer::Block(Block { stride: 0, ..BLOCK }), Refusal::Invalid(Invalid::Stride));
    check(Layer::Block(Block { channels: 9, ..BLOCK }), Refusal::Invalid(Invalid::Residual));
    check(Layer::Block(Block { input: Shape::new(0, 5, 8), ..BLOCK }), Refusal::Invalid(Invalid::Empty));
    let squeeze = Block { squeeze: u16::MAX, expanded: 1 << 15, ..BLOCK };
    check(Layer::Block(squeeze), Refusal::Invalid(Invalid::TooLarge));
    check(linear(64, 65), Refusal::Pool(64));
    let large = Layer::Block(Block { input: Shape::new(16, 16, 8), ..BLOCK });
    check(large, Refusal::Arena(large.arena_bytes() as u32 - 4096));
}

#[test]
fn a_probe_runs_no_net_and_a_runner_measures_no_layer() {
    for request in
        [Request::Infer, Request::Stack, Request::Scores { offset: 0 }, Request::Load { offset: 0, bytes: &[1] }]
    {
        assert_eq!(answer(&request), Reply::Refused(Refusal::Firmware));
    }
    let (replies, _) = runner(frame(1, &measure(Layer::Block(BLOCK), 1)));
    assert_eq!(replies, [(1, Reply::Refused(Refusal::Firmware))]);
}

const STEPS: [Step; 1] = [Step {
    layer: Layer::Conv(Conv {
        input: Shape::new(20, 20, 1),
        channels: 1,
        kernel: 1,
        stride: 1,
        activation: Activation::None,
    }),
    quant: Quant { input_zero: 0, output_zero: 1, hidden_zeros: [0; 2], residual: 0 },
}];
static CHANNELS: [Channel; 1] = [Channel { bias: 0, multiplier: 1 << 30 }];
/// Scores are pixels plus 1: 4 taps times a quarter.
static ECHO: Model<400, { runtime::arena_bytes(&STEPS) }, 400> = Model::new(&STEPS, &CHANNELS, &[4]);

fn runner(sent: Vec<u8>) -> (Vec<(u8, Reply<'static>)>, u32) {
    exchange(&mut Runner::new(&ECHO, &mut Arena::new(), || 1234), sent)
}

fn image() -> Vec<u8> {
    (0..400).map(|i| (i % 100) as u8).collect()
}

fn load(image: &[u8]) -> Vec<u8> {
    let chunks = image.chunks(CHUNK).enumerate();
    chunks.flat_map(|(i, bytes)| frame(2, &Request::Load { offset: (i * CHUNK) as u32, bytes })).collect()
}

#[test]
fn a_runner_infers_what_was_loaded() {
    const _: () = Runner::assert_fits(&ECHO, &FACTS);
    let requests = [
        load(&image()),
        frame(3, &Request::Infer),
        frame(4, &Request::Scores { offset: 0 }),
        frame(5, &Request::Scores { offset: 256 }),
        frame(6, &Request::Scores { offset: 400 }),
        frame(7, &Request::Stack),
    ];
    let (replies, rises) = runner(requests.concat());
    let scores = |range: std::ops::Range<usize>| Reply::Scores(range.map(|i| (i % 100) as i8 + 1).collect());
    let expected = [
        (2, Reply::Loaded),
        (2, Reply::Loaded),
        (3, Reply::Inferred { ticks: 5 }),
        (4, scores(0..256)),
        (5, scores(256..400)),
        (6, Reply::Refused(Refusal::Range)),
        (7, Reply::Stack { bytes: 1234 }),
    ];
    assert_eq!(replies, expected);
    assert_eq!(rises, 1);
}

#[test]
fn an_inference_needs_the_whole_image_and_uses_it_up() {
    let last = |requests: &[Vec<u8>]| runner(requests.concat()).0.pop().unwrap().1;
    let (infer, scores) = (frame(1, &Request::Infer), frame(1, &Request::Scores { offset: 0 }));
    let refused = Reply::Refused(Refusal::Image);
    assert_eq!(last(std::slice::from_ref(&infer)), refused);
    assert_eq!(last(&[load(&image()[..399]), infer.clone()]), refused);
    assert_eq!(last(&[frame(1, &Request::Load { offset: 200, bytes: &[0; 200] }), infer.clone()]), refused);
    assert_eq!(last(&[load(&image()), infer.clone(), infer.clone()]), refused);
    assert_eq!(last(&[load(&image()), scores.clone()]), refused);
    assert_eq!(last(&[load(&image()), infer.clone(), load(&[1]), scores]), refused);
    assert_eq!(last(&[load(&[0; 401])]), Reply::Refused(Refusal::Range));
    assert_eq!(last(&[frame(1, &Request::Load { offset: u32::MAX, bytes: &[1] })]), Reply::Refused(Refusal::Range));
}

/// A frame of any content, with its closing 0.
fn frame_of(content: &[u8]) -> Vec<u8> {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(content);
    let packed = [content, &crc.to_le_bytes()].concat();
    let mut frame = vec![0; cobs::max_encoding_length(packed.len()) + 1];
    let len = cobs::encode(&packed, &mut frame);
    frame.truncate(len);
    // Where a full block ends the frame, the encoder has begun another behind it.
    frame.push(0);
    frame
}

#[test]
fn a_frame_of_another_protocol_version_is_told_this_one() {
    let refused = Reply::Refused(Refusal::Protocol(latency_probe::PROTOCOL));
    assert_eq!(probe(frame_of(&[latency_probe::PROTOCOL + 1, 1, 0])).0, [(UNASKED, refused)]);
}

#[test]
fn a_sound_frame_without_a_request_is_unreadable() {
    let refused = Reply::Refused(Refusal::Unreadable);
    assert_eq!(probe(frame_of(&[latency_probe::PROTOCOL, 17, 99])).0, [(17, refused)]);
}

/// Sends garbage, then a 0 and a sound request: it is always answered, whatever came before.
fn answers_after(garbage: &[u8]) {
    let sent = [garbage, &[0], &frame(200, &Request::Hello)].concat();
    let (mut replies, _) = probe(sent.clone());
    let last = replies.pop().expect("the sound request is answered");
    assert!(matches!(last, (200, Reply::Hello { .. })), "{last:?}");
    assert!(replies.len() <= garbage.split(|&byte| byte == 0).filter(|piece| !piece.is_empty()).count());
    let (mut replies, _) = runner(sent);
    assert!(matches!(replies.pop(), Some((200, Reply::Hello { .. }))));
}

#[test]
fn a_frame_that_is_too_long_is_damaged_and_the_next_is_read() {
    let (replies, _) = probe([vec![7; 100_000], vec![0], frame(4, &measure(Layer::Block(BLOCK), 1))].concat());
    assert_eq!(replies[0], (UNASKED, Reply::Refused(Refusal::Damaged)));
    assert!(matches!(replies[1], (4, Reply::Measured { .. })));
}

/// `OFA_CASES`, or the usual number.
fn cases() -> u64 {
    std::env::var("OFA_CASES").map_or(20_000, |cases| cases.parse().expect("OFA_CASES is a number"))
}

/// Sound requests, damaged in any way, and noise: whatever comes, the next sound request is answered, and a damaged one
/// is never done. The device has no heap, so what it takes is its frame.
#[test]
fn frames_of_any_bytes_do_no_harm() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |end: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % end.max(1)
    };
    let layer = Layer::Block(BLOCK);
    let sound = [
        frame(1, &Request::Hello),
        frame(2, &measure(layer, 3)),
        frame(3, &Request::Chain { place: 0, layer }),
        frame(4, &Request::MeasureChain { layers: 1, seed: 5, runs: 1 }),
        frame(5, &Request::Load { offset: 3, bytes: &[9; CHUNK] }),
    ];
    let batch = 100;
    for _ in 0..cases().div_ceil(batch) {
        let mut sent = Vec::new();
        for _ in 0..batch {
            let mut bytes = sound[random(sound.len())].clone();
            let at = random(bytes.len() - 1);
            match random(6) {
                0 => bytes[at] ^= 1 << random(8),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, random(255) as u8 + 1),
                3 => bytes.truncate(at),
                4 => bytes = vec![random(255) as u8 + 1; random(3 * FRAME)],
                _ => bytes = (0..random(2 * FRAME)).map(|_| random(256) as u8).collect(),
            }
            sent.extend(bytes);
            sent.push(0);
        }
        let (replies, rises) = probe([sent, frame(200, &Request::Hello)].concat());
        let (last, replies) = replies.split_last().expect("the sound request is answered");
        assert!(matches!(last, (200, Reply::Hello { .. })), "{last:?}");
        // One that was doubled a byte may be sound again, as what was inserted may be behind its end.
        let done = replies.iter().filter(|(_, reply)| !matches!(reply, Reply::Refused(_)));
        assert!(done.clone().all(|(sequence, _)| (1..=5).contains(sequence)), "{:?}", done.collect::<Vec<_>>());
        assert_eq!(rises, 0, "a damaged request was done");
    }
}

#[test]
fn a_chain_is_timed_as_one_net_and_a_chain_that_is_cut_is_refused() {
    let block = Layer::Block(BLOCK);
    let pool = Layer::Pool(runtime::Pool { input: BLOCK.input });
    let requests = [
        frame(1, &Request::Chain { place: 0, layer: block }),
        frame(2, &Request::Chain { place: 1, layer: pool }),
        frame(3, &Request::MeasureChain { layers: 2, seed: 3, runs: 2 }),
        frame(4, &Request::MeasureChain { layers: 3, seed: 3, runs: 2 }),
        frame(5, &Request::MeasureChain { layers: 2, seed: 3, runs: 0 }),
        frame(6, &Request::Chain { place: 3, layer: pool }),
    ];
    let (replies, rises) = probe(requests.concat());
    let mut chain = latency_probe::Chain::new();
    chain.put(0, block).unwrap();
    chain.put(1, pool).unwrap();
    let checksum = latency_probe::expected_of_chain(&mut chain, 3, POOL.weights(), &mut [0; ARENA_BYTES / 4]).unwrap();
    let ticks = [5; 2].into_iter().collect();
    let expected = [
        (1, Reply::Chained),
        (2, Reply::Chained),
        (3, Reply::Measured { ticks, checksum }),
        (4, Reply::Refused(Refusal::Chain)),
        (5, Reply::Refused(Refusal::Runs)),
        (6, Reply::Refused(Refusal::Chain)),
    ];
    assert_eq!(replies, expected);
    assert_eq!(rises, 2);
}

fn any_request() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Request::Hello).prop_map(|request| frame(1, &request)),
        (any::<u32>(), 0_u8..4)
            .prop_map(|(seed, runs)| { frame(2, &Request::Measure { layer: Layer::Block(BLOCK), seed, runs }) }),
        prop::collection::vec(any::<u8>(), 0..=CHUNK)
            .prop_map(|bytes| frame(3, &Request::Load { offset: 0, bytes: &bytes })),
    ]
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(garbage in prop::collection::vec(any::<u8>(), 0..700)) {
        answers_after(&garbage);
    }

    #[test]
    fn bytes_that_look_like_frames_do_no_harm(garbage in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(2), Just(0xFF), any::<u8>()], 0..700)) {
        answers_after(&garbage);
    }

    #[test]
    fn a_truncated_frame_does_no_harm(sent in any_request(), end in any::<prop::sample::Index>()) {
        answers_after(&sent[..end.index(sent.len())]);
    }

    #[test]
    fn a_flipped_bit_is_refused_or_parts_the_frame(sent in any_request(), bit in any::<prop::sample::Index>()) {
        let mut damaged = sent;
        let bit = bit.index((damaged.len() - 1) * 8);
        damaged[bit / 8] ^= 1 << (bit % 8);
        answers_after(&damaged);
        let (replies, rises) = probe(damaged);
        prop_assert!(replies.iter().all(|reply| *reply == (UNASKED, Reply::Refused(Refusal::Damaged))), "{:?}", replies);
        prop_assert_eq!(rises, 0);
    }

    /// Sound frames with any content reach the parser of messages.
    #[test]
    fn any_content_in_a_sound_frame_does_no_harm(content in prop::collection::vec(any::<u8>(), 0..260), request in 0_u8..6) {
        let sent = frame_of(&[&[latency_probe::PROTOCOL, 1, request], &content[..]].concat());
        answers_after(&sent);
        prop_assert!(matches!(probe(sent).0[..], [(1, _)]));
    }

    /// Whatever the numbers of a layer: measured as the host has it, or refused.
    #[test]
    fn any_layer_is_measured_or_refused(
        shape in prop::array::uniform3(prop_oneof![0_u16..12, any::<u16>()]),
        expanded in prop_oneof![0_u16..40, any::<u16>()],
        channels in prop_oneof![0_u16..12, any::<u16>()],
        kernel in prop_oneof![0_u8..8, any::<u8>()],
        stride in 0_u8..4,
        squeeze in prop_oneof![9 => Just(0_u16), 1 => any::<u16>()],
        residual: bool,
        kind in 0..5,
    ) {
        let input = Shape::new(shape[0], shape[1], shape[2]);
        let activation = Activation::Relu6;
        let layer = match kind {
            0 => Layer::Conv(Conv { input, channels, kernel, stride, activation }),
            1 => Layer::Block(Block { input, expanded, kernel, stride, squeeze, channels, residual, activation }),
            2 => Layer::Pool(runtime::Pool { input }),
            3 => Layer::Depthwise(runtime::Depthwise { input, kernel, stride, activation }),
            _ => Layer::Linear(Linear { inputs: expanded, outputs: channels, activation }),
        };
        let reply = answer(&measure(layer, 1));
        match expected(layer, 3, POOL.weights(), &mut [0; ARENA_BYTES / 4]) {
            Ok(sum) => {
                let same = matches!(reply, Reply::Measured { checksum, .. } if checksum == sum);
                prop_assert!(same, "{:?}", reply);
            }
            Err(refusal) => prop_assert_eq!(reply, Reply::Refused(refusal)),
        }
    }
}
