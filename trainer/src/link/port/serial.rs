//! Serial lines: a device file, set to raw bytes at a rate.

use std::io::{ErrorKind, Read, Result, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serialport::{ClearBuffer, SerialPort, TTYPort};

/// How long a reader waits before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);
/// How long a line may take no byte.
const SEND_WITHIN: Duration = Duration::from_secs(10);

/// Opens a line for reading and for writing, for this program alone; what had been sent before is dropped. A reader of
/// it ends when the device is unplugged, or the writer is dropped.
pub(super) fn open(path: &str, baud: u32) -> Result<(Input, Output)> {
    let line = TTYPort::open(&serialport::new(path, baud).timeout(LOOK))?;
    line.clear(ClearBuffer::All)?;
    let mut output = line.try_clone_native()?;
    output.set_timeout(SEND_WITHIN)?;
    let wanted = Arc::new(AtomicBool::new(true));
    Ok((Input { line, wanted: wanted.clone() }, Output { line: output, wanted }))
}

/// What comes from the line.
pub(super) struct Input {
    line: TTYPort,
    wanted: Arc<AtomicBool>,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.wanted.load(Ordering::Relaxed) {
            match self.line.read(buffer) {
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                read => return read,
            }
        }
        Ok(0)
    }
}

/// What goes to the line.
pub(super) struct Output {
    line: TTYPort,
    wanted: Arc<AtomicBool>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.line.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.line.flush()
    }
}

impl Drop for Output {
    /// Waits for the reader to let go, so that the line can be opened again at once and loses no byte to this one.
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
        let until = Instant::now() + 10 * LOOK;
        while Arc::strong_count(&self.wanted) > 1 && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pair of terminals: the other side, and the name of the line.
    fn pair() -> (TTYPort, TTYPort, String) {
        let (mut there, line) = TTYPort::pair().unwrap();
        there.set_timeout(Duration::from_secs(30)).unwrap();
        let name = line.name().unwrap();
        (there, line, name)
    }

    #[test]
    fn a_line_carries_every_byte_both_ways_and_ends_when_the_other_side_is_gone() {
        let (mut there, line, name) = pair();
        // No rate of a list.
        let (mut input, mut output) = open(&name, 250_000).unwrap();
        drop(line);
        let all: Vec<u8> = (0..=255).collect();
        there.write_all(&all).unwrap();
        let mut bytes = [0; 256];
        input.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes[..], all);
        output.write_all(&all).unwrap();
        there.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes[..], all);
        drop(there);
        assert!(matches!(input.read(&mut bytes), Ok(0) | Err(_)));
    }

    #[test]
    fn a_line_is_free_again_when_its_writer_is_dropped() {
        let (mut there, line, name) = pair();
        let (mut input, output) = open(&name, 115_200).unwrap();
        drop(line);
        assert!(open(&name, 115_200).is_err(), "two have it at once");
        let reader = thread::spawn(move || input.read(&mut [0]));
        drop(output);
        assert_eq!(reader.join().unwrap().unwrap(), 0);
        let (mut input, _output) = open(&name, 115_200).unwrap();
        there.write_all(b"again").unwrap();
        let mut bytes = [0; 5];
        input.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"again");
    }
}
