//! Netlink: one request and its replies at a time. No privilege is needed to ask.

mod message;

pub(super) use message::{
    AF_INET, AF_INET6, attribute, attributes, family_of, ip_address, message, messages, number, push,
    push_ip, text,
};
#[cfg(test)]
pub(super) use message::{mangled, nla};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN,
};
use netlink_sys::SocketAddr;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use std::io;
use std::time::Duration;

/// The kernel fills at most this much for one receive of a dump, and only if the buffer has the room.
const BUFFER: usize = 32 * 1024;
/// The kernel answers while it takes the request; this only bounds the wait if it should not.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Receives for one request: 8 MiB, about 5,000 links. More is an error.
const PARTS: usize = 256;
/// `MSG_TRUNC`: the true length is returned, so that a reply that was cut off is noticed.
pub(super) const MSG_TRUNC: i32 = 0x20;

/// A netlink socket that asks one thing at a time.
///
/// After an error other than the kernel's own answer it is to be dropped: replies may still be on their way.
#[derive(Debug)]
pub struct Socket {
    socket: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// `protocol` is one of [`netlink_sys::protocols`].
    ///
    /// # Errors
    /// The kernel has no such protocol, or the process has no descriptor left.
    pub fn open(protocol: isize) -> io::Result<Socket> {
        let socket = netlink_sys::Socket::new(protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_LIMIT))?;
        // Kernels before 4.20 do not know it, and do without.
        let _ = socket.set_netlink_get_strict_chk(true);
        Ok(Socket { socket, sequence: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Sends one message and gives type and body of every reply to `reply`, until the kernel says that it was
    /// the last one. `flags` come on top of `NLM_F_REQUEST`; what is not a dump is acknowledged.
    ///
    /// # Errors
    /// The error that the kernel answers with; `Interrupted` for a dump that is inconsistent because
    /// something changed meanwhile (to be repeated); `TimedOut` after 1 s of silence; `InvalidData` for a
    /// broken reply.
    pub fn request(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut reply: impl FnMut(u16, &[u8]),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let end = if flags & NLM_F_DUMP == NLM_F_DUMP { 0 } else { NLM_F_ACK };
        let message = message(kind, NLM_F_REQUEST | flags | end, self.sequence, body);
        self.socket.send_to(&message, &SocketAddr::new(0, 0), 0)?;
        let mut consistent = true;
        for _ in 0..PARTS {
            self.receive()?;
            for part in messages(&self.buffer) {
                let part = part?;
                if part.sequence != self.sequence {
                    continue;
                }
                consistent &= part.flags & NLM_F_DUMP_INTR == 0;
                match part.kind {
                    NLMSG_DONE | NLMSG_ERROR => return verdict(part.body, consistent),
                    NLMSG_OVERRUN => return Err(io::ErrorKind::InvalidData.into()),
                    NLMSG_NOOP => {}
                    kind => reply(kind, part.body),
                }
            }
        }
        Err(io::ErrorKind::FileTooLarge.into())
    }

    /// One datagram of the kernel into the buffer; what another process sends is left out.
    fn receive(&mut self) -> io::Result<()> {
        self.buffer.clear();
        match self.socket.recv_from(&mut self.buffer, MSG_TRUNC) {
            Ok((length, _)) if length > self.buffer.len() => Err(io::ErrorKind::FileTooLarge.into()),
            Ok((_, sender)) => {
                if sender.port_number() != 0 {
                    self.buffer.clear();
                }
                Ok(())
            }
            // A signal: a receive with a timeout is not restarted by the kernel. It counts as a part.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
            Err(error) => Err(error),
        }
    }
}

/// Result code at the end of the replies: 0, or an error number below 0.
fn verdict(body: &[u8], consistent: bool) -> io::Result<()> {
    let code = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    match code {
        0 if consistent => Ok(()),
        0 => Err(io::ErrorKind::Interrupted.into()),
        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_sys::protocols::NETLINK_ROUTE;

    #[test]
    fn the_kernels_refusal_is_an_error_and_the_socket_stays_usable() {
        let mut socket = Socket::open(NETLINK_ROUTE).expect("a socket");
        // A link that is not there.
        let mut body = [0; 16];
        body[4..8].copy_from_slice(&0x7fff_0000_u32.to_ne_bytes());
        let error = socket.request(18, 0, &body, |_, _| {}).expect_err("no such link");
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NODEV.raw_os_error()));
        let mut replies = 0;
        socket.request(18, NLM_F_DUMP, &[0; 16], |_, _| replies += 1).expect("a dump");
        assert!(replies > 0);
    }
}
