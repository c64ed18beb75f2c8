//! Host names: a fixed number of threads that may hang in a lookup, and the last good addresses, which are used
//! meanwhile.
//!
//! The C library's lookup cannot be interrupted and may take half a minute. So it never runs on a thread that has
//! something else to do, there is at most one lookup for a name, and their number is bounded (algesten/ureq#79: a
//! thread per lookup piles up until none can be started). Once a name has been resolved, a silent DNS server costs at
//! most [`ResolverLimits::refresh_wait`].

pub mod ureq_resolver;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Age of addresses from which they are looked up again.
const REFRESH: Duration = Duration::from_secs(60);

/// Addresses of a name that are kept, of both families if it has both: as many as fit into the 2 s of a heartbeat, 250
/// ms each.
const MOST_ADDRESSES: usize = 8;

/// Turns a host and a port into addresses; [`lookup`] in both programs.
pub type Lookup = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// Bounds of a resolver.
#[derive(Debug, Clone, Copy)]
pub struct ResolverLimits {
    /// Concurrent lookups. With several, half of the threads serve only names whose last lookup did not fail.
    pub threads: usize,
    /// Names that are remembered or being looked up; the one that was used longest ago makes room.
    pub names: usize,
    /// Wait for newer addresses before those older than [`REFRESH`] are used.
    pub refresh_wait: Duration,
}

/// The callers' side of the resolver threads, which end when this is dropped and their lookups have returned.
#[derive(Debug)]
pub struct NameResolver {
    limits: ResolverLimits,
    table: Arc<NameTable>,
    /// Names whose last lookup did not fail.
    good: Sender<Name>,
    /// Names whose last lookup failed.
    failing: Sender<Name>,
}

#[derive(Debug, Default)]
struct NameTable {
    /// The most recently used name first.
    known: Mutex<Vec<NameEntry>>,
    answered: Condvar,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    host: String,
    port: u16,
}

#[derive(Debug)]
struct NameEntry {
    name: Name,
    addresses: Vec<SocketAddr>,
    /// Time of the last lookup that succeeded; `None` requests one at the next use.
    resolved: Option<Instant>,
    /// A lookup is queued or running.
    pending: bool,
    /// Number of lookups that have returned.
    lookups: u64,
    /// Error of the last lookup, if it failed.
    error: Option<(io::ErrorKind, String)>,
}

impl NameEntry {
    fn new(name: Name) -> NameEntry {
        NameEntry { name, addresses: Vec::new(), resolved: None, pending: false, lookups: 0, error: None }
    }

    fn is_current(&self) -> bool {
        self.resolved.is_some_and(|resolved| resolved.elapsed() < REFRESH)
    }
}

impl NameResolver {
    pub fn start(limits: ResolverLimits, lookup: Lookup) -> io::Result<NameResolver> {
        let table = Arc::new(NameTable::default());
        let (good, good_names) = bounded(limits.names);
        let (failing, failing_names) = bounded(limits.names);
        for number in 0..limits.threads {
            let (table, good_names) = (table.clone(), good_names.clone());
            let failing_names = if number < limits.threads / 2 { never() } else { failing_names.clone() };
            let run = move || serve(&table, &good_names, &failing_names, lookup);
            thread::Builder::new().name("resolver".into()).spawn(run)?;
        }
        Ok(NameResolver { limits, table, good, failing })
    }

    /// The addresses of `host`: at once if it is a literal or was resolved lately, else within `limit`.
    ///
    /// # Errors
    /// The lookup's error, `TimedOut`, or `WouldBlock` if too many names are being looked up.
    pub fn resolve(&self, host: &str, port: u16, limit: Duration) -> io::Result<Vec<SocketAddr>> {
        if let Some(address) = literal(host, port) {
            return Ok(vec![address]);
        }
        let begin = Instant::now();
        let name = Name { host: host.to_owned(), port };
        let mut known = self.known_names();
        let before = self.request(&mut known, &name)?;
        loop {
            let Some(entry) = known.iter().find(|entry| entry.name == name) else {
                return Err(io::ErrorKind::WouldBlock.into());
            };
            let (elapsed, has_addresses) = (begin.elapsed(), !entry.addresses.is_empty());
            if has_addresses && (entry.is_current() || !entry.pending || elapsed >= self.limits.refresh_wait)
            {
                return Ok(entry.addresses.clone());
            }
            if let (true, Some((kind, text))) = (entry.lookups > before, &entry.error) {
                return Err(io::Error::new(*kind, text.clone()));
            }
            if elapsed >= limit {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("no answer from DNS for {host}"),
                ));
            }
            let wait = if has_addresses { self.limits.refresh_wait.min(limit) } else { limit } - elapsed;
            known = self.table.answered.wait_timeout(known, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The addresses of `host` if they are known; requests a lookup if one is due, and never waits, neither for DNS nor
    /// for a thread that does.
    pub fn known(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        if let Some(address) = literal(host, port) {
            return Some(vec![address]);
        }
        let name = Name { host: host.to_owned(), port };
        let mut known = self.table.known.try_lock().ok()?;
        self.request(&mut known, &name).ok()?;
        let found = known.iter().find(|entry| entry.name == name && !entry.addresses.is_empty());
        found.map(|entry| entry.addresses.clone())
    }

    /// Marks all addresses as outdated because they did not work: the next use requests a lookup, and still gets the
    /// old ones.
    pub fn invalidate(&self) {
        for entry in self.known_names().iter_mut() {
            entry.resolved = None;
        }
    }

    fn known_names(&self) -> MutexGuard<'_, Vec<NameEntry>> {
        self.table.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests a lookup of `name` if one is due and none is pending. Returns how many had returned before.
    fn request(&self, known: &mut Vec<NameEntry>, name: &Name) -> io::Result<u64> {
        let index = known.iter().position(|entry| entry.name == *name);
        let mut entry = index.map_or_else(|| NameEntry::new(name.clone()), |index| known.remove(index));
        if !entry.pending && !entry.is_current() {
            let queue = if entry.error.is_some() { &self.failing } else { &self.good };
            // Full: as many names as are remembered are being looked up.
            entry.pending = queue.try_send(name.clone()).is_ok();
        }
        let (lookups, is_hopeless) = (entry.lookups, !entry.pending && entry.addresses.is_empty());
        known.insert(0, entry);
        if known.len() > self.limits.names {
            // A pending one has to stay: it is what bounds the lookups.
            if let Some(index) = known.iter().rposition(|entry| !entry.pending) {
                known.remove(index);
            }
        }
        if is_hopeless {
            let text = format!("too many host names are being looked up: {} is not", name.host);
            return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
        }
        Ok(lookups)
    }
}

/// A resolver thread; returns when [`NameResolver`] has been dropped.
fn serve(table: &NameTable, good: &Receiver<Name>, failing: &Receiver<Name>, lookup: Lookup) {
    loop {
        let name = select! {
            recv(good) -> name => name,
            recv(failing) -> name => name,
        };
        let Ok(name) = name else { return };
        let result = lookup(&name.host, name.port);
        let mut known = table.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = known.iter_mut().find(|entry| entry.name == name) {
            apply(entry, result);
        }
        drop(known);
        table.answered.notify_all();
    }
}

/// A failure keeps the last good addresses, and the next use requests another lookup (henrygd/beszel#1341: a failure
/// at boot must not last).
fn apply(entry: &mut NameEntry, result: io::Result<Vec<SocketAddr>>) {
    entry.pending = false;
    entry.lookups += 1;
    match result {
        Ok(addresses) => {
            entry.addresses = addresses;
            entry.resolved = Some(Instant::now());
            entry.error = None;
        }
        Err(error) => {
            entry.resolved = None;
            entry.error = Some((error.kind(), error.to_string()));
        }
    }
}

fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    let ip: IpAddr = host.trim_matches(['[', ']']).parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

/// The C library's lookup, with all that nsswitch.conf and resolv.conf say. May take half a minute.
pub fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses = interleave((host, port).to_socket_addrs()?);
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address")));
    }
    Ok(addresses)
}

/// At most [`MOST_ADDRESSES`], alternating between the families, beginning with that of the first address (RFC 8305,
/// section 4): a family without connectivity must not exclude the other one.
fn interleave(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.peekable();
    let ipv6_first = addresses.peek().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.partition(|address| address.is_ipv6() == ipv6_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut interleaved = Vec::new();
    while interleaved.len() < MOST_ADDRESSES {
        let before = interleaved.len();
        interleaved.extend(first.next());
        interleaved.extend(second.next());
        if interleaved.len() == before {
            break;
        }
    }
    interleaved.truncate(MOST_ADDRESSES);
    interleaved
}

#[cfg(test)]
mod tests;
