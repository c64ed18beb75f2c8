//! Netlink: one request and its replies at a time, and the kernel's list of links with their addresses.
//!
//! No privilege is needed for anything here.

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP,
    NLMSG_OVERRUN, NetlinkBuffer, NlasIterator,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressHeader, AddressHeaderFlags};
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkLayerType, State, Stats64};
use netlink_sys::{SocketAddr, protocols::NETLINK_ROUTE};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// The kernel fills at most this much for one receive of a dump, and only if the buffer has the room.
const BUFFER: usize = 32 * 1024;
/// The kernel answers while it takes the request; this only bounds the wait if it should not.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Receives for one request: 8 MiB, about 5,000 links. More is an error.
const PARTS: usize = 256;
/// Dumps until one is consistent. Even a machine that starts containers is quiet for 100 µs in between.
const ATTEMPTS: usize = 5;
/// Links, and addresses in all, that are kept; the kernel lists the oldest first, and the rest is dropped.
const LINKS: usize = 512;
const ADDRESSES: usize = 2048;
/// `MSG_TRUNC`: the true length is returned, so that a reply that was cut off is noticed.
pub(super) const MSG_TRUNC: i32 = 0x20;

pub(super) const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
pub(super) const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
/// Sizes of `struct nlmsghdr`, `ifinfomsg` and `ifaddrmsg`.
const MESSAGE_HEADER: usize = 16;
pub(super) const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;

/// Attributes of `linux/if_link.h` and `linux/if_addr.h`.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_SKIP_STATS: u32 = 8;
const IFLA_INFO_KIND: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;

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

/// A whole netlink message, header and body.
fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = MESSAGE_HEADER + body.len();
    let mut bytes = vec![0; length];
    bytes[MESSAGE_HEADER..].copy_from_slice(body);
    let mut header = NetlinkBuffer::new(&mut bytes);
    // Requests have less than 100 bytes.
    header.set_length(length as u32);
    header.set_message_type(kind);
    header.set_flags(flags);
    header.set_sequence_number(sequence);
    bytes
}

pub(super) struct Message<'a> {
    pub(super) kind: u16,
    flags: u16,
    sequence: u32,
    pub(super) body: &'a [u8],
}

/// The messages of one datagram. A broken one is an error and the last.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = io::Result<Message<'_>>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        let Ok(header) = NetlinkBuffer::new_checked(datagram) else {
            datagram = &[];
            return Some(Err(io::ErrorKind::InvalidData.into()));
        };
        // The last message need not be padded to 4 bytes.
        let next = (header.length() as usize).next_multiple_of(4).min(datagram.len());
        datagram = &datagram[next..];
        Some(Ok(Message {
            kind: header.message_type(),
            flags: header.flags(),
            sequence: header.sequence_number(),
            body: header.payload(),
        }))
    })
}

/// What the end of the replies says: 0, or an error number below 0.
fn verdict(body: &[u8], consistent: bool) -> io::Result<()> {
    let code = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    match code {
        0 if consistent => Ok(()),
        0 => Err(io::ErrorKind::Interrupted.into()),
        code => Err(io::Error::from_raw_os_error(code.saturating_neg())),
    }
}

/// Type (without its flag bits) and value of each attribute, up to the first one whose length is wrong.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    NlasIterator::new(bytes).map_while(Result::ok).map(|attribute| {
        let (kind, length) = (attribute.kind(), usize::from(attribute.length()));
        (kind, attribute.into_inner().get(4..length).unwrap_or_default())
    })
}

/// Value of the first attribute of this type.
pub fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find_map(|(found, value)| (found == kind).then_some(value))
}

/// Text without the zero byte at its end.
fn text(value: &[u8]) -> String {
    let value = value.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

/// A network interface as the kernel sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// Switched on (`IFF_UP`).
    pub up: bool,
    /// Something is at the other end: `IFF_LOWER_UP`, and operstate up or, from drivers that do not say,
    /// unknown.
    pub carrier: bool,
    /// Frames are Ethernet's (`ARPHRD_ETHER`), as on Ethernet, Wi-Fi, bridges and veth; not on ppp and tun.
    pub ethernet_frames: bool,
    /// The hardware address, where it has 6 bytes.
    pub mac: Option<[u8; 6]>,
    /// `veth`, `bridge`, `tun` ...; `None` for hardware.
    pub virtual_kind: Option<String>,
    /// Since the interface appeared; absent if the kernel did not tell.
    pub bytes: Option<Bytes>,
    pub addresses: Vec<Address>,
}

/// Bytes received and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    pub received: u64,
    pub sent: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    pub ip: IpAddr,
    /// Not to be used (yet): IPv6 is still looking for, or has found, another owner.
    pub tentative: bool,
}

/// Reads all links over a socket that stays open.
#[derive(Debug, Default)]
pub struct Links {
    socket: Option<Socket>,
}

impl Links {
    /// All links with their addresses, by index: 2 sends and 4 receives on a machine with few links.
    ///
    /// # Errors
    /// As [`Socket::request`]; a dump that something disturbed is repeated up to 5 times first.
    pub fn dump(&mut self) -> io::Result<Vec<Link>> {
        for _ in 1..ATTEMPTS {
            match self.dump_once() {
                Err(error) if disturbed(&error) => {}
                result => return result,
            }
        }
        self.dump_once()
    }

    fn dump_once(&mut self) -> io::Result<Vec<Link>> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::open(NETLINK_ROUTE)?,
        };
        let mut table = Table::default();
        socket.request(RTM_GETLINK, NLM_F_DUMP, &all_links(), |kind, body| table.add(kind, body))?;
        socket.request(RTM_GETADDR, NLM_F_DUMP, &[0; ADDRESS_HEADER], |kind, body| table.add(kind, body))?;
        // Kept only after a success: see Socket.
        self.socket = Some(socket);
        Ok(table.links.into_values().collect())
    }
}

/// `struct ifinfomsg` for all links, without the counters of IPv6's protocols, which the kernel would add up over
/// all processors for each link. The byte counters are others, and stay.
fn all_links() -> [u8; LINK_HEADER + 8] {
    let mut body = [0; LINK_HEADER + 8];
    body[LINK_HEADER..LINK_HEADER + 2].copy_from_slice(&8_u16.to_ne_bytes());
    body[LINK_HEADER + 2..LINK_HEADER + 4].copy_from_slice(&IFLA_EXT_MASK.to_ne_bytes());
    body[LINK_HEADER + 4..].copy_from_slice(&RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
    body
}

/// An inconsistent dump, or the kernel had no room for its reply: worth another try.
fn disturbed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
        || error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

/// Links and addresses joined as they arrive.
#[derive(Default)]
struct Table {
    links: BTreeMap<u32, Link>,
    addresses: usize,
}

impl Table {
    fn add(&mut self, kind: u16, body: &[u8]) {
        match kind {
            RTM_NEWLINK if self.links.len() < LINKS => {
                if let Some(link) = parse_link(body) {
                    self.links.insert(link.index, link);
                }
            }
            RTM_NEWADDR if self.addresses < ADDRESSES => {
                let Some((index, address)) = parse_address(body) else { return };
                if let Some(link) = self.links.get_mut(&index) {
                    link.addresses.push(address);
                    self.addresses += 1;
                }
            }
            _ => {}
        }
    }
}

/// Body of an `RTM_NEWLINK`. Only the few attributes that are used are looked at: a kernel of next year may
/// change any other without making a link unreadable.
pub(super) fn parse_link(body: &[u8]) -> Option<Link> {
    let header = LinkHeader::parse(body).ok()?;
    // With strict checking there are no others; a bridge's ports are also listed as AF_BRIDGE without it.
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let up = header.flags.contains(LinkFlags::Up);
    let mut link = Link {
        index: header.index,
        up,
        carrier: up && header.flags.contains(LinkFlags::LowerUp),
        ethernet_frames: header.link_layer_type == LinkLayerType::Ether,
        ..Link::default()
    };
    for (kind, value) in attributes(body.get(LINK_HEADER..)?) {
        match kind {
            IFLA_IFNAME => link.name = text(value),
            IFLA_ADDRESS => link.mac = value.try_into().ok(),
            IFLA_OPERSTATE => link.carrier &= value.first().is_some_and(|&state| may_carry(state.into())),
            IFLA_LINKINFO => link.virtual_kind = attribute(value, IFLA_INFO_KIND).map(text),
            IFLA_STATS64 => {
                let stats = Stats64::parse(value).ok();
                link.bytes = stats.map(|stats| Bytes { received: stats.rx_bytes, sent: stats.tx_bytes });
            }
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn may_carry(operstate: State) -> bool {
    matches!(operstate, State::Up | State::Unknown)
}

/// Body of an `RTM_NEWADDR`: the interface's index and the address.
pub(super) fn parse_address(body: &[u8]) -> Option<(u32, Address)> {
    let header = AddressHeader::parse(body).ok()?;
    let attributes = body.get(ADDRESS_HEADER..)?;
    // On a point-to-point link IFA_ADDRESS is the other end.
    let value = attribute(attributes, IFA_LOCAL).or_else(|| attribute(attributes, IFA_ADDRESS))?;
    let ip = ip_address(value)?;
    let waits = header.flags.contains(AddressHeaderFlags::Tentative)
        && !header.flags.contains(AddressHeaderFlags::Optimistic);
    let tentative = waits || header.flags.contains(AddressHeaderFlags::Dadfailed);
    Some((header.index, Address { ip, tentative }))
}

/// The bytes of an address, of either family.
pub fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(<[u8; 4]>::try_from(bytes).ok()?.into()),
        _ => Some(<[u8; 16]>::try_from(bytes).ok()?.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nla(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (4 + value.len() as u16).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn link_body(flags: u32, operstate: u8) -> Vec<u8> {
        let mut body = vec![0, 0];
        body.extend(1_u16.to_ne_bytes());
        body.extend(7_u32.to_ne_bytes());
        body.extend(flags.to_ne_bytes());
        body.extend([0; 4]);
        body.extend(nla(IFLA_IFNAME, b"eth0\0"));
        body.extend(nla(IFLA_OPERSTATE, &[operstate]));
        body.extend(nla(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]));
        body.extend(nla(IFLA_LINKINFO, &nla(IFLA_INFO_KIND, b"veth\0")));
        let mut stats = [0; 192];
        stats[16..24].copy_from_slice(&5000_u64.to_ne_bytes());
        stats[24..32].copy_from_slice(&700_u64.to_ne_bytes());
        body.extend(nla(IFLA_STATS64, &stats));
        body
    }

    #[test]
    fn carrier_needs_iff_up_lower_up_and_an_operstate_of_up_or_unknown() {
        const UP: u32 = 1;
        const LOWER_UP: u32 = 1 << 16;
        for (flags, operstate, carrier) in [
            (UP | LOWER_UP, 6, true),
            (UP | LOWER_UP, 0, true),
            (UP | LOWER_UP, 5, false),
            (UP | LOWER_UP, 2, false),
            (UP, 6, false),
            (LOWER_UP, 6, false),
        ] {
            let link = parse_link(&link_body(flags, operstate)).expect("a link");
            assert_eq!(link.carrier, carrier, "flags {flags:#x}, operstate {operstate}");
        }
    }

    #[test]
    fn a_link_has_its_name_kind_mac_and_bytes() {
        let link = parse_link(&link_body(0x10001, 6)).expect("a link");
        assert_eq!((link.index, link.name.as_str()), (7, "eth0"));
        assert_eq!(link.virtual_kind.as_deref(), Some("veth"));
        assert_eq!(link.mac, Some([2, 0, 0, 0, 0, 1]));
        assert_eq!(link.bytes, Some(Bytes { received: 5000, sent: 700 }));
        assert!(link.ethernet_frames);
    }

    #[test]
    fn the_local_address_is_taken_on_a_point_to_point_link() {
        let mut body = vec![2, 32, 0, 0];
        body.extend(4_u32.to_ne_bytes());
        body.extend(nla(IFA_ADDRESS, &[10, 0, 0, 2]));
        body.extend(nla(IFA_LOCAL, &[10, 0, 0, 1]));
        let (index, address) = parse_address(&body).expect("an address");
        assert_eq!((index, address.ip), (4, IpAddr::from([10, 0, 0, 1])));
    }

    #[test]
    fn a_tentative_address_is_marked_and_an_optimistic_one_is_not() {
        for (flags, tentative) in [(0x40, true), (0x44, false), (0x08, true), (0x80, false)] {
            let mut body = vec![10, 64, flags, 0, 4, 0, 0, 0];
            body.extend(nla(IFA_ADDRESS, &[0x20; 16]));
            assert_eq!(parse_address(&body).expect("an address").1.tentative, tentative, "{flags:#x}");
        }
    }

    #[test]
    fn a_cut_off_or_mangled_reply_never_panics() {
        let mut random = fastrand::Rng::with_seed(4711);
        let link = link_body(0x10001, 6);
        let datagram = message(RTM_NEWLINK, 0, 1, &link);
        for length in 0..=datagram.len() {
            let cut = &datagram[..length];
            messages(cut).flatten().for_each(|part| _ = parse_link(part.body));
            parse_link(&link[..length.min(link.len())]);
            parse_address(&cut[..length]);
        }
        for _ in 0..20_000 {
            let mut mangled = datagram.clone();
            for _ in 0..random.usize(1..8) {
                let place = random.usize(..mangled.len());
                mangled[place] = random.u8(..);
            }
            messages(&mangled)
                .flatten()
                .for_each(|part| _ = (parse_link(part.body), parse_address(part.body)));
        }
    }

    #[test]
    fn a_message_whose_length_lies_ends_the_datagram_with_an_error() {
        let mut datagram = message(RTM_NEWLINK, 0, 1, &[0; 16]);
        datagram[0] = 200;
        let parts: Vec<_> = messages(&datagram).collect();
        assert!(parts.len() == 1 && parts[0].is_err());
    }

    #[test]
    fn links_and_addresses_beyond_the_bound_are_dropped() {
        let mut table = Table::default();
        for index in 0..(LINKS as u32 + 10) {
            let mut body = link_body(0x10001, 6);
            body[4..8].copy_from_slice(&index.to_ne_bytes());
            table.add(RTM_NEWLINK, &body);
        }
        let mut address = vec![2, 24, 0, 0, 1, 0, 0, 0];
        address.extend(nla(IFA_LOCAL, &[10, 0, 0, 1]));
        (0..ADDRESSES + 10).for_each(|_| table.add(RTM_NEWADDR, &address));
        assert_eq!((table.links.len(), table.links[&1].addresses.len()), (LINKS, ADDRESSES));
    }

    #[test]
    fn an_address_of_a_link_that_went_in_between_is_dropped() {
        let mut table = Table::default();
        let mut address = vec![2, 24, 0, 0, 9, 0, 0, 0];
        address.extend(nla(IFA_LOCAL, &[10, 0, 0, 1]));
        table.add(RTM_NEWADDR, &address);
        assert!(table.links.is_empty());
    }

    #[test]
    fn the_kernel_lists_lo_with_its_address_again_and_again() {
        let mut links = Links::default();
        for _ in 0..3 {
            let all = links.dump().expect("route netlink needs no privilege");
            let lo = all.iter().find(|link| link.name == "lo").expect("every machine has lo");
            assert!(lo.addresses.iter().any(|address| address.ip == IpAddr::from([127, 0, 0, 1])), "{lo:?}");
            assert!(lo.bytes.is_some() && lo.virtual_kind.is_none());
        }
    }

    #[test]
    fn the_kernels_refusal_is_an_error_and_the_socket_goes_on() {
        let mut socket = Socket::open(NETLINK_ROUTE).expect("a socket");
        // A link that is not there.
        let mut body = [0; LINK_HEADER];
        body[4..8].copy_from_slice(&0x7fff_0000_u32.to_ne_bytes());
        let error = socket.request(RTM_GETLINK, 0, &body, |_, _| {}).expect_err("no such link");
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NODEV.raw_os_error()));
        let mut replies = 0;
        socket.request(RTM_GETLINK, NLM_F_DUMP, &[0; LINK_HEADER], |_, _| replies += 1).expect("a dump");
        assert!(replies > 0);
    }
}
