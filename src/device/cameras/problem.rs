//! Why a check failed.

use rustix::io::Errno;
use std::io;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("no answer in time")]
    NoAnswer,
    #[error("it refuses the connection")]
    Refused,
    /// A router reported it, or no host on the LAN has the address.
    #[error("no host has its address")]
    Unreachable,
    /// This device has no route to it: its network is down.
    #[error("no route to it")]
    NoRoute,
    /// It closed or reset the connection without a response.
    #[error("it closes the connection without a response")]
    Closed,
    /// Its response is not in the expected protocol.
    #[error("it responds in another protocol")]
    WrongProtocol,
    /// No source has given its address yet.
    #[error("its address is not known")]
    NoAddress,
    #[error("ICMP is not allowed here (sysctl net.ipv4.ping_group_range)")]
    IcmpForbidden,
    /// This machine forbids it: a firewall, the unit's own limits.
    #[error("not allowed on this machine")]
    NotAllowed,
    /// The process has no descriptor left, or the like.
    #[error("the check could not run: {0}")]
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
