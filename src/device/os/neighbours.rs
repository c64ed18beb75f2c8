//! The kernel's neighbour tables (ARP for IPv4, neighbour discovery for IPv6): the state of one neighbour, the
//! request to ask it now, and the time between two such questions.
//!
//! Reading needs no privilege; probing and setting need CAP_NET_ADMIN in the network's own user namespace.

use crate::device::os::netlink::{AF_INET, AF_INET6, Socket, attribute, family_of, push, push_ip};
use crate::device::os::routes::address;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP};
use rustix::io::Errno;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// Message types; the first two are also the events of the multicast group `RTNLGRP_NEIGH`.
pub const RTM_NEWNEIGH: u16 = 28;
pub const RTM_DELNEIGH: u16 = 29;
const RTM_GETNEIGH: u16 = 30;
const RTM_NEWNEIGHTBL: u16 = 64;
const RTM_GETNEIGHTBL: u16 = 66;
const RTM_SETNEIGHTBL: u16 = 67;
/// Sizes of `struct ndmsg` and `ndtmsg`.
const HEADER: usize = 12;
const TABLE_HEADER: usize = 4;
/// Attributes and flags of `linux/neighbour.h`.
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDTA_NAME: u16 = 1;
const NDTA_PARMS: u16 = 6;
const NDTPA_IFINDEX: u16 = 1;
const NDTPA_RETRANS_TIME: u16 = 5;
const NTF_USE: u8 = 1;
pub(super) const NUD_INCOMPLETE: u16 = 0x01;
pub(super) const NUD_DELAY: u16 = 0x08;
pub(super) const NUD_PROBE: u16 = 0x10;

/// State of a neighbour entry: `NUD_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighbourState {
    /// The entry was removed, or was never probed.
    None,
    /// It is being probed for the first time, or after a failure.
    Incomplete,
    /// It answered lately.
    Reachable,
    /// It has answered once.
    Stale,
    /// Packets go to it; it is probed if none of them is answered.
    Delay,
    /// It is being probed by its known hardware address.
    Probe,
    /// It did not answer three times.
    Failed,
    /// It is never asked: fixed by a person, or the link has no such thing.
    Fixed,
}

impl NeighbourState {
    /// The kernel goes by the highest bit as well where, against its rules, there are two.
    fn new(bits: u16) -> NeighbourState {
        match bits.checked_ilog2() {
            Some(0) => NeighbourState::Incomplete,
            Some(1) => NeighbourState::Reachable,
            Some(2) => NeighbourState::Stale,
            Some(3) => NeighbourState::Delay,
            Some(4) => NeighbourState::Probe,
            Some(5) => NeighbourState::Failed,
            Some(6 | 7) => NeighbourState::Fixed,
            _ => NeighbourState::None,
        }
    }
}

/// A neighbour on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    pub index: u32,
    pub ip: IpAddr,
    pub state: NeighbourState,
}

impl Neighbour {
    /// Reads an event or a reply; `None` for any other message, and for entries of bridges.
    pub fn parse(kind: u16, body: &[u8]) -> Option<Neighbour> {
        let (header, attributes) = body.split_first_chunk::<HEADER>()?;
        let [family, _, _, _, index @ .., state_low, state_high, _, _] = *header;
        if !matches!(kind, RTM_NEWNEIGH | RTM_DELNEIGH) || !matches!(family, AF_INET | AF_INET6) {
            return None;
        }
        let state = match kind {
            RTM_NEWNEIGH => NeighbourState::new(u16::from_ne_bytes([state_low, state_high])),
            _ => NeighbourState::None,
        };
        let ip = address(attribute(attributes, NDA_DST)?)?;
        Some(Neighbour { index: u32::from_ne_bytes(index), ip, state })
    }
}

/// The kernel's entry for one neighbour.
///
/// # Errors
/// As [`Socket::request`]; kernels before 5.0 do not answer this.
pub fn read(socket: &mut Socket, index: u32, ip: IpAddr) -> io::Result<NeighbourState> {
    let mut state = NeighbourState::None;
    let result = socket.request(RTM_GETNEIGH, 0, &entry(index, ip, 0, 0), |kind, body| {
        state = Neighbour::parse(kind, body).map_or(state, |neighbour| neighbour.state);
    });
    match result {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(NeighbourState::None),
        result => result.map(|()| state),
    }
}

/// The hardware address of a neighbour; `None` if it is not known. A neighbour with which a connection has just been
/// made has one, unless the link has no such addresses.
///
/// # Errors
/// As [`Socket::request`]; kernels before 5.0 do not answer this.
pub fn hardware_address(socket: &mut Socket, index: u32, ip: IpAddr) -> io::Result<Option<Vec<u8>>> {
    let mut found = None;
    let result = socket.request(RTM_GETNEIGH, 0, &entry(index, ip, 0, 0), |kind, body| {
        if kind == RTM_NEWNEIGH {
            let value = body.get(HEADER..).and_then(|attributes| attribute(attributes, NDA_LLADDR));
            found = value.map(<[u8]>::to_vec);
        }
    });
    match result {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => Ok(None),
        result => result.map(|()| found),
    }
}

/// Asks a neighbour whose hardware address is known, by that address, and keeps it. Neither CREATE nor REPLACE:
/// REPLACE without `NTF_ROUTER` would make an IPv6 router an ordinary host.
///
/// # Errors
/// `PermissionDenied` without CAP_NET_ADMIN; EINVAL if no address is known.
pub fn probe(socket: &mut Socket, index: u32, ip: IpAddr) -> io::Result<()> {
    socket.request(RTM_NEWNEIGH, 0, &entry(index, ip, NUD_PROBE, 0), |_, _| {})
}

/// Probes a neighbour whose hardware address is not known, as a packet to it would.
///
/// # Errors
/// `PermissionDenied` without CAP_NET_ADMIN.
pub fn solicit(socket: &mut Socket, index: u32, ip: IpAddr) -> io::Result<()> {
    socket.request(RTM_NEWNEIGH, NLM_F_CREATE, &entry(index, ip, 0, NTF_USE), |_, _| {})
}

/// Whether this process may change the network. The kernel looks at the privilege before it looks at the
/// request, and this one names no neighbour.
pub fn has_permission(socket: &mut Socket) -> io::Result<bool> {
    match socket.request(RTM_NEWNEIGH, 0, &[0; HEADER], |_, _| {}) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(false),
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
        _ => Ok(true),
    }
}

/// The time between two questions, of one family on one interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retrans {
    pub ipv6: bool,
    /// 0: the default for interfaces to come.
    pub index: u32,
    pub time: Duration,
}

/// All of them.
pub fn retrans_times(socket: &mut Socket) -> io::Result<Vec<Retrans>> {
    let mut all = Vec::new();
    socket.request(RTM_GETNEIGHTBL, NLM_F_DUMP, &[0; TABLE_HEADER], |kind, body| {
        if kind == RTM_NEWNEIGHTBL {
            all.extend(parse_retrans(body));
        }
    })?;
    Ok(all)
}

fn parse_retrans(body: &[u8]) -> Option<Retrans> {
    let (header, rest) = body.split_first_chunk::<TABLE_HEADER>()?;
    let ipv6 = match header[0] {
        AF_INET => false,
        AF_INET6 => true,
        _ => return None,
    };
    let parameters = attribute(rest, NDTA_PARMS)?;
    let index = attribute(parameters, NDTPA_IFINDEX).and_then(|value| value.try_into().ok());
    let time = attribute(parameters, NDTPA_RETRANS_TIME)?.try_into().ok()?;
    let index = index.map_or(0, u32::from_ne_bytes);
    Some(Retrans { ipv6, index, time: Duration::from_millis(u64::from_ne_bytes(time)) })
}

/// Sets one. For IPv6 it is also the time between the questions of duplicate address detection.
///
/// # Errors
/// `PermissionDenied` without CAP_NET_ADMIN; `NotFound` if the interface has gone.
pub fn set_retrans(socket: &mut Socket, retrans: Retrans) -> io::Result<()> {
    let table: &[u8] = if retrans.ipv6 { b"ndisc_cache\0" } else { b"arp_cache\0" };
    // A time of more than 2^64 ms does not come out of retrans_times.
    let time = u64::try_from(retrans.time.as_millis()).unwrap_or(u64::MAX);
    let mut parameters = Vec::new();
    push(&mut parameters, NDTPA_IFINDEX, &retrans.index.to_ne_bytes());
    push(&mut parameters, NDTPA_RETRANS_TIME, &time.to_ne_bytes());
    let mut body = vec![family_of(retrans.ipv6), 0, 0, 0];
    push(&mut body, NDTA_NAME, table);
    push(&mut body, NDTA_PARMS, &parameters);
    socket.request(RTM_SETNEIGHTBL, 0, &body, |_, _| {})
}

/// A `struct ndmsg` with the address it is about.
fn entry(index: u32, ip: IpAddr, state: u16, flags: u8) -> Vec<u8> {
    let mut body = vec![family_of(ip.is_ipv6()), 0, 0, 0];
    body.extend(index.to_ne_bytes());
    body.extend(state.to_ne_bytes());
    body.extend([flags, 0]);
    push_ip(&mut body, NDA_DST, ip);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::os::netlink::mangled;

    const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 1));

    #[test]
    fn an_event_has_neighbour_and_state_and_a_deletion_has_no_state() {
        for (bits, state) in [
            (0, NeighbourState::None),
            (0x01, NeighbourState::Incomplete),
            (0x02, NeighbourState::Reachable),
            (0x04, NeighbourState::Stale),
            (0x08, NeighbourState::Delay),
            (0x10, NeighbourState::Probe),
            (0x20, NeighbourState::Failed),
            (0x40, NeighbourState::Fixed),
            (0x80, NeighbourState::Fixed),
        ] {
            let body = entry(3, GATEWAY, bits, 0);
            assert_eq!(
                Neighbour::parse(RTM_NEWNEIGH, &body),
                Some(Neighbour { index: 3, ip: GATEWAY, state })
            );
        }
        let gone = Neighbour::parse(RTM_DELNEIGH, &entry(3, GATEWAY, 0x02, 0)).expect("a neighbour");
        assert_eq!(gone.state, NeighbourState::None);
    }

    #[test]
    fn what_is_no_neighbour_of_ip_is_left_out() {
        let mut bridge = entry(3, GATEWAY, 2, 0);
        bridge[0] = 7;
        assert_eq!(Neighbour::parse(RTM_NEWNEIGH, &bridge), None);
        let body = entry(3, GATEWAY, 2, 0);
        assert_eq!(Neighbour::parse(16, &body), None, "a link");
        for length in 0..body.len() {
            assert_eq!(Neighbour::parse(RTM_NEWNEIGH, &body[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn a_mangled_message_never_panics() {
        let mut random = fastrand::Rng::with_seed(4711);
        let good = entry(3, IpAddr::from([0xfe; 16]), 2, 0);
        for _ in 0..20_000 {
            let mangled = mangled(&good, &mut random);
            Neighbour::parse(RTM_NEWNEIGH, &mangled);
            parse_retrans(&mangled);
        }
    }
}
