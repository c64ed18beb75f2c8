//! Running another program with a time limit that holds.

use super::wait::wait_for;
use crate::clock::remaining_or_timeout;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// More than any program that is run here prints.
const OUTPUT_LIMIT: usize = 64 * 1024;

/// Standard output and exit status of a program.
#[derive(Debug)]
pub struct ProgramOutput {
    pub status: ExitStatus,
    pub text: String,
}

/// Runs `program` and waits for its end, at most for `limit`; then it is killed.
///
/// # Errors
/// The program cannot be started, or does not end in time (`TimedOut`), or says more than 64 KiB.
pub fn output<A: AsRef<OsStr>>(
    program: &Path,
    arguments: &[A],
    limit: Duration,
) -> io::Result<ProgramOutput> {
    let deadline = Instant::now() + limit;
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let result = listen(&mut child, deadline);
    // Nothing to do about an error: the child has ended already, or it ends now.
    let _ = child.kill();
    let status = child.wait()?;
    result.map(|text| ProgramOutput { status, text })
}

fn listen(child: &mut Child, deadline: Instant) -> io::Result<String> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let mut stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut output = Vec::new();
    let mut open = true;
    // Until the output is closed and the process has ended: a program may close one long before the other.
    while open || !has_ended(&ended, Duration::ZERO)? {
        let left = remaining_or_timeout(deadline)?;
        match open {
            true => open = read_some(&mut stdout, &ended, &mut output, left)?,
            false => _ = has_ended(&ended, left)?,
        }
    }
    Ok(String::from_utf8_lossy(&output).into_owned())
}

fn has_ended(process: &OwnedFd, wait: Duration) -> io::Result<bool> {
    wait_for(&mut [PollFd::new(process, PollFlags::IN)], Some(wait))
}

/// False once there is nothing more to read: the pipe is closed, or the process has ended and the pipe is empty
/// (a grandchild may hold it open for ever).
fn read_some(
    stdout: &mut ChildStdout,
    ended: &OwnedFd,
    output: &mut Vec<u8>,
    wait: Duration,
) -> io::Result<bool> {
    let mut fds =
        [PollFd::new(stdout, PollFlags::IN), PollFd::from_borrowed_fd(ended.as_fd(), PollFlags::IN)];
    wait_for(&mut fds, Some(wait))?;
    let (readable, gone) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
    if !readable {
        return Ok(!gone);
    }
    let mut chunk = [0; 4096];
    let length = stdout.read(&mut chunk)?;
    output.extend_from_slice(&chunk[..length]);
    if output.len() > OUTPUT_LIMIT {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: &str = "/bin/sh";

    fn shell(script: &str, limit: Duration) -> io::Result<ProgramOutput> {
        output(Path::new(SHELL), &["-c", script], limit)
    }

    #[test]
    fn a_programs_output_and_status_are_returned() {
        let said = shell("echo hello; exit 3", Duration::from_secs(20)).expect("it ran");
        assert_eq!((said.text.as_str(), said.status.code()), ("hello\n", Some(3)));
    }

    #[test]
    fn a_program_that_hangs_is_killed_at_the_limit() {
        let begin = Instant::now();
        let error = shell("exec sleep 60", Duration::from_millis(100)).expect_err("too slow");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_grandchild_that_keeps_the_pipe_open_is_not_waited_for() {
        let said = shell("sleep 60 & echo done", Duration::from_secs(20)).expect("it ran");
        assert_eq!(said.text, "done\n");
    }

    #[test]
    fn endless_output_is_cut_off() {
        let error = shell("while :; do echo endless; done", Duration::from_secs(20)).expect_err("too much");
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = output(Path::new("/nowhere/vcgencmd"), &["measure_temp"], Duration::from_secs(1));
        assert_eq!(error.expect_err("absent").kind(), io::ErrorKind::NotFound);
    }
}
