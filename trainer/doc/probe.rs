// The board of the documentation's examples: this machine, behind a socket.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use latency_probe::host::{Clock, UNIT};
use latency_probe::{FRAME, Facts, Meter, NoPin, Probe, fill, serve};
use runtime::{Channel, Weights};

/// The address of a probe that answers by the name `host`.
pub fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(|| answer(stream)))));
    format!("tcp:{address}")
}

fn answer(stream: TcpStream) {
    let facts = Facts {
        board: "host",
        core: "none",
        unit: UNIT,
        clock_hz: 0,
        flash_bytes: 0,
        ram_bytes: 0,
        version: latency_probe::VERSION,
        firmware: "made up",
    };
    let (mut channels, mut taps) = (vec![Channel { bias: 0, multiplier: 0 }; 1 << 13], vec![0; 1 << 19]);
    fill(&mut channels, &mut taps);
    let mut arena = vec![0; 1 << 18];
    let mut probe = Probe::new(&mut arena, Weights { channels: &channels, taps: &taps });
    let mut meter = Meter { timer: Clock(Instant::now()), pin: NoPin };
    // It ends when the other side has gone.
    let _ = serve(&mut Wire(stream), &facts, &mut meter, &mut probe, &mut [0; FRAME]);
}

struct Wire(TcpStream);

impl embedded_io::ErrorType for Wire {
    type Error = std::io::Error;
}

impl embedded_io::Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl embedded_io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
