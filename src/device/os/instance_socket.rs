//! One instance at a time where no pid file can be made: an abstract Unix socket, which needs no file system.

use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Part of an abstract name that may be used for the path: `sun_path` has 108 bytes.
const LONGEST: usize = 80;

/// Connections that are queued and never accepted: each refused start adds one. The kernel's own limit
/// (net.core.somaxconn) is as high.
const CONNECTIONS: i32 = 4096;

/// Held until it is dropped, or until its process has ended.
#[derive(Debug)]
pub struct InstanceSocket {
    _listener: OwnedFd,
}

impl InstanceSocket {
    /// `None` if another instance with the same pid file holds it.
    ///
    /// # Errors
    /// No socket can be made, or another user's program holds the name.
    pub fn lock(pid_file: &Path) -> io::Result<Option<InstanceSocket>> {
        let address = address(pid_file)?;
        let listener = stream()?;
        match bind(&listener, &address) {
            Ok(()) => {
                listen(&listener, CONNECTIONS)?;
                Ok(Some(InstanceSocket { _listener: listener }))
            }
            Err(Errno::ADDRINUSE) if is_held_by_us(&address)? => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether an instance that could not make its pid file runs.
    pub fn is_held(pid_file: &Path) -> bool {
        address(pid_file).and_then(|address| is_held_by_us(&address)).unwrap_or(false)
    }
}

/// Any user can take any abstract name. Only root and our own user are believed, or a stranger could keep the daemon
/// from starting.
fn is_held_by_us(address: &SocketAddrUnix) -> io::Result<bool> {
    let socket = stream()?;
    match connect(&socket, address) {
        Ok(()) => {
            let holder = socket_peercred(&socket)?.uid;
            Ok(holder.is_root() || holder == rustix::process::geteuid())
        }
        // A full queue shows no owner, and only a stranger's is ever full.
        Err(Errno::AGAIN) => Ok(false),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn stream() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// The pid file's path is in the name, so that daemons with different pid files may run side by side. The end of a long
/// path is replaced by its hash.
fn address(pid_file: &Path) -> io::Result<SocketAddrUnix> {
    let path = pid_file.as_os_str().as_bytes();
    let mut name = b"heartbeat-daemon:".to_vec();
    match path.get(LONGEST..) {
        None => name.extend(path),
        Some(end) => {
            let mut hasher = DefaultHasher::new();
            end.hash(&mut hasher);
            name.extend(&path[..LONGEST - 16]);
            name.extend(format!("{:016x}", hasher.finish()).bytes());
        }
    }
    Ok(SocketAddrUnix::new_abstract_name(&name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    #[test]
    fn one_instance_holds_it_and_the_next_one_may_have_it_afterwards() {
        let directory = tempfile::tempdir().expect("a directory");
        for path in [directory.path().join("pid"), directory.path().join("x".repeat(200))] {
            assert!(!InstanceSocket::is_held(&path));
            let first = InstanceSocket::lock(&path).expect("a socket").expect("free");
            for _ in 0..5 {
                assert!(InstanceSocket::lock(&path).expect("a socket").is_none());
                assert!(InstanceSocket::is_held(&path));
            }
            let other = PathBuf::from(format!("{}2", path.display()));
            assert!(InstanceSocket::lock(&other).expect("a socket").is_some(), "another pid file");
            drop(first);
            // A process that another test has forked holds a copy until it executes its program.
            let deadline = Instant::now() + Duration::from_secs(10);
            while InstanceSocket::is_held(&path) {
                assert!(Instant::now() < deadline, "held after it was dropped");
                std::thread::yield_now();
            }
            assert!(InstanceSocket::lock(&path).expect("a socket").is_some());
        }
    }
    #[test]
    fn a_stranger_whose_queue_is_full_keeps_no_daemon_from_starting() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pid");
        let stranger = stream().expect("a socket");
        let address = address(&path).expect("an address");
        bind(&stranger, &address).expect("free");
        listen(&stranger, 0).expect("it listens");
        let queued = stream().expect("a socket");
        connect(&queued, &address).expect("room for one");
        assert!(!InstanceSocket::is_held(&path), "its owner cannot be asked");
        assert!(InstanceSocket::lock(&path).is_err(), "a warning, and the daemon runs");
    }
}
