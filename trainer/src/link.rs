//! The host's side of the wire: requests out, replies in, over any pair of byte streams.

mod port;

use std::io::{Read, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use latency_probe::{
    CHUNK, Capacity, FRAME, Facts, Fault, PROTOCOL, Refusal, Reply, Request, STEPS, UNASKED, encode, parse, unpack,
};
use runtime::Layer;
use thiserror::Error;

pub(crate) use port::rtt;
pub use port::{Port, Streams};
pub(crate) use port::{Program, parse as parse_port};

/// How often a request is sent, as long as its frame or its reply's is lost or damaged.
const TRIES: usize = 4;

/// A board at the other end of a byte link.
///
/// ```
/// # mod probe { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/probe.rs")); }
/// use std::net::TcpStream;
/// use std::time::Duration;
///
/// use latency_probe::Refusal;
/// use trainer::link::{Link, LinkError};
/// use trainer::space::Space;
///
/// let address = probe::start();
/// let stream = TcpStream::connect(&address["tcp:".len()..])?;
/// let mut link = Link::new(stream.try_clone()?, stream, Duration::from_secs(30));
/// assert_eq!(link.hello()?.0.board, "host");
///
/// let space = Space::load("fashion")?;
/// let layers = space.layers(&space.smallest());
/// assert_eq!(link.measure(layers[0], 7, 3)?.ticks.len(), 3);
/// assert_eq!(link.measure_chain(&layers, 7, 1)?.ticks.len(), 1);
/// // Of a firmware that runs a net one asks instead:
/// assert_eq!(link.infer(&[0; 784], 10).unwrap_err(), LinkError::Refused(Refusal::Firmware));
/// assert_eq!(link.stack_bytes().unwrap_err(), LinkError::Refused(Refusal::Firmware));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct Link {
    out: Box<dyn Write + Send>,
    frames: Receiver<Vec<u8>>,
    timeout: Duration,
    sequence: u8,
    /// The last reply, packed.
    reply: Vec<u8>,
}

/// Ticks and checksum of a layer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measured {
    /// Of each run.
    pub ticks: Vec<u32>,
    /// CRC-32 of the layer's output.
    pub checksum: u32,
}

/// Ticks and scores of an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inferred {
    /// Of the whole net.
    pub ticks: u32,
    /// One for each class.
    pub scores: Vec<i8>,
}

/// Why there is no answer, or not the one that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Error, Debug)]
pub enum LinkError {
    /// The other side closed the link.
    #[error("the board has closed the link")]
    Gone,
    /// No answer came, however often it was asked.
    #[error("the board does not answer")]
    Silent,
    /// Frames came, but none was sound.
    #[error("every frame on the link is damaged")]
    Damaged,
    /// The firmware is of another version than this program.
    #[error("the board's firmware speaks protocol version {0}, this ofa speaks {PROTOCOL}; flash it again")]
    Protocol(u8),
    /// The firmware says no.
    #[error("the board refuses: {0}")]
    Refused(Refusal),
    /// It is no reply to what was asked.
    #[error("the board's answer is none to what was asked")]
    Unexpected,
}

impl Link {
    /// A link over these streams, that waits for each answer so long.
    pub fn new(input: impl Read + Send + 'static, out: impl Write + Send + 'static, timeout: Duration) -> Self {
        Self { out: Box::new(out), frames: read_frames(input), timeout, sequence: UNASKED, reply: Vec::new() }
    }

    /// Who is there.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn hello(&mut self) -> Result<(Facts<'_>, Capacity), LinkError> {
        match self.ask(&Request::Hello)? {
            Reply::Hello { facts, capacity } => Ok((facts, capacity)),
            _ => Err(LinkError::Unexpected),
        }
    }

    /// Times a layer.
    ///
    /// # Errors
    /// See [`LinkError`]; [`LinkError::Refused`] says what is wrong with the layer.
    pub fn measure(&mut self, layer: Layer, seed: u32, runs: u8) -> Result<Measured, LinkError> {
        match self.ask(&Request::Measure { layer, seed, runs })? {
            Reply::Measured { ticks, checksum } if ticks.len() == usize::from(runs) => {
                Ok(Measured { ticks: ticks.to_vec(), checksum })
            }
            _ => Err(LinkError::Unexpected),
        }
    }

    /// Sends the layers of a chain, and times them as one net.
    ///
    /// # Errors
    /// See [`LinkError`]; [`LinkError::Refused`] says what is wrong with the chain.
    pub fn measure_chain(&mut self, layers: &[Layer], seed: u32, runs: u8) -> Result<Measured, LinkError> {
        let too_long = LinkError::Refused(Refusal::Chain);
        for _ in 0..TRIES {
            let mut restarted = false;
            for (place, layer) in layers.iter().enumerate() {
                let place = u8::try_from(place).map_err(|_| too_long)?;
                match self.ask(&Request::Chain { place, layer: *layer }) {
                    Ok(Reply::Chained) => {}
                    // The board has started anew since the last layer.
                    Err(LinkError::Refused(Refusal::Chain)) if usize::from(place) < STEPS && place > 0 => {
                        restarted = true;
                        break;
                    }
                    Ok(_) => return Err(LinkError::Unexpected),
                    Err(error) => return Err(error),
                }
            }
            if restarted {
                continue;
            }
            let count = u8::try_from(layers.len()).map_err(|_| too_long)?;
            return match self.ask(&Request::MeasureChain { layers: count, seed, runs })? {
                Reply::Measured { ticks, checksum } if ticks.len() == usize::from(runs) => {
                    Ok(Measured { ticks: ticks.to_vec(), checksum })
                }
                _ => Err(LinkError::Unexpected),
            };
        }
        Err(too_long)
    }

    /// Runs the net on an image of pixels less 128.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn infer(&mut self, image: &[i8], classes: usize) -> Result<Inferred, LinkError> {
        let bytes: Vec<u8> = image.iter().map(|&value| value as u8).collect();
        for _ in 0..TRIES {
            for (i, bytes) in bytes.chunks(CHUNK).enumerate() {
                match self.ask(&Request::Load { offset: (i * CHUNK) as u32, bytes })? {
                    Reply::Loaded => {}
                    _ => return Err(LinkError::Unexpected),
                }
            }
            match self.ask(&Request::Infer) {
                Ok(Reply::Inferred { ticks }) => return Ok(Inferred { ticks, scores: self.scores(classes)? }),
                // The answer was lost, the request was repeated, and the image had been used up.
                Err(LinkError::Refused(Refusal::Image)) => {}
                Ok(_) => return Err(LinkError::Unexpected),
                Err(error) => return Err(error),
            }
        }
        Err(LinkError::Damaged)
    }

    /// Bytes that the stack of a net's firmware has had at its deepest.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn stack_bytes(&mut self) -> Result<u32, LinkError> {
        match self.ask(&Request::Stack)? {
            Reply::Stack { bytes } => Ok(bytes),
            _ => Err(LinkError::Unexpected),
        }
    }

    fn scores(&mut self, classes: usize) -> Result<Vec<i8>, LinkError> {
        let mut scores = Vec::with_capacity(classes);
        while scores.len() < classes {
            match self.ask(&Request::Scores { offset: scores.len() as u32 })? {
                Reply::Scores(more) if !more.is_empty() => scores.extend(more),
                _ => return Err(LinkError::Unexpected),
            }
        }
        Ok(scores)
    }

    /// Sends a request until its reply is there.
    fn ask(&mut self, request: &Request<'_>) -> Result<Reply<'_>, LinkError> {
        let mut failure = LinkError::Silent;
        for _ in 0..TRIES {
            let sequence = self.send(request)?;
            match self.await_reply(sequence) {
                Ok(()) => {
                    return match parse(&self.reply) {
                        Some(Reply::Refused(refusal)) => Err(LinkError::Refused(refusal)),
                        Some(reply) => Ok(reply),
                        None => Err(LinkError::Unexpected),
                    };
                }
                Err(error @ (LinkError::Silent | LinkError::Damaged)) => failure = error,
                Err(error) => return Err(error),
            }
        }
        Err(failure)
    }

    fn send(&mut self, request: &Request<'_>) -> Result<u8, LinkError> {
        self.sequence = self.sequence.checked_add(1).unwrap_or(UNASKED + 1);
        let mut frame = [0; FRAME];
        let frame = encode(self.sequence, request, &mut frame).ok_or(LinkError::Unexpected)?;
        // The 0 in front ends whatever the board may have read before.
        let bytes = [&[0], frame].concat();
        self.out.write_all(&bytes).and_then(|()| self.out.flush()).map_err(|_| LinkError::Gone)?;
        Ok(self.sequence)
    }

    /// Waits for the reply of that number, to put it into `self.reply`.
    fn await_reply(&mut self, wanted: u8) -> Result<(), LinkError> {
        let end = Instant::now() + self.timeout;
        loop {
            let mut frame = match self.frames.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(frame) => frame,
                Err(RecvTimeoutError::Timeout) => return Err(LinkError::Silent),
                Err(RecvTimeoutError::Disconnected) => return Err(LinkError::Gone),
            };
            match unpack(&mut frame) {
                Ok((sequence, message)) if sequence == wanted => {
                    self.reply = message.to_vec();
                    return Ok(());
                }
                Ok((UNASKED, message)) => match parse(message) {
                    Some(Reply::Refused(Refusal::Protocol(theirs))) => return Err(LinkError::Protocol(theirs)),
                    _ => return Err(LinkError::Damaged),
                },
                // A reply that comes too late.
                Ok(_) => {}
                Err(Fault::Protocol(theirs)) => return Err(LinkError::Protocol(theirs)),
                Err(Fault::Damaged) => return Err(LinkError::Damaged),
            }
        }
    }
}

/// Frames without their closing 0, as they come; the channel closes with the stream.
fn read_frames(mut input: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        let mut frame = Vec::new();
        loop {
            let read = match input.read(&mut bytes) {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            for &byte in &bytes[..read] {
                match byte {
                    0 if frame.is_empty() => {}
                    0 => {
                        if send.send(std::mem::take(&mut frame)).is_err() {
                            return;
                        }
                    }
                    // What is longer than a frame is none, and need not be kept to be found damaged.
                    _ if frame.len() > FRAME => {}
                    byte => frame.push(byte),
                }
            }
        }
    });
    receive
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, pipe};

    use latency_probe::{Meter, NoPin, Pool, Probe, Runner, Service, Timer, expected, serve};
    use runtime::{Activation, Arena, Channel, Conv, Linear, Model, Quant, Shape, Step};

    use super::*;

    static POOL: Pool<1024, 64> = Pool::new();
    const LAYER: Layer = Layer::Linear(Linear { inputs: 16, outputs: 8, activation: Activation::None });
    const FACTS: Facts<'_> = Facts {
        board: "test",
        core: "host",
        unit: "calls",
        clock_hz: 1,
        flash_bytes: 1 << 20,
        ram_bytes: 1 << 20,
        version: latency_probe::VERSION,
        firmware: "",
    };

    /// Two pipes as a device's link, with what happens to its bytes.
    struct DeviceEnd<F> {
        input: PipeReader,
        output: PipeWriter,
        /// Bytes of a reply in, bytes on the wire out.
        wire: F,
    }

    impl<F> embedded_io::ErrorType for DeviceEnd<F> {
        type Error = std::io::Error;
    }

    impl<F> embedded_io::Read for DeviceEnd<F> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.input.read(buffer)
        }
    }

    impl<F: FnMut(&[u8]) -> Vec<u8>> embedded_io::Write for DeviceEnd<F> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.output.write_all(&(self.wire)(bytes))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Nothing;

    impl Timer for Nothing {
        fn now(&self) -> u32 {
            0
        }

        fn since(&self, _: u32) -> u32 {
            7
        }
    }

    /// A link to that service, whose replies go through `wire`.
    fn link(service: impl Service + Send + 'static, wire: impl FnMut(&[u8]) -> Vec<u8> + Send + 'static) -> Link {
        let ((input, to_device), (from_device, output)) = (pipe().unwrap(), pipe().unwrap());
        thread::spawn(move || {
            let (mut end, mut service) = (DeviceEnd { input, output, wire }, service);
            let mut meter = Meter { timer: Nothing, pin: NoPin };
            let _ = serve(&mut end, &FACTS, &mut meter, &mut service, &mut [0; FRAME]);
        });
        Link::new(from_device, to_device, Duration::from_millis(200))
    }

    fn probe() -> impl Service + Send + 'static {
        Probe::new(vec![0; 1024].leak(), POOL.weights())
    }

    /// Does to the replies what each `change` in turn says, and leaves the others as they are.
    fn with_changes(changes: Vec<fn(Vec<u8>) -> Vec<u8>>) -> impl FnMut(&[u8]) -> Vec<u8> + Send + 'static {
        let mut changes = changes.into_iter();
        move |reply| match changes.next() {
            Some(change) => change(reply.to_vec()),
            None => reply.to_vec(),
        }
    }

    fn damage(mut reply: Vec<u8>) -> Vec<u8> {
        reply[2] ^= 0x40;
        reply
    }

    fn lose(_: Vec<u8>) -> Vec<u8> {
        Vec::new()
    }

    fn prepend_noise(reply: Vec<u8>) -> Vec<u8> {
        [&[1, 2, 3, 0, 0][..], &reply].concat()
    }

    fn expect_measured(link: &mut Link) {
        let checksum = expected(LAYER, 5, POOL.weights(), &mut [0; 1024]).unwrap();
        assert_eq!(link.measure(LAYER, 5, 2), Ok(Measured { ticks: vec![7, 7], checksum }));
    }

    #[test]
    fn a_sound_link_says_hello_and_measures() {
        let mut link = link(probe(), with_changes(vec![]));
        let (facts, capacity) = link.hello().unwrap();
        assert_eq!((facts, capacity.arena_bytes), (FACTS, 4096));
        // Sequence numbers come round.
        for _ in 0..300 {
            expect_measured(&mut link);
        }
    }

    #[test]
    fn a_chain_is_sent_layer_by_layer_and_timed_as_one() {
        let layers = [16, 8, 4]
            .map(|inputs| Layer::Linear(Linear { inputs, outputs: inputs / 2, activation: Activation::None }));
        let mut chain = latency_probe::Chain::new();
        layers.iter().enumerate().for_each(|(i, layer)| chain.put(i as u8, *layer).unwrap());
        let checksum = latency_probe::expected_of_chain(&mut chain, 5, POOL.weights(), &mut [0; 1024]).unwrap();
        for changes in [vec![], vec![damage as fn(_) -> _], vec![lose, lose]] {
            let mut link = link(probe(), with_changes(changes));
            for _ in 0..2 {
                assert_eq!(link.measure_chain(&layers, 5, 2), Ok(Measured { ticks: vec![7, 7], checksum }));
            }
        }
        let mut link = link(probe(), with_changes(vec![]));
        let gap = [layers[0], layers[2]];
        assert_eq!(link.measure_chain(&gap, 5, 1), Err(LinkError::Refused(Refusal::Chain)));
        assert_eq!(link.measure_chain(&[layers[0]; 40], 5, 1), Err(LinkError::Refused(Refusal::Chain)));
    }

    #[test]
    fn a_reply_that_is_damaged_or_lost_is_asked_for_again() {
        for changes in [vec![damage as fn(_) -> _], vec![lose], vec![prepend_noise], vec![damage, lose]] {
            let mut link = link(probe(), with_changes(changes));
            expect_measured(&mut link);
            expect_measured(&mut link);
        }
    }

    #[test]
    fn a_reply_that_comes_too_late_is_taken_for_no_other() {
        let mut last = Vec::new();
        let mut link = link(probe(), move |reply: &[u8]| std::mem::replace(&mut last, reply.to_vec()));
        // Each reply is the one to the request before, so none is ever the one that is waited for.
        assert_eq!(link.hello().unwrap_err(), LinkError::Silent);
    }

    #[test]
    fn a_link_that_stays_bad_is_given_up() {
        assert_eq!(link(probe(), damage_all()).hello().unwrap_err(), LinkError::Damaged);
        assert_eq!(link(probe(), |_: &[u8]| Vec::new()).hello().unwrap_err(), LinkError::Silent);
    }

    fn damage_all() -> impl FnMut(&[u8]) -> Vec<u8> + Send + 'static {
        |reply| damage(reply.to_vec())
    }

    #[test]
    fn a_device_that_is_gone_is_gone_at_once() {
        let ((input, to_device), (from_device, output)) = (pipe().unwrap(), pipe().unwrap());
        drop((input, output));
        let mut link = Link::new(from_device, to_device, Duration::from_secs(1000));
        assert_eq!(link.hello().unwrap_err(), LinkError::Gone);
    }

    #[test]
    fn a_refusal_is_an_error_with_its_cause() {
        let mut link = link(probe(), with_changes(vec![]));
        assert_eq!(link.measure(LAYER, 5, 0), Err(LinkError::Refused(Refusal::Runs)));
        assert_eq!(link.infer(&[1, 2], 3), Err(LinkError::Refused(Refusal::Firmware)));
    }

    const STEPS: [Step; 1] = [Step {
        layer: Layer::Conv(Conv {
            input: Shape::new(18, 18, 1),
            channels: 1,
            kernel: 1,
            stride: 1,
            activation: Activation::None,
        }),
        quant: Quant { input_zero: 0, output_zero: 1, hidden_zeros: [0; 2], residual: 0 },
    }];
    static CHANNELS: [Channel; 1] = [Channel { bias: 0, multiplier: 1 << 30 }];
    /// Scores are pixels plus 1: 4 taps times a quarter.
    static ECHO: Model<324, { runtime::arena_bytes(&STEPS) }, 324> = Model::new(&STEPS, &CHANNELS, &[4]);

    #[test]
    fn images_and_scores_travel_in_chunks_and_survive_a_bad_link() {
        let image: Vec<i8> = (0..324).map(|i| (i % 100) as i8).collect();
        let scores = image.iter().map(|value| value + 1).collect();
        let inferred = Ok(Inferred { ticks: 7, scores });
        let keep: fn(Vec<u8>) -> Vec<u8> = |reply| reply;
        // Two loads, the inference, two parts of the scores.
        for bad in 0..5 {
            let mut changes = vec![keep; 5];
            changes[bad] = damage;
            let mut link = link(Runner::new(&ECHO, Box::leak(Box::new(Arena::new())), || 0), with_changes(changes));
            assert_eq!(link.infer(&image, 324), inferred, "with damaged reply {bad}");
            assert_eq!(link.infer(&image, 324), inferred, "after damaged reply {bad}");
        }
    }

    /// `OFA_CASES`, or the usual number.
    fn cases() -> u64 {
        std::env::var("OFA_CASES").map_or(20_000, |cases| cases.parse().expect("OFA_CASES is a number"))
    }

    /// Sound replies, damaged in any way, and noise: none is more than a frame in memory, none brings the host down, and
    /// what is damaged is never taken for a reply.
    #[test]
    fn frames_of_any_bytes_do_no_harm() {
        use rand::{Rng, RngExt, SeedableRng};

        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(8);
        let mut sound = Vec::new();
        for sequence in 1..=5 {
            let ticks = (0..rng.random_range(1..=16)).map(|_| rng.random()).collect();
            let scores = (0..rng.random_range(0..=CHUNK)).map(|_| rng.random()).collect();
            for reply in [Reply::Measured { ticks, checksum: rng.random() }, Reply::Scores(scores), Reply::Loaded] {
                sound.push(encode(sequence, &reply, &mut [0; FRAME]).unwrap().to_vec());
            }
            let hello = Reply::Hello { facts: FACTS, capacity: Capacity::default() };
            sound.push(encode(sequence, &hello, &mut [0; FRAME]).unwrap().to_vec());
        }
        let (cases, mut wrong) = (cases(), 0);
        // Of every batch one stream, as a stream is a thread.
        for _ in 0..cases.div_ceil(1000) {
            let mut stream = Vec::new();
            for _ in 0..1000 {
                let mut bytes = sound[rng.random_range(0..sound.len())].clone();
                match rng.random_range(0..6) {
                    0 => (0..rng.random_range(1..4)).for_each(|_| {
                        let at = rng.random_range(0..bytes.len());
                        bytes[at] ^= 1 << rng.random_range(0..8);
                    }),
                    1 => drop(bytes.remove(rng.random_range(0..bytes.len()))),
                    2 => bytes.insert(rng.random_range(0..bytes.len()), rng.random()),
                    3 => bytes.truncate(rng.random_range(0..bytes.len())),
                    4 => bytes = vec![rng.random::<u8>().max(1); rng.random_range(0..3 * FRAME)],
                    _ => {
                        bytes = vec![0; rng.random_range(0..2 * FRAME)];
                        rng.fill_bytes(&mut bytes);
                    }
                }
                stream.extend(bytes);
                stream.push(0);
            }
            for mut frame in read_frames(std::io::Cursor::new(stream)) {
                assert!(frame.len() <= FRAME + 1 && frame.capacity() <= 2 * (FRAME + 1), "{}", frame.capacity());
                let is_sound = sound.iter().any(|sound| sound[..sound.len() - 1] == frame[..]);
                if let Ok((_, message)) = unpack(&mut frame)
                    && !is_sound
                {
                    // One of 2³² may look sound.
                    wrong += u64::from(parse::<Reply<'_>>(message).is_some());
                }
            }
        }
        assert!(wrong <= cases / (1 << 30), "{wrong} damaged frames were taken for replies");
    }
}
