//! Waiting for descriptors.

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::time::Duration;

/// Waits until something happens on `fds`, a signal arrives, or `wait` is over (`None`: for ever). True if something
/// happened. The kernel counts in nanoseconds and is never early, so a wait for what is left of a limit does not spin.
///
/// # Errors
/// poll(2) failed; an interruption by a signal is not an error.
pub fn wait_for(fds: &mut [PollFd], wait: Option<Duration>) -> io::Result<bool> {
    let timeout = wait.map(|wait| Timespec {
        tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    });
    match poll(fds, timeout.as_ref()) {
        Ok(happened) => Ok(happened > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
