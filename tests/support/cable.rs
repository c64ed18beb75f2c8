//! A cable between two namespaces, in user space: TAP links with a delay, and a carrier that is switched as a driver
//! switches it. The kernels of small machines have no netem; and unlike a veth's, the loss of this carrier is told
//! with the kernel's own delay (up to 1 s for a link that flaps).

use super::namespace::Namespace;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// linux/if_tun.h.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca_u32 as libc::Ioctl;
const TUNSETCARRIER: libc::Ioctl = 0x4004_54e2_u32 as libc::Ioctl;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
/// Frames under way; more are dropped, as a switch does.
const QUEUE: usize = 4096;

/// One end's namespace and the name of its link.
pub type End<'a> = (&'a Namespace, &'a str);

/// Both links are gone with it.
pub struct Cable {
    ends: [Arc<File>; 2],
    /// Nothing is carried by a cable that is pulled out, whenever the kernel comes to tell of it.
    plugged: Arc<AtomicBool>,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Cable {
    /// Every frame takes `delay` in either direction. The links exist afterwards, switched off.
    pub fn between(a: End, b: End, delay: Duration) -> io::Result<Cable> {
        let ends = [Arc::new(tap(a)?), Arc::new(tap(b)?)];
        let (stop, stopped) = UnixStream::pair()?;
        let plugged = Arc::new(AtomicBool::new(true));
        let (carried, is_plugged) = (ends.clone(), Arc::clone(&plugged));
        let thread = thread::spawn(move || carry(&carried, delay, &is_plugged, &stopped));
        Ok(Cable { ends, plugged, stop: Some(stop), thread: Some(thread) })
    }

    /// What the first end's link sees.
    pub fn carrier(&self, on: bool) {
        self.plugged.store(on, Ordering::SeqCst);
        let on = libc::c_int::from(on);
        // SAFETY: TUNSETCARRIER reads one int from a place that is valid for it.
        let done = unsafe { libc::ioctl(self.ends[0].as_raw_fd(), TUNSETCARRIER, &raw const on) };
        assert!(done == 0, "TUNSETCARRIER: {}", io::Error::last_os_error());
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // The thread sees the end of the stream, and holds the links until it has ended.
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the cable's thread panicked");
    }
}

fn tap((namespace, name): End) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    // struct ifreq: 16 bytes of name, flags, and room for what is not used here.
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&(IFF_TAP | IFF_NO_PI).to_ne_bytes());
    namespace.enter(|| {
        let file = options.open("/dev/net/tun")?;
        // SAFETY: TUNSETIFF reads and writes one ifreq at a place that is valid for it.
        match unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) } {
            0 => Ok(file),
            _ => Err(io::Error::last_os_error()),
        }
    })
}

/// Until the other side of `stopped` is closed.
fn carry(ends: &[Arc<File>; 2], delay: Duration, plugged: &AtomicBool, stopped: &UnixStream) {
    let mut under_way: VecDeque<(Instant, usize, Vec<u8>)> = VecDeque::new();
    let mut buffer = vec![0; 65_536];
    loop {
        while under_way.front().is_some_and(|(due, ..)| *due <= Instant::now()) {
            let (_, to, frame) = under_way.pop_front().expect("one is there");
            // An end that is switched off takes nothing.
            let _ = (&*ends[to]).write(&frame);
        }
        let left = under_way.front().map(|(due, ..)| due.saturating_duration_since(Instant::now()));
        let left = left.map(|left| Timespec { tv_sec: 0, tv_nsec: left.subsec_nanos().into() });
        let mut fds = [&ends[0], &ends[1]].map(|end| PollFd::new(end, PollFlags::IN)).to_vec();
        fds.push(PollFd::new(stopped, PollFlags::IN));
        if poll(&mut fds, left.as_ref()).is_err() {
            continue;
        }
        if !fds[2].revents().is_empty() {
            return;
        }
        for (from, end) in ends.iter().enumerate() {
            while let Ok(length @ 1..) = (&**end).read(&mut buffer) {
                if under_way.len() < QUEUE && plugged.load(Ordering::SeqCst) {
                    under_way.push_back((Instant::now() + delay, 1 - from, buffer[..length].to_vec()));
                }
            }
        }
    }
}
