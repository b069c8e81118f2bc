//! Serial lines: a device file, set to raw bytes at a rate.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{Error, Result};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// The rates that systems know, and their names for them.
const RATES: [(u32, libc::speed_t); 8] = [
    (9_600, libc::B9600),
    (19_200, libc::B19200),
    (38_400, libc::B38400),
    (57_600, libc::B57600),
    (115_200, libc::B115200),
    (230_400, libc::B230400),
    (460_800, libc::B460800),
    (921_600, libc::B921600),
];

pub(super) fn is_rate(baud: u32) -> bool {
    RATES.iter().any(|(rate, _)| *rate == baud)
}

pub(super) fn rates() -> String {
    RATES.map(|(rate, _)| rate.to_string()).join(", ")
}

/// Opens a line for reading and for writing. A reader of it ends when the device is unplugged.
pub(super) fn open(path: &str, baud: u32) -> Result<(File, File)> {
    // Without O_NOCTTY the line would become this process's terminal; without O_NONBLOCK `open` would wait for a modem.
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let speed = RATES.iter().find(|(rate, _)| *rate == baud).map(|(_, speed)| *speed);
    make_raw(&file, speed.ok_or(Error::from(std::io::ErrorKind::InvalidInput))?)?;
    Ok((file.try_clone()?, file))
}

/// Eight bits as they are, no flow control, reads that wait for a byte; and drops what had been sent before.
fn make_raw(file: &File, speed: libc::speed_t) -> Result<()> {
    let line = file.as_raw_fd();
    let check = |result: i32| if result < 0 { Err(Error::last_os_error()) } else { Ok(()) };
    // SAFETY: settings are plain numbers, and the calls read and write nothing else; the line is open.
    unsafe {
        let mut settings: libc::termios = std::mem::zeroed();
        check(libc::tcgetattr(line, &mut settings))?;
        libc::cfmakeraw(&mut settings);
        settings.c_cflag |= libc::CLOCAL | libc::CREAD;
        settings.c_cflag &= !libc::CRTSCTS;
        settings.c_cc[libc::VMIN] = 1;
        settings.c_cc[libc::VTIME] = 0;
        check(libc::cfsetspeed(&mut settings, speed))?;
        check(libc::tcsetattr(line, libc::TCSANOW, &settings))?;
        check(libc::tcflush(line, libc::TCIOFLUSH))?;
        let flags = libc::fcntl(line, libc::F_GETFL);
        check(flags)?;
        check(libc::fcntl(line, libc::F_SETFL, flags & !libc::O_NONBLOCK))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;
    use std::io::{Read, Write};
    use std::os::fd::FromRawFd;

    use super::*;

    /// A pair of terminals, of which the second one is opened as a serial line.
    #[test]
    fn a_line_carries_every_byte_both_ways_and_ends_when_the_other_side_is_gone() {
        let (mut master, mut slave) = (0, 0);
        let mut name = [0; 256];
        // SAFETY: the name of a pseudo-terminal is shorter than 256 bytes; the other pointers may be null.
        let opened = unsafe {
            libc::openpty(&mut master, &mut slave, name.as_mut_ptr(), std::ptr::null_mut(), std::ptr::null_mut())
        };
        assert_eq!(opened, 0);
        // SAFETY: `openpty` ended it with a 0, and opened both.
        let (path, mut there, other) =
            unsafe { (CStr::from_ptr(name.as_ptr()), File::from_raw_fd(master), File::from_raw_fd(slave)) };
        let (mut input, mut output) = open(path.to_str().unwrap(), 115_200).unwrap();
        drop(other);
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
}
