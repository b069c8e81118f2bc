//! Ways to a board: whatever carries bytes there and back.

pub mod rtt;
mod serial;

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::child::Child;

/// How long a connection over a network may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What carries bytes to a board and back. It can be opened again after the board, or what is between, has gone.
///
/// ```
/// use std::fmt;
/// use std::net::{SocketAddr, TcpStream};
///
/// use trainer::link::{Port, Streams};
///
/// /// A board behind a socket.
/// struct Socket(SocketAddr);
///
/// impl fmt::Display for Socket {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         write!(f, "the board at {}", self.0)
///     }
/// }
///
/// impl Port for Socket {
///     fn open(&self) -> anyhow::Result<Streams> {
///         let stream = TcpStream::connect(self.0)?;
///         Ok(Streams { input: Box::new(stream.try_clone()?), output: Box::new(stream), child: None, said: None })
///     }
/// }
///
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let port = Socket(listener.local_addr()?);
/// assert!(port.open().is_ok() && port.patience().as_secs() == 30);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub trait Port: Send + Sync + fmt::Display {
    /// Opens it; a program that it starts belongs to the thread that does.
    ///
    /// # Errors
    /// One line that says what to do.
    fn open(&self) -> Result<Streams>;

    /// How long the board may take for one answer.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

/// An open port.
pub struct Streams {
    /// From the board. Ends when the other side is gone.
    pub input: Box<dyn Read + Send>,
    /// To the board.
    pub output: Box<dyn Write + Send>,
    /// The program that is between, or is the board.
    pub child: Option<Child>,
    /// Where there is no program: what ended the link, once it has.
    pub said: Option<Receiver<String>>,
}

/// The port of an address: `exec:COMMAND`, `tcp:HOST:PORT` or `serial:PATH:BAUD`. For `rtt:` a board must be known:
/// [`rtt::Rtt`].
///
/// # Errors
/// Says which there are.
pub fn parse(address: &str) -> Result<Box<dyn Port>> {
    let Some((kind, rest)) = address.split_once(':') else { bail!("{address} is no link; {FORMS}") };
    match kind {
        "exec" => {
            ensure!(!rest.trim().is_empty(), "exec: names no command; {FORMS}");
            Ok(Box::new(Exec(rest.into())))
        }
        "tcp" => {
            let port = rest.rsplit_once(':').and_then(|(host, port)| (!host.is_empty()).then(|| port.parse::<u16>()));
            ensure!(matches!(port, Some(Ok(_))), "{address} names no host and port; {FORMS}");
            Ok(Box::new(Tcp(rest.into())))
        }
        "serial" => {
            let (path, baud) = rest.rsplit_once(':').with_context(|| format!("{address} names no rate; {FORMS}"))?;
            let baud = baud.parse().ok().filter(|&baud| baud > 0);
            let baud =
                baud.with_context(|| format!("{address}: the rate is no number of bits a second, such as 115200"))?;
            Ok(Box::new(Serial { path: path.into(), baud }))
        }
        "rtt" => bail!("{address} is for boards whose board.toml names their chip: kind = \"rtt\", chip = …"),
        _ => bail!("{address} is no link; {FORMS}"),
    }
}

const FORMS: &str = "give exec:COMMAND, tcp:HOST:PORT, serial:PATH:BAUD or rtt:SERIAL";

/// A program that speaks over its stdin and stdout.
#[derive(Clone, Debug)]
pub struct Program {
    /// It and its arguments.
    pub command: Vec<String>,
    /// What to say where it is not installed.
    pub missing: String,
    /// See [`Port::patience`].
    pub patience: Duration,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.command.join(" "))
    }
}

impl Port for Program {
    fn open(&self) -> Result<Streams> {
        let [program, arguments @ ..] = &self.command[..] else { bail!("a link's program has no name") };
        let mut command = Command::new(program);
        command.args(arguments);
        spawn(command).map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow!("{}", self.missing),
            _ => anyhow!("cannot start {program}: {error}"),
        })
    }

    fn patience(&self) -> Duration {
        self.patience
    }
}

/// A command of the user's, for a shell.
struct Exec(String);

impl fmt::Display for Exec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exec:{}", self.0)
    }
}

impl Port for Exec {
    fn open(&self) -> Result<Streams> {
        let mut command = Command::new("sh");
        // In the shell's place, so that it ends with this program.
        command.args(["-c", &format!("exec {}", self.0)]);
        spawn(command).with_context(|| format!("cannot start {self}"))
    }
}

fn spawn(command: Command) -> std::io::Result<Streams> {
    let (child, stdin, stdout) = Child::spawn(command)?;
    Ok(Streams { input: Box::new(stdout), output: Box::new(stdin), child: Some(child), said: None })
}

/// A board behind a socket, such as an emulator's or a terminal server's.
struct Tcp(String);

impl fmt::Display for Tcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tcp:{}", self.0)
    }
}

impl Port for Tcp {
    fn open(&self) -> Result<Streams> {
        let open = || -> std::io::Result<Streams> {
            let addresses = self.0.to_socket_addrs()?;
            let mut failure = ErrorKind::AddrNotAvailable.into();
            for address in addresses {
                match TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
                    Ok(stream) => {
                        stream.set_nodelay(true)?;
                        let output = Box::new(Socket(stream.try_clone()?));
                        return Ok(Streams { input: Box::new(stream), output, child: None, said: None });
                    }
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        };
        open().with_context(|| format!("cannot reach {self}; is the board on, and its port right?"))
    }
}

/// The sending half, which closes both when it is dropped: the reading half belongs to a thread that waits.
struct Socket(TcpStream);

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It may be closed already, which is what is wanted.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

/// A serial line of this machine.
struct Serial {
    path: String,
    baud: u32,
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "serial:{}:{}", self.path, self.baud)
    }
}

impl Port for Serial {
    fn open(&self) -> Result<Streams> {
        let (input, output) = serial::open(&self.path, self.baud).map_err(|error| match error.kind() {
            ErrorKind::NotFound if Path::new(&self.path).exists() => {
                anyhow!("{} is in use by another program; end that: fuser {}", self.path, self.path)
            }
            ErrorKind::NotFound => anyhow!("there is no {}; is the board plugged in? see: ls /dev/tty*", self.path),
            ErrorKind::PermissionDenied => {
                anyhow!("{} may not be opened by this user; add them to its group: ls -l {}", self.path, self.path)
            }
            _ => anyhow!("cannot open {self}: {error}"),
        })?;
        Ok(Streams { input: Box::new(input), output: Box::new(output), child: None, said: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_said_as_it_was_given() {
        for address in
            ["exec:adb shell /data/probe", "tcp:localhost:4000", "tcp:[::1]:80", "serial:/dev/ttyUSB0:115200"]
        {
            assert_eq!(parse(address).unwrap().to_string(), address);
        }
    }

    #[test]
    fn what_is_no_address_is_told_which_there_are() {
        let check = |address: &str, part: &str| {
            let error = parse(address).err().unwrap().to_string();
            assert!(error.contains(part), "{address}: {error}");
        };
        check("usb", "give exec:COMMAND, tcp:HOST:PORT, serial:PATH:BAUD or rtt:SERIAL");
        check("usb:3", "is no link");
        check("exec: ", "names no command");
        check("tcp:host", "names no host and port");
        check("tcp:host:99999", "names no host and port");
        check("serial:/dev/ttyUSB0", "no rate");
        check("serial:/dev/ttyUSB0:fast", "is no number of bits a second");
        check("serial:/dev/ttyUSB0:0", "is no number of bits a second");
        check("rtt:123", "boards whose board.toml names their chip");
    }

    #[test]
    fn what_cannot_be_opened_says_what_to_do() {
        let check = |address: &str, part: &str| {
            let error = format!("{:#}", parse(address).unwrap().open().err().unwrap());
            assert!(error.contains(part), "{address}: {error}");
        };
        check("tcp:127.0.0.1:1", "is the board on, and its port right?");
        check("serial:/dev/no-such-line:115200", "is the board plugged in?");
        check("serial:/dev/null:115200", "cannot open serial:/dev/null:115200");
    }

    #[test]
    fn a_line_that_another_has_says_so() {
        let (_there, line) = serialport::TTYPort::pair().unwrap();
        let port = parse(&format!("serial:{}:115200", serialport::SerialPort::name(&line).unwrap())).unwrap();
        let _first = port.open().unwrap();
        let error = port.open().err().unwrap().to_string();
        assert!(error.contains("is in use by another program"), "{error}");
    }

    #[test]
    fn a_socket_ends_for_both_sides_when_it_is_dropped() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = parse(&format!("tcp:{}", listener.local_addr().unwrap())).unwrap();
        let Streams { mut input, mut output, .. } = port.open().unwrap();
        let (mut there, _) = listener.accept().unwrap();
        output.write_all(b"to").unwrap();
        there.write_all(b"fro").unwrap();
        let mut bytes = [0; 3];
        input.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"fro");
        drop(output);
        let mut rest = Vec::new();
        there.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"to");
        assert_eq!(input.read(&mut bytes).unwrap(), 0);
    }
}
