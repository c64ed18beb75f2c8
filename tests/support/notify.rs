//! systemd's side of sd_notify.

use super::SOON;
use super::scratch::Scratch;
use crossbeam_channel::{Receiver, unbounded};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::{Duration, Instant};

/// Receives what is sent to $NOTIFY_SOCKET: assignments such as `READY=1`, and when each came.
pub struct NotifySocket {
    path: String,
    assignments: Receiver<(Instant, String)>,
}

impl NotifySocket {
    pub fn new(scratch: &Scratch) -> NotifySocket {
        let path = scratch.path().join("notify").to_str().expect("UTF-8").to_owned();
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let (sender, assignments) = unbounded();
        thread::spawn(move || {
            let mut datagram = [0; 4096];
            while let Ok(length) = socket.recv(&mut datagram) {
                let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
                for assignment in text.lines() {
                    if sender.send((Instant::now(), assignment.to_owned())).is_err() {
                        return;
                    }
                }
            }
        });
        NotifySocket { path, assignments }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// The next assignment that begins so; others are passed over.
    pub fn wait_for(&self, beginning: &str) -> (Instant, String) {
        let deadline = Instant::now() + SOON;
        loop {
            let (at, assignment) =
                self.assignments.recv_deadline(deadline).unwrap_or_else(|_| panic!("no {beginning} in time"));
            if assignment.starts_with(beginning) {
                return (at, assignment);
            }
        }
    }

    /// All that comes in this time.
    pub fn during(&self, time: Duration) -> Vec<(Instant, String)> {
        let deadline = Instant::now() + time;
        std::iter::from_fn(|| self.assignments.recv_deadline(deadline).ok()).collect()
    }
}
