//! The host's side of the wire: requests out, replies in, over any pair of byte streams.

use std::io::{Read, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use latency_probe::{
    CHUNK, Capacity, FRAME, Facts, Fault, PROTOCOL, Refusal, Reply, Request, UNASKED, encode, parse, unpack,
};
use runtime::Layer;
use thiserror::Error;

/// How often a request is sent, as long as its frame or its reply's is lost or damaged.
const TRIES: usize = 3;

/// A board at the other end of a byte link.
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
