//! Carries bytes between a link and rings in a board's memory, which nobody announces: it must be looked.

use std::io::{ErrorKind, Result, Write, pipe};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use super::super::Streams;

/// The first pause after a look that found nothing; each further one is twice as long, up to [`LONGEST_PAUSE`]: what a
/// probe reads takes cycles from the core, which may be timing a layer.
const PAUSE: Duration = Duration::from_micros(250);
const LONGEST_PAUSE: Duration = Duration::from_millis(16);

/// Rings of bytes in the memory of a board.
pub(super) trait Rings: Send + 'static {
    /// Takes what the board has sent; 0 if it is nothing.
    ///
    /// # Errors
    /// If the board is gone.
    fn read(&mut self, buffer: &mut [u8]) -> anyhow::Result<usize>;

    /// Gives the board as much as there is room for.
    ///
    /// # Errors
    /// If the board is gone.
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<usize>;
}

/// The rings as a link. It ends when its output is dropped, or the board is gone.
pub(super) fn start(mut rings: impl Rings) -> anyhow::Result<Streams> {
    let (input, mut to_host) = pipe()?;
    let (output, from_host) = mpsc::channel();
    let (said, last_words) = mpsc::channel();
    thread::spawn(move || {
        if let Err(error) = pump(&mut rings, &from_host, &mut to_host) {
            let _ = said.send(format!("{error:#}").replace('\n', " "));
        }
    });
    Ok(Streams { input: Box::new(input), output: Box::new(Output(output)), child: None, said: Some(last_words) })
}

struct Output(Sender<Vec<u8>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fn pump(rings: &mut impl Rings, from_host: &Receiver<Vec<u8>>, to_host: &mut impl Write) -> anyhow::Result<()> {
    let (mut buffer, mut waiting, mut pause) = ([0; 4096], Vec::new(), PAUSE);
    loop {
        match from_host.try_recv() {
            Ok(bytes) => waiting.extend(bytes),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return Ok(()),
        }
        let written = if waiting.is_empty() { 0 } else { rings.write(&waiting)? };
        waiting.drain(..written);
        let read = rings.read(&mut buffer)?;
        if to_host.write_all(&buffer[..read]).is_err() {
            return Ok(());
        }
        pause = if read + written > 0 { PAUSE } else { LONGEST_PAUSE.min(2 * pause) };
        thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::io::Read;
    use std::sync::{Arc, Mutex};

    use anyhow::ensure;

    use super::*;

    /// A board that echoes, by a few bytes at a time, until it is unplugged.
    #[derive(Clone)]
    struct Echo {
        ring: Arc<Mutex<VecDeque<u8>>>,
        room: usize,
        /// Bytes after which it is gone.
        left: Arc<Mutex<usize>>,
    }

    impl Echo {
        fn new(room: usize, left: usize) -> Self {
            Self { ring: Arc::default(), room, left: Arc::new(Mutex::new(left)) }
        }
    }

    impl Rings for Echo {
        fn read(&mut self, buffer: &mut [u8]) -> anyhow::Result<usize> {
            let mut ring = self.ring.lock().unwrap();
            let count = ring.len().min(buffer.len()).min(self.room);
            let mut left = self.left.lock().unwrap();
            ensure!(*left >= count, "USB says: no such device");
            *left -= count;
            buffer.iter_mut().zip(ring.drain(..count)).for_each(|(to, byte)| *to = byte);
            Ok(count)
        }

        fn write(&mut self, bytes: &[u8]) -> anyhow::Result<usize> {
            let mut ring = self.ring.lock().unwrap();
            let count = bytes.len().min(self.room - ring.len().min(self.room));
            ring.extend(&bytes[..count]);
            Ok(count)
        }
    }

    #[test]
    fn every_byte_is_carried_however_small_the_rings() {
        let all: Vec<u8> = (0..=255).cycle().take(2000).collect();
        for room in [1, 7, 4096] {
            let Streams { mut input, mut output, .. } = start(Echo::new(room, usize::MAX)).unwrap();
            output.write_all(&all).unwrap();
            let mut back = vec![0; all.len()];
            input.read_exact(&mut back).unwrap();
            assert_eq!(back, all, "rings of {room} bytes");
        }
    }

    #[test]
    fn a_board_that_is_unplugged_ends_the_link_and_says_why() {
        let Streams { mut input, mut output, said, .. } = start(Echo::new(16, 20)).unwrap();
        output.write_all(&[5; 30]).unwrap();
        let mut back = Vec::new();
        input.read_to_end(&mut back).unwrap();
        assert!(!back.is_empty() && back.len() <= 20, "{back:?}");
        assert_eq!(said.unwrap().recv().unwrap(), "USB says: no such device");
        assert!((0..1000).any(|_| {
            thread::sleep(Duration::from_millis(1));
            output.write_all(&[5]).is_err()
        }));
    }

    #[test]
    fn the_board_is_let_go_when_the_output_is_dropped() {
        let board = Echo::new(16, usize::MAX);
        let Streams { mut input, output, said, .. } = start(board.clone()).unwrap();
        drop(output);
        assert_eq!(input.read(&mut [0]).unwrap(), 0);
        assert!(said.unwrap().recv().is_err(), "it says something, though nothing is wrong");
        assert_eq!(Arc::strong_count(&board.ring), 1);
    }
}
