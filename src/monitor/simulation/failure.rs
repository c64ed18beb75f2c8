//! Why heartbeats failed, and which limit of this machine may be the reason. Pure, but for reading the limits.

use std::fs;
use std::io::{self, ErrorKind};

/// Why an attempt failed or a connection was lost; also the name of its figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// The server closed an idle connection, which it may at any time.
    ClosedIdle,
    /// The server closed the connection instead of responding.
    ClosedBusy,
    Reset,
    ConnectionRefused,
    Timeout,
    Tls,
    NoDescriptor,
    NoPort,
    NoMemory,
    Other,
}

impl FailureKind {
    pub fn of(error: &io::Error) -> FailureKind {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE) => return FailureKind::NoDescriptor,
            Some(libc::EADDRNOTAVAIL | libc::EADDRINUSE) => return FailureKind::NoPort,
            Some(libc::ENOBUFS | libc::ENOMEM) => return FailureKind::NoMemory,
            _ => {}
        }
        match error.kind() {
            ErrorKind::UnexpectedEof => FailureKind::ClosedBusy,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => FailureKind::Reset,
            ErrorKind::ConnectionRefused => FailureKind::ConnectionRefused,
            ErrorKind::TimedOut => FailureKind::Timeout,
            ErrorKind::InvalidData => FailureKind::Tls,
            _ => FailureKind::Other,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            FailureKind::ClosedIdle => "closed_while_idle",
            FailureKind::ClosedBusy => "closed_without_response",
            FailureKind::Reset => "connection_reset",
            FailureKind::ConnectionRefused => "connection_refused",
            FailureKind::Timeout => "timeout",
            FailureKind::Tls => "tls_or_invalid_response",
            FailureKind::NoDescriptor => "no_descriptor",
            FailureKind::NoPort => "no_port",
            FailureKind::NoMemory => "no_memory",
            FailureKind::Other => "other_failure",
        }
    }

    /// The limit behind it: a name and a value, as far as this machine shows it.
    pub fn limit(self) -> Option<String> {
        let of = |name: &str, path: &str| format!("{name} is {}", value(path));
        Some(match self {
            FailureKind::NoDescriptor => {
                format!(
                    "{}; the limit of open files of a process is the hard limit of ulimit -n",
                    of("fs.file-max", "fs/file-max")
                )
            }
            FailureKind::NoPort => of("net.ipv4.ip_local_port_range", "net/ipv4/ip_local_port_range"),
            FailureKind::NoMemory => of("net.ipv4.tcp_mem", "net/ipv4/tcp_mem"),
            FailureKind::Timeout => {
                let (count, most) = conntrack()?;
                // Within a hundredth of it packets are being dropped.
                (count + most / 100 >= most)
                    .then(|| format!("net.netfilter.nf_conntrack_max is {most}, and {count} are in use"))?
            }
            _ => return None,
        })
    }
}

fn value(path: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/{path}")).unwrap_or_else(|_| "unknown".into());
    text.split_whitespace().collect::<Vec<_>>().join(" to ")
}

/// Tracked connections and their limit; `None` without tracking.
fn conntrack() -> Option<(u64, u64)> {
    let read = |name: &str| value(&format!("net/netfilter/{name}")).parse().ok();
    Some((read("nf_conntrack_count")?, read("nf_conntrack_max")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_machine_has_its_name() {
        let of = |number| FailureKind::of(&io::Error::from_raw_os_error(number));
        assert_eq!(of(libc::EMFILE), FailureKind::NoDescriptor);
        assert_eq!(of(libc::EADDRNOTAVAIL), FailureKind::NoPort);
        assert_eq!(of(libc::ECONNREFUSED), FailureKind::ConnectionRefused);
        assert_eq!(of(libc::ECONNREFUSED).limit(), None);
        let limit = FailureKind::NoPort.limit().expect("a limit");
        assert!(limit.starts_with("net.ipv4.ip_local_port_range is ") && limit.contains(" to "), "{limit}");
    }
}
