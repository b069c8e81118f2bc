//! Child processes that end when this one does, however it ends.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Child as Process, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use std::{io, thread};

/// Lines of a child's stderr that are kept for its obituary.
const LAST_LINES: usize = 40;

/// A running child, killed when dropped. The kernel kills it too when the thread that spawned it ends: spawn it
/// in the thread that keeps it.
#[derive(Debug)]
pub struct Child {
    process: Process,
    last_lines: Receiver<Vec<String>>,
}

impl Child {
    /// Starts it with its stdin, stdout and stderr in pipes.
    ///
    /// # Errors
    /// The system's, such as [`io::ErrorKind::NotFound`] for a program that is not installed.
    pub fn spawn(mut command: Command) -> io::Result<(Self, ChildStdin, ChildStdout)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        die_with_parent(&mut command);
        let mut process = command.spawn()?;
        let pipes = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else { unreachable!("all three are piped") };
        Ok((Self { process, last_lines: read_last_lines(stderr) }, stdin, stdout))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.process.wait()
    }

    /// Ends it; what it said last on stderr, in lines.
    pub fn last_words(mut self) -> Vec<String> {
        self.kill();
        // A grandchild may hold the pipe open.
        self.last_lines.recv_timeout(Duration::from_secs(1)).unwrap_or_default()
    }

    fn kill(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Reads until the other end is closed, so that the child never blocks on a full pipe.
fn read_last_lines(stderr: ChildStderr) -> Receiver<Vec<String>> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut last = VecDeque::new();
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(String::from_utf8_lossy(&line).trim_end().to_string());
        }
        let _ = send.send(last.into());
    });
    receive
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    let parent = std::process::id();
    let ask_the_kernel = move || {
        // SAFETY: both are single system calls without pointers, which may be made between fork and exec.
        let (asked, parent_now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
        match asked {
            0 if parent_now as u32 == parent => Ok(()),
            // The parent ended before it was asked.
            0 => Err(io::ErrorKind::BrokenPipe.into()),
            _ => Err(io::Error::last_os_error()),
        }
    };
    // SAFETY: the closure makes system calls only: no allocation, no lock that another thread might hold.
    unsafe { command.pre_exec(ask_the_kernel) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent(_: &mut Command) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    /// Whether a process of that number runs: a zombie does not.
    fn runs(id: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(')').next().and_then(|rest| rest.trim().chars().next()).is_some_and(|state| state != 'Z')
    }

    fn wait_for_the_end_of(id: u32) {
        for _ in 0..10_000 {
            if !runs(id) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("the child {id} still runs");
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let (child, ..) = Child::spawn(shell("sleep 1000")).unwrap();
        let id = child.process.id();
        assert!(runs(id));
        drop(child);
        assert!(!runs(id));
    }

    #[test]
    fn a_child_ends_with_the_thread_that_spawned_it_even_undropped() {
        let id = thread::spawn(|| {
            let (child, stdin, stdout) = Child::spawn(shell("exec sleep 1000")).unwrap();
            let id = child.process.id();
            std::mem::forget((child, stdin, stdout));
            id
        });
        wait_for_the_end_of(id.join().unwrap());
    }

    #[test]
    fn the_last_words_are_the_last_lines() {
        let (mut child, ..) = Child::spawn(shell("for i in $(seq 60); do echo line $i >&2; done; exit 3")).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(3));
        let words = child.last_words();
        assert_eq!((words.len(), words.first().unwrap().as_str()), (LAST_LINES, "line 21"));
        assert_eq!(words.last().unwrap(), "line 60");
    }

    #[test]
    fn a_program_that_is_missing_is_not_found() {
        let error = Child::spawn(Command::new("no-such-program-anywhere")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
