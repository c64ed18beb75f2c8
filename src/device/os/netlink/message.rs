//! The bytes of netlink messages and of the attributes in them.

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use std::io;
use std::net::IpAddr;

/// Size of `struct nlmsghdr`.
const HEADER: usize = 16;
/// As one byte, which is how messages carry an address family.
pub const AF_INET: u8 = 2;
pub const AF_INET6: u8 = 10;

/// A whole netlink message, header and body.
pub fn message(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = HEADER + body.len();
    let mut bytes = vec![0; length];
    bytes[HEADER..].copy_from_slice(body);
    let mut header = NetlinkBuffer::new(&mut bytes);
    // The longest request is a route with its attributes: less than 1 KiB.
    header.set_length(length as u32);
    header.set_message_type(kind);
    header.set_flags(flags);
    header.set_sequence_number(sequence);
    bytes
}

pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub body: &'a [u8],
}

/// The messages of one datagram. A broken one is an error and the last.
pub fn messages(mut datagram: &[u8]) -> impl Iterator<Item = io::Result<Message<'_>>> {
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

/// Appends an attribute, at a multiple of 4 as the next one has to be.
pub fn push(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    // Values are short, or come from an attribute of the kernel's, whose length has 16 bits too.
    let length = (4 + value.len()) as u16;
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Text without the zero byte at its end.
pub fn text(value: &[u8]) -> String {
    let value = value.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

/// A number of 32 bits.
pub fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

/// The bytes of an address, of either family.
pub fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(<[u8; 4]>::try_from(bytes).ok()?.into()),
        _ => Some(<[u8; 16]>::try_from(bytes).ok()?.into()),
    }
}

/// Appends an address as an attribute.
pub fn push_ip(body: &mut Vec<u8>, kind: u16, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => push(body, kind, &ip.octets()),
        IpAddr::V6(ip) => push(body, kind, &ip.octets()),
    }
}

pub fn family_of(ipv6: bool) -> u8 {
    if ipv6 { AF_INET6 } else { AF_INET }
}

/// An attribute alone.
#[cfg(test)]
pub fn nla(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, kind, value);
    bytes
}

/// A copy with a few bytes changed at random, and cut off somewhere.
#[cfg(test)]
pub fn mangled(good: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut mangled = good.to_vec();
    for _ in 0..random.usize(1..8) {
        let place = random.usize(..mangled.len());
        mangled[place] = random.u8(..);
    }
    mangled.truncate(random.usize(..=mangled.len()));
    mangled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_with_a_wrong_length_ends_the_datagram_with_an_error() {
        let mut datagram = message(16, 0, 1, &[0; 16]);
        datagram[0] = 200;
        let parts: Vec<_> = messages(&datagram).collect();
        assert!(parts.len() == 1 && parts[0].is_err());
    }
}
