//! Why a check failed.

use rustix::io::Errno;
use std::fmt;
use std::io;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    NoAnswer,
    Refused,
    /// A router reported it, or no host on the LAN has the address.
    Unreachable,
    /// This device has no route to it: its network is down.
    NoRoute,
    /// It closed or reset the connection without a response.
    Closed,
    /// Its response is not in the expected protocol.
    WrongProtocol,
    /// No source has given its address yet.
    NoAddress,
    IcmpForbidden,
    /// This machine forbids it: a firewall, the unit's own limits.
    NotAllowed,
    /// The process has no descriptor left, or the like.
    Own(io::ErrorKind),
}

impl Problem {
    /// The camera or its network is at fault, not this machine.
    pub fn blames_the_camera(self) -> bool {
        use Problem::{Closed, NoAnswer, NoRoute, Refused, Unreachable, WrongProtocol};
        matches!(self, NoAnswer | Refused | Unreachable | NoRoute | Closed | WrongProtocol)
    }

    /// From an error of the kernel about a connection or a packet.
    pub fn of(error: &io::Error) -> Problem {
        match Errno::from_io_error(error) {
            Some(Errno::CONNREFUSED) => Problem::Refused,
            Some(Errno::TIMEDOUT) => Problem::NoAnswer,
            Some(Errno::HOSTUNREACH | Errno::HOSTDOWN) => Problem::Unreachable,
            // EINVAL is what a route of type blackhole says.
            Some(
                Errno::NETUNREACH | Errno::NETDOWN | Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::INVAL,
            ) => Problem::NoRoute,
            Some(Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED) => Problem::Closed,
            Some(Errno::PERM | Errno::ACCESS) => Problem::NotAllowed,
            _ => Problem::Own(error.kind()),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Problem::NoAnswer => "no answer in time",
            Problem::Refused => "it refuses the connection",
            Problem::Unreachable => "no host has its address",
            Problem::NoRoute => "no route to it",
            Problem::Closed => "it closes the connection without a response",
            Problem::WrongProtocol => "it responds in another protocol",
            Problem::NoAddress => "its address is not known",
            Problem::IcmpForbidden => "ICMP is not allowed here (sysctl net.ipv4.ping_group_range)",
            Problem::NotAllowed => "not allowed on this machine",
            Problem::Own(kind) => return write!(f, "the check could not run: {kind}"),
        })
    }
}
