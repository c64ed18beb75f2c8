//! The kernel's statistics of a TCP connection (`TCP_INFO`). Reading them needs no privilege.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// The way to the other side, as the kernel measures it: no thread's wait for a processor is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Bytes have been sent that the other side's kernel has not acknowledged.
    pub waits: bool,
    /// Since the last acknowledgement, in steps of a clock tick.
    pub silent: Duration,
    /// Smoothed round trip, and its mean deviation.
    pub rtt: Duration,
    pub deviation: Duration,
}

pub fn path(socket: impl AsFd) -> io::Result<Path> {
    // SAFETY: tcp_info consists of integers alone, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    // A structure of some 200 bytes; an older kernel fills in less of it, and says how much.
    let mut length = mem::size_of_val(&info) as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    let pointer = (&raw mut info).cast();
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most `length` bytes into a
    // structure of our own that has as many, before the call returns.
    let result = unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, pointer, &raw mut length) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Path {
        waits: info.tcpi_unacked > 0,
        silent: Duration::from_millis(info.tcpi_last_ack_recv.into()),
        rtt: Duration::from_micros(info.tcpi_rtt.into()),
        deviation: Duration::from_micros(info.tcpi_rttvar.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn what_has_been_answered_waits_no_longer_and_has_a_round_trip() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (mut server, _) = listener.accept().expect("a connection");
        client.write_all(b"?").expect("written");
        server.read_exact(&mut [0]).expect("read");
        server.write_all(b"!").expect("written");
        client.read_exact(&mut [0]).expect("read");
        let path = path(&client).expect("a TCP socket");
        assert!(!path.waits);
        assert!(path.rtt > Duration::ZERO && path.rtt < Duration::from_secs(10), "{path:?}");
    }

    #[test]
    fn what_is_no_tcp_socket_is_an_error() {
        path(UdpSocket::bind("127.0.0.1:0").expect("bound")).expect_err("UDP");
    }
}
