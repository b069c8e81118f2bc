//! Messages, and the frames that carry them over a byte link.
//!
//! A frame is the COBS of `protocol version, sequence, message, CRC-32` and a closing 0: a reader that lost its
//! place finds it again at the next 0. A reply bears the sequence number of its request, so that an answer that
//! comes too late is not taken for another's.

use core::fmt;

use crc::{CRC_32_ISO_HDLC, Crc};
use heapless::Vec;
use postcard::ser_flavors::crc::CrcModifier;
use postcard::ser_flavors::{Cobs, Slice};
use runtime::{Invalid, Layer};
use serde::{Deserialize, Serialize};

/// Version of the frames and messages. A peer that speaks another is told so.
pub const PROTOCOL: u8 = 4;
/// Version of this crate, and of the runtime that it measures.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Most bytes of an image or of scores in a message.
pub const CHUNK: usize = 256;
/// Most runs of one measurement.
pub const RUNS: usize = 16;
/// Most layers of a chain.
pub const STEPS: usize = 32;
/// Most bytes of a frame, its closing 0 included.
pub const FRAME: usize = CHUNK + 24;
/// Sequence number of a refusal that answers no request, as none was readable.
pub const UNASKED: u8 = 0;

/// CRC-32 of frames and of a layer's output.
pub(crate) static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);
const CRC_BYTES: usize = 4;

/// A frame with its message still packed. Both ends need no other buffer.
pub type Frame = [u8; FRAME];

/// What the host asks for.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Request<'a> {
    /// Who is there?
    Hello,
    /// Time a layer, whose weights and input follow from `seed`.
    Measure {
        /// What to run.
        layer: Layer,
        /// Of weights, zero points and input.
        seed: u32,
        /// 1 to [`RUNS`].
        runs: u8,
    },
    /// Let this layer be the one at that place of a chain, and the last one: a chain is sent layer by layer, the first
    /// one first.
    Chain {
        /// Its place, below [`STEPS`].
        place: u8,
        /// What to run there. It reads what the layer before it writes.
        layer: Layer,
    },
    /// Time the chain as one net, whose weights and input follow from `seed`.
    MeasureChain {
        /// Layers that the chain must have: one that has begun anew since then has fewer.
        layers: u8,
        /// Of weights, zero points and input.
        seed: u32,
        /// 1 to [`RUNS`].
        runs: u8,
    },
    /// Put a part of an image, at most [`CHUNK`] bytes, into the arena.
    Load {
        /// Where it begins in the image.
        offset: u32,
        /// Pixels less 128.
        bytes: &'a [u8],
    },
    /// Run the net on the loaded image. That uses the image up.
    Infer,
    /// The scores of the last inference from `offset` on, at most [`CHUNK`].
    Scores {
        /// First class.
        offset: u32,
    },
    /// How deep has the stack got?
    Stack,
}

/// What the device answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// To [`Request::Hello`].
    Hello {
        /// The board and its firmware.
        #[serde(borrow)]
        facts: Facts<'a>,
        /// What the firmware has room for.
        capacity: Capacity,
    },
    /// To [`Request::Measure`] and [`Request::MeasureChain`].
    Measured {
        /// Of each run, in the board's unit.
        ticks: Vec<u32, RUNS>,
        /// CRC-32 of the output.
        checksum: u32,
    },
    /// To [`Request::Chain`].
    Chained,
    /// To [`Request::Load`].
    Loaded,
    /// To [`Request::Infer`].
    Inferred {
        /// Of the whole net, in the board's unit.
        ticks: u32,
    },
    /// To [`Request::Scores`].
    Scores(Vec<i8, CHUNK>),
    /// To [`Request::Stack`].
    Stack {
        /// At its deepest since the firmware's start.
        bytes: u32,
    },
    /// To any of them.
    Refused(Refusal),
}

/// A board and its firmware. Its texts have at most [`CHUNK`] / 2 bytes altogether.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Facts<'a> {
    /// The board's name, as its folder's.
    pub board: &'a str,
    /// Such as `Cortex-M4F`.
    pub core: &'a str,
    /// What the timer counts: `cycles`, `instructions`, `nanoseconds`.
    pub unit: &'a str,
    /// Of the core.
    pub clock_hz: u32,
    /// What a firmware may take.
    pub flash_bytes: u32,
    /// What a firmware may take, its stack included.
    pub ram_bytes: u32,
    /// Version of the runtime.
    pub version: &'a str,
    /// Identifies the sources that the firmware was built from.
    pub firmware: &'a str,
}

/// What a firmware has room for; 0 for what it doesn't do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Capacity {
    /// Memory of one layer or net.
    pub arena_bytes: u32,
    /// Taps in the pool.
    pub pool_taps: u32,
    /// Channels in the pool.
    pub pool_channels: u32,
    /// Bytes of an image.
    pub image_bytes: u32,
    /// Scores of an image.
    pub classes: u32,
}

/// Why a request is not done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// The request's frame was damaged on its way.
    Damaged,
    /// The request's frame was of another protocol version than this one.
    Protocol(u8),
    /// The frame was sound, but holds no request.
    Unreadable,
    /// The numbers describe no layer.
    Invalid(Invalid),
    /// The layer needs so many bytes more than the arena has.
    Arena(u32),
    /// The layer needs so many bytes of weights more than the pool has.
    Pool(u32),
    /// No runs, or more than [`RUNS`].
    Runs,
    /// The chain lacks layers, has more than [`STEPS`], or one of its layers does not read what the one before it
    /// writes.
    Chain,
    /// Outside of the image or the scores.
    Range,
    /// The image was not loaded as a whole since the last inference.
    Image,
    /// This firmware does not do that: a probe has no net, a runner has no pool.
    Firmware,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "the request was damaged on its way",
            Self::Protocol(theirs) => return write!(f, "the firmware speaks protocol version {theirs}"),
            Self::Unreadable => "the request cannot be read",
            Self::Invalid(invalid) => return write!(f, "{invalid}"),
            Self::Arena(bytes) => return write!(f, "it needs {bytes} bytes more than the arena has"),
            Self::Pool(bytes) => return write!(f, "it needs {bytes} bytes more than the pool of weights has"),
            Self::Runs => "the number of runs is not 1 to 16",
            Self::Chain => "its layers are no chain",
            Self::Range => "it lies outside of the image or the scores",
            Self::Image => "the image was not loaded as a whole",
            Self::Firmware => "this firmware does not do that",
        })
    }
}

impl core::error::Error for Refusal {}

/// Why a frame holds no content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Its bytes are not those that were sent.
    Damaged,
    /// It is sound, but of this other protocol version.
    Protocol(u8),
}

/// The frame of a message, with its closing 0; `None` if it doesn't fit.
///
/// ```
/// use latency_probe::{FRAME, Request, encode, parse, unpack};
///
/// let mut frame = [0; FRAME];
/// let sent = encode(9, &Request::Hello, &mut frame).expect("it fits").to_vec();
/// let (end, content) = sent.split_last().expect("a frame ends");
/// assert_eq!((*end, content.contains(&0)), (0, false));
/// let mut received = content.to_vec();
/// let (sequence, message) = unpack(&mut received).expect("nothing was damaged");
/// assert_eq!((sequence, parse(message)), (9, Some(Request::Hello)));
/// ```
pub fn encode<'b, T: Serialize>(sequence: u8, message: &T, frame: &'b mut Frame) -> Option<&'b [u8]> {
    let cobs = Cobs::try_new(Slice::new(frame)).ok()?;
    let message = (PROTOCOL, sequence, message);
    postcard::serialize_with_flavor(&message, CrcModifier::new(cobs, CRC.digest())).ok().map(|frame| &*frame)
}

/// The sequence number and the packed message of a frame without its closing 0, which is unpacked in place.
///
/// # Errors
/// Whatever the bytes are, one of [`Fault`].
pub fn unpack(frame: &mut [u8]) -> Result<(u8, &[u8]), Fault> {
    let len = cobs::decode_in_place(frame).map_err(|_| Fault::Damaged)?;
    let (content, crc) = frame.get(..len).and_then(<[u8]>::split_last_chunk::<CRC_BYTES>).ok_or(Fault::Damaged)?;
    if CRC.checksum(content) != u32::from_le_bytes(*crc) {
        return Err(Fault::Damaged);
    }
    match *content {
        [PROTOCOL, sequence, ref message @ ..] => Ok((sequence, message)),
        [protocol, ..] if protocol != PROTOCOL => Err(Fault::Protocol(protocol)),
        _ => Err(Fault::Damaged),
    }
}

/// The message that [`unpack`] gave, and nothing more; `None` if the bytes are no such message.
pub fn parse<'b, T: Deserialize<'b>>(message: &'b [u8]) -> Option<T> {
    match postcard::take_from_bytes(message) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use runtime::{Block, Shape};
    use std::vec;

    fn round_trip<T: Serialize + Deserialize<'static> + PartialEq + fmt::Debug>(message: &T) {
        let mut buffer = [0; FRAME];
        let frame = encode(7, message, &mut buffer).expect("fits");
        let (zero, sound) = frame.split_last().expect("not empty");
        assert_eq!(*zero, 0);
        assert!(!sound.contains(&0));
        let (sequence, packed) = unpack(sound.to_vec().leak()).expect("sound");
        assert_eq!((sequence, parse::<T>(packed).as_ref()), (7, Some(message)));
    }

    #[test]
    fn the_largest_messages_fit_a_frame() {
        let mut buffer = [0; FRAME];
        for byte in [0, 1, 0xFF] {
            let bytes = [byte; CHUNK];
            assert!(encode(255, &Request::Load { offset: u32::MAX, bytes: &bytes }, &mut buffer).is_some());
            let scores = bytes.iter().map(|&byte| byte as i8).collect();
            round_trip::<Reply<'static>>(&Reply::Scores(scores));
        }
        let ticks = [u32::MAX; RUNS].into_iter().collect();
        round_trip::<Reply<'static>>(&Reply::Measured { ticks, checksum: u32::MAX });
    }

    /// Also that of exactly a COBS block, which ends without a next one.
    #[test]
    fn a_frame_of_any_length_is_read() {
        for len in 0..=CHUNK {
            let bytes = vec![1; len].leak();
            round_trip::<Request<'static>>(&Request::Load { offset: 1, bytes });
        }
    }

    #[test]
    fn the_longest_facts_fit_a_frame() {
        let long = core::str::from_utf8(&[b'x'; CHUNK / 2]).unwrap();
        let facts = Facts {
            board: long,
            core: "",
            unit: "",
            clock_hz: u32::MAX,
            flash_bytes: u32::MAX,
            ram_bytes: u32::MAX,
            version: "",
            firmware: "",
        };
        let most = u32::MAX;
        let capacity =
            Capacity { arena_bytes: most, pool_taps: most, pool_channels: most, image_bytes: most, classes: most };
        assert!(encode(1, &Reply::Hello { facts, capacity }, &mut [0; FRAME]).is_some());
    }

    /// A frame of any content, without its closing 0.
    fn frame_of(content: &[u8]) -> std::vec::Vec<u8> {
        let packed = [content, &CRC.checksum(content).to_le_bytes()].concat();
        let mut frame = vec![0; cobs::max_encoding_length(packed.len())];
        let len = cobs::encode(&packed, &mut frame);
        frame.truncate(len);
        frame
    }

    #[test]
    fn another_protocol_version_is_named() {
        assert_eq!(unpack(&mut frame_of(&[PROTOCOL + 1, 9, 77])), Err(Fault::Protocol(PROTOCOL + 1)));
        assert_eq!(unpack(&mut frame_of(&[PROTOCOL + 1])), Err(Fault::Protocol(PROTOCOL + 1)));
    }

    #[test]
    fn frames_without_version_and_sequence_are_damaged() {
        assert_eq!(unpack(&mut frame_of(&[])), Err(Fault::Damaged));
        assert_eq!(unpack(&mut frame_of(&[PROTOCOL])), Err(Fault::Damaged));
        assert_eq!(unpack(&mut frame_of(&[PROTOCOL, 3])), Ok((3, &[][..])));
    }

    #[test]
    fn a_message_that_is_cut_unknown_or_followed_by_more_is_none() {
        assert_eq!(parse::<Request<'_>>(&[0]), Some(Request::Hello));
        for bytes in [&[][..], &[99], &[0, 1], &[1, 0]] {
            assert_eq!(parse::<Request<'_>>(bytes), None);
        }
    }

    fn block(height: u16, width: u16, channels: u16, expanded: u16, residual: bool) -> Layer {
        Layer::Block(Block {
            input: Shape::new(height, width, channels),
            expanded,
            kernel: 3,
            stride: 1,
            squeeze: 0,
            channels,
            residual,
            activation: runtime::Activation::Relu6,
        })
    }

    proptest! {
        #[test]
        fn requests_survive_the_wire(height: u16, width: u16, channels: u16, expanded: u16, residual: bool, seed: u32, runs: u8) {
            let layer = block(height, width, channels, expanded, residual);
            round_trip::<Request<'static>>(&Request::Measure { layer, seed, runs });
        }

        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = (parse::<Request<'_>>(&bytes), parse::<Reply<'_>>(&bytes));
            let _ = unpack(&mut bytes);
        }

        #[test]
        fn one_flipped_bit_is_noticed(offset: u32, bytes in prop::collection::vec(any::<u8>(), 0..=CHUNK), bit: prop::sample::Index) {
            let mut buffer = [0; FRAME];
            let frame = encode(3, &Request::Load { offset, bytes: &bytes }, &mut buffer).unwrap();
            let mut damaged = frame[..frame.len() - 1].to_vec();
            let bit = bit.index(damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(unpack(&mut damaged), Err(Fault::Damaged));
        }
    }
}
