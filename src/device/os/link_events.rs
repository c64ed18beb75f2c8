//! Netlink events: changes of links, addresses, default routes and neighbours.
//!
//! A socket of its own, apart from requests: events that pile up must not delay an answer. No privilege is needed.

use super::links::{
    Address, IFLA_OPERSTATE, LINK_HEADER, Link, RTM_NEWADDR, RTM_NEWLINK, parse_address, parse_link,
};
use super::neighbours::{NUD_DELAY, NUD_INCOMPLETE, NUD_PROBE, Neighbour, RTM_DELNEIGH, RTM_NEWNEIGH};
use super::netlink::{MSG_TRUNC, attribute, messages};
use super::routes::{RTM_DELROUTE, RTM_NEWROUTE};
use super::rules::RTM_NEWRULE;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use socket2::{SockFilter, SockRef};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// 4 KB overflow at 400 address changes; this has room for some thousands. Without CAP_NET_ADMIN the kernel gives
/// what `net.core.rmem_max` allows, 208 KiB by default.
const QUEUE: usize = 1024 * 1024;
/// One event has less than 4 KiB.
const BUFFER: usize = 32 * 1024;
/// Datagrams read before the caller has a look at them; the rest stays for the next time.
const BURST: usize = 256;

const RTM_DELLINK: u16 = 17;
const RTM_DELADDR: u16 = 21;
const RTM_DELRULE: u16 = 33;
const LOCAL_TABLE: u8 = 255;
/// `RTNLGRP_*` of `linux/rtnetlink.h`: link, IPv4 and IPv6 addresses, IPv4 and IPv6 routes, IPv4 and IPv6 rules;
/// neighbours.
const GROUPS: [u32; 7] = [1, 5, 9, 7, 11, 8, 19];
const NEIGHBOURS: u32 = 3;

/// One event.
#[derive(Debug)]
pub enum Change {
    Link {
        link: Link,
        /// It says whether the link may carry packets; a wireless event has the flags alone.
        whole: bool,
    },
    LinkGone {
        index: u32,
    },
    Address {
        index: u32,
        address: Address,
        gone: bool,
    },
    DefaultRoute,
    /// A route to a part of the network.
    Route,
    /// A rule of policy routing.
    Rule,
    Neighbour(Neighbour),
}

#[derive(Debug)]
pub struct Events {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Events {
    /// Hears of `neighbours` too, which are many, only if they are wanted.
    pub fn open(neighbours: bool) -> io::Result<Events> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        if set_socket_recv_buffer_size_force(&socket, QUEUE).is_err() {
            set_socket_recv_buffer_size(&socket, QUEUE)?;
        }
        if neighbours {
            // Without it there are more events, nothing worse.
            let _ = SockRef::from(&socket).attach_filter(&without_requests());
        }
        for group in GROUPS.into_iter().chain(neighbours.then_some(NEIGHBOURS)) {
            socket.add_membership(group)?;
        }
        Ok(Events { socket, buffer: Vec::with_capacity(BUFFER) })
    }

    /// Passes each pending event to `each`, which returns whether more are likely. Returns true if events were lost: the
    /// whole state must be read again.
    pub fn receive(&mut self, mut each: impl FnMut(Change) -> bool) -> io::Result<bool> {
        let (mut lost, mut more) = (false, true);
        for _ in 0..BURST {
            if !more {
                break;
            }
            self.buffer.clear();
            match self.socket.recv_from(&mut self.buffer, MSG_TRUNC) {
                Ok((length, sender)) if from_kernel(&sender) => {
                    lost |= length > self.buffer.len();
                    more = false;
                    lost |= !read(&self.buffer, &mut |change| more |= each(change));
                    more |= lost;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(lost),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The kernel dropped events, which it reports once.
                Err(error) if error.raw_os_error() == Some(NOBUFS) => lost = true,
                Err(error) => return Err(error),
            }
        }
        Ok(lost)
    }
}

/// Drops events of neighbours to which requests are in flight. Gateways are probed several times a second, the kernel
/// publishes an event for each request, and each event would wake the thread. Classic BPF sees the message in the byte order
/// of the host, and reads 16 bits in network order: `nlmsg_type` at 4, `ndm_state` at 24.
fn without_requests() -> [SockFilter; 6] {
    const LOAD_HALF: u16 = 0x28;
    const IF_EQUAL: u16 = 0x15;
    const IF_ANY_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    let in_flight = NUD_INCOMPLETE | NUD_DELAY | NUD_PROBE;
    [
        SockFilter::new(LOAD_HALF, 0, 0, 4),
        SockFilter::new(IF_EQUAL, 0, 2, RTM_NEWNEIGH.to_be().into()),
        SockFilter::new(LOAD_HALF, 0, 0, 24),
        SockFilter::new(IF_ANY_BIT, 1, 0, in_flight.to_be().into()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

const NOBUFS: i32 = rustix::io::Errno::NOBUFS.raw_os_error();

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn from_kernel(sender: &SocketAddr) -> bool {
    sender.port_number() == 0
}

/// False for a datagram that is cut off or is no netlink.
fn read(datagram: &[u8], each: &mut impl FnMut(Change)) -> bool {
    for message in messages(datagram) {
        let Ok(message) = message else { return false };
        if let Some(change) = parse(message.kind, message.body) {
            each(change);
        }
    }
    true
}

fn parse(kind: u16, body: &[u8]) -> Option<Change> {
    match kind {
        RTM_NEWLINK => {
            let whole = attribute(body.get(LINK_HEADER..)?, IFLA_OPERSTATE).is_some();
            Some(Change::Link { link: parse_link(body)?, whole })
        }
        RTM_DELLINK => Some(Change::LinkGone { index: parse_link(body)?.index }),
        RTM_NEWADDR | RTM_DELADDR => {
            let (index, address) = parse_address(body)?;
            Some(Change::Address { index, address, gone: kind == RTM_DELADDR })
        }
        // `rtm_dst_len` and `rtm_table`: routes to the machine itself come and go with every address.
        RTM_NEWROUTE | RTM_DELROUTE => match (*body.get(1)?, *body.get(4)?) {
            (_, LOCAL_TABLE) => None,
            (0, _) => Some(Change::DefaultRoute),
            _ => Some(Change::Route),
        },
        RTM_NEWRULE | RTM_DELRULE => Some(Change::Rule),
        RTM_NEWNEIGH | RTM_DELNEIGH => Neighbour::parse(kind, body).map(Change::Neighbour),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_reported_except_local_ones() {
        assert!(matches!(parse(RTM_DELROUTE, &[2, 0, 0, 0, 254]), Some(Change::DefaultRoute)));
        assert!(matches!(parse(RTM_NEWROUTE, &[2, 24, 0, 0, 254]), Some(Change::Route)));
        assert!(parse(RTM_NEWROUTE, &[2, 32, 0, 0, 255]).is_none());
        assert!(parse(RTM_NEWROUTE, &[]).is_none());
    }

    #[test]
    fn a_cut_off_datagram_means_that_something_was_lost() {
        assert!(read(&[], &mut |_| {}));
        assert!(!read(&[200, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &mut |_| {}));
    }

    #[test]
    fn the_kernel_accepts_the_filter_of_neighbours() {
        let events = Events::open(true).expect("a socket");
        SockRef::from(&events.socket).attach_filter(&without_requests()).expect("a filter that is sound");
    }

    #[test]
    fn nothing_is_to_be_read_where_nothing_happened() {
        let mut events = Events::open(false).expect("a socket");
        let mut count = 0;
        // Other tests may change links meanwhile; what counts is that it returns.
        assert!(
            !events
                .receive(|_| {
                    count += 1;
                    true
                })
                .expect("readable")
        );
    }
}
