//! The loop of every firmware: a request in, a reply out.

use embedded_hal::digital::OutputPin;
use embedded_io::{Read, Write};

use crate::meter::{Meter, Timer};
use crate::wire::{Capacity, Facts, Fault, Frame, PROTOCOL, Refusal, Reply, Request, UNASKED, encode, parse, unpack};

/// What a firmware does for its host: [`crate::Probe`] measures layers, [`crate::Runner`] runs a net.
///
/// A reply borrows nothing, as it is written over its request.
pub trait Service {
    /// What it has room for.
    fn capacity(&self) -> Capacity;

    /// Does what is asked, [`Request::Hello`] excepted.
    ///
    /// # Errors
    /// Why it does not.
    fn answer<T: Timer, P: OutputPin>(
        &mut self,
        request: Request<'_>,
        meter: &mut Meter<T, P>,
    ) -> Result<Reply<'static>, Refusal>;
}

/// Answers requests until the other side of the link is gone. Requests and replies share the one frame.
///
/// ```
/// # mod board { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/board.rs")); }
/// use board::{Calls, FACTS, Link};
/// use latency_probe::{FRAME, Meter, NoPin, Pool, Probe, Reply, Request, encode, expected, parse, serve, unpack};
/// use runtime::{Activation, Layer, Linear};
///
/// #[allow(long_running_const_eval)]
/// static POOL: Pool<4096, 64> = Pool::new();
///
/// // The host asks how long a layer takes.
/// let layer = Layer::Linear(Linear { inputs: 16, outputs: 4, activation: Activation::None });
/// let mut frame = [0; FRAME];
/// let request = encode(1, &Request::Measure { layer, seed: 7, runs: 2 }, &mut frame).expect("a request fits");
/// let mut link = Link { sent: request.to_vec().into(), back: vec![] };
///
/// // The firmware answers, until the link ends.
/// let mut arena = [0; 256];
/// let mut probe = Probe::new(&mut arena, POOL.weights());
/// let mut meter = Meter { timer: Calls(0.into()), pin: NoPin };
/// serve(&mut link, &FACTS, &mut meter, &mut probe, &mut [0; FRAME])?;
///
/// // The host has the ticks of each run, and computes the layer's output itself.
/// let end = link.back.len() - 1;
/// let (sequence, message) = unpack(&mut link.back[..end]).expect("the frame is sound");
/// let checksum = expected(layer, 7, POOL.weights(), &mut [0; 256]).expect("there is room");
/// let ticks = [1, 1].into_iter().collect();
/// assert_eq!((sequence, parse(message)), (1, Some(Reply::Measured { ticks, checksum })));
/// # Ok::<(), core::convert::Infallible>(())
/// ```
///
/// # Errors
/// The link's own.
pub fn serve<L: Read + Write, T: Timer, P: OutputPin>(
    link: &mut L,
    facts: &Facts<'_>,
    meter: &mut Meter<T, P>,
    service: &mut impl Service,
    frame: &mut Frame,
) -> Result<(), L::Error> {
    while let Some(received) = receive(link, frame)? {
        let content = received.ok_or(Fault::Damaged).and_then(|len| unpack(&mut frame[..len]));
        let (sequence, reply) = match content {
            Ok((sequence, message)) => (sequence, answer(message, facts, meter, service)),
            Err(Fault::Protocol(_)) => (UNASKED, Err(Refusal::Protocol(PROTOCOL))),
            Err(Fault::Damaged) => (UNASKED, Err(Refusal::Damaged)),
        };
        let reply = reply.unwrap_or_else(Reply::Refused);
        // Facts have a limit on their length and the other messages are bounded by their types.
        if let Some(mut rest) = encode(sequence, &reply, frame) {
            while !rest.is_empty() {
                match link.write(rest)? {
                    0 => return Ok(()),
                    written => rest = &rest[written..],
                }
            }
            link.flush()?;
        }
    }
    Ok(())
}

fn answer<'f, T: Timer, P: OutputPin>(
    message: &[u8],
    facts: &Facts<'f>,
    meter: &mut Meter<T, P>,
    service: &mut impl Service,
) -> Result<Reply<'f>, Refusal> {
    match parse(message) {
        Some(Request::Hello) => Ok(Reply::Hello { facts: *facts, capacity: service.capacity() }),
        Some(request) => service.answer(request, meter),
        None => Err(Refusal::Unreadable),
    }
}

/// Reads up to the next 0. The frame's length without it, `Some(None)` if that was too much for a frame; `None` if
/// the other side is gone. An empty frame is none: a host sends a 0 to be sure that its next frame is a frame.
fn receive<L: Read>(link: &mut L, frame: &mut Frame) -> Result<Option<Option<usize>>, L::Error> {
    let mut len = 0;
    loop {
        let mut byte = [0];
        if link.read(&mut byte)? == 0 {
            return Ok(None);
        }
        match byte {
            [0] if len == 0 => {}
            [0] => return Ok(Some((len <= frame.len()).then_some(len))),
            [byte] => {
                if let Some(place) = frame.get_mut(len) {
                    *place = byte;
                }
                len = len.saturating_add(1);
            }
        }
    }
}
