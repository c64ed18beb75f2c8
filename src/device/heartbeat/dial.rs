//! What the failover thread and the heartbeat thread share of the connection to the server: the uplinks to dial over,
//! the results so far, and the open sockets, which either thread can close.

use super::attempts::Hosts;
pub use super::attempts::Uplink;
use super::delivery::{Deliveries, Evidence, TOO_MANY};
use super::server_routes::UplinkOverride;
use crate::backoff;
use socket2::Socket;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// While uplinks replace it, the kernel's choice is tried again in the first race after this.
const KERNELS_TURN: Duration = Duration::from_secs(30);

/// A connection that another uplink than the best one has won is replaced after this, in a new race: the best one may only
/// have been slow to answer (its gateway's ARP, a first packet that was lost), and the other one may be metered. The time
/// doubles for as long as the best one loses.
const FIRST_DETOUR: Duration = Duration::from_secs(5);
const LONGEST_DETOUR: Duration = Duration::from_secs(300);

/// State of the connection to the server, for the threads that use and control it.
#[derive(Debug, Default)]
pub struct Dialer {
    /// The best first. Empty: the kernel decides.
    uplinks: Mutex<Vec<Uplink>>,
    /// Where the last connection led, and over which uplink.
    pub(super) last: Mutex<Last>,
    pub(super) deliveries: Mutex<Deliveries>,
    pub(super) hosts: Mutex<Hosts>,
    /// A person chose the first uplink.
    chosen: AtomicBool,
    live: Mutex<Vec<Weak<Socket>>>,
    /// A heartbeat is in flight.
    busy: AtomicBool,
    /// Since the last [`Dialer::begin`].
    pub(super) cut: AtomicBool,
    pub(super) dialled: AtomicU64,
    /// The kept connection is not to be used again.
    pub(super) stale: AtomicBool,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Last {
    pub(super) server: Vec<SocketAddr>,
    /// `None` until one of them is connected.
    pub(super) peer: Option<SocketAddr>,
    pub(super) over: Option<String>,
    /// Round trip to `peer`.
    pub(super) round_trip: Option<Duration>,
    /// Without an uplink: the name of the interface that the kernel chose.
    pub(super) kernels: Option<String>,
    /// Another way was permitted too.
    pub(super) has_choice: bool,
    /// When a heartbeat over the kernel's choice was undelivered, if uplinks may replace it.
    pub(super) kernel_failed: Option<Instant>,
    /// The uplink of a connection that ended in silence, until the next one is dialled.
    pub(super) silent: Option<String>,
    /// Races in a row that another uplink than the best one has won, and when the next one is due.
    pub(super) detours: u32,
    pub(super) next_race: Option<Instant>,
}

impl Last {
    /// Notes whether the race was won over `best`, the uplink that it began with.
    pub(super) fn note_winner(&mut self, best: Option<&str>, now: Instant) {
        let is_detour = best.is_some() && self.over.as_deref() != best;
        self.detours = if is_detour { self.detours.saturating_add(1) } else { 0 };
        let length = backoff::delay(FIRST_DETOUR, LONGEST_DETOUR, self.detours, 0.0);
        self.next_race = is_detour.then(|| now + length);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of these, and `panic = "abort"` would end the process.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dialer {
    /// New connections are dialled over the first of these; if it has not connected after 250 ms, over the next
    /// one too. Empty: the kernel decides. An uplink that becomes the first one starts without undelivered heartbeats.
    pub fn use_uplinks(&self, ranked: Vec<Uplink>) {
        let mut uplinks = lock(&self.uplinks);
        if let Some(first) = ranked.first() {
            if uplinks.first().is_none_or(|before| before.name != first.name) {
                lock(&self.deliveries).forget_uplink(&first.name);
            }
        }
        *uplinks = ranked;
    }

    /// Whether a person chose the first uplink: it is used although the kernel's default route leads over an interface
    /// that is not an uplink.
    pub fn set_chosen(&self, chosen: bool) {
        self.chosen.store(chosen, Ordering::Relaxed);
    }

    /// Counts the result of the heartbeat that the last connection carried.
    pub fn record_evidence(&self, evidence: Evidence) {
        let mut last = lock(&self.last);
        if let Some(peer) = last.peer {
            lock(&self.deliveries).record(last.over.as_deref(), peer, evidence);
            if last.over.is_none() && !evidence.proves_uplink() {
                last.kernel_failed = Some(Instant::now());
            }
        }
    }

    /// The same for a copy of a heartbeat, which went over `uplink` on purpose.
    pub fn record_uplink_evidence(&self, uplink: &str, evidence: Evidence) {
        lock(&self.deliveries).record_uplink(Some(uplink), evidence);
    }

    /// A line over `uplink` alone, which knows the same of the other uplinks and of the server's addresses.
    pub fn bound_to(&self, uplink: &Uplink) -> Dialer {
        let mut uplinks = lock(&self.uplinks).clone();
        uplinks.retain(|known| known.index != uplink.index);
        // Known still: an address that the kernel reaches over one of them is not left to the kernel.
        uplinks.iter_mut().for_each(|other| other.usable = false);
        uplinks.insert(0, Uplink { usable: true, ..uplink.clone() });
        let deliveries = Mutex::new(lock(&self.deliveries).clone());
        let hosts = Mutex::new(lock(&self.hosts).clone());
        Dialer { uplinks: Mutex::new(uplinks), deliveries, hosts, ..Dialer::default() }
    }

    /// A line of its own over the same uplinks, which knows the same of them.
    pub fn sibling(&self) -> Dialer {
        let sibling = Dialer::default();
        sibling.follow(self);
        sibling
    }

    /// Takes over what `other` knows of the uplinks. The next connection is new if the best one has changed.
    pub fn follow(&self, other: &Dialer) {
        let uplinks = lock(&other.uplinks).clone();
        if lock(&self.uplinks).first() != uplinks.first() {
            self.renew();
        }
        *lock(&self.uplinks) = uplinks;
        *lock(&self.deliveries) = lock(&other.deliveries).clone();
        *lock(&self.hosts) = lock(&other.hosts).clone();
        self.chosen.store(other.chosen.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Undelivered heartbeats in a row over an uplink; `None` is the way that the kernel chooses.
    pub fn undelivered(&self, uplink: Option<&str>) -> u32 {
        lock(&self.deliveries).undelivered(uplink)
    }

    /// A round trip over the last connection, as the kernel measured it when that was made.
    pub fn round_trip(&self) -> Option<Duration> {
        lock(&self.last).round_trip
    }

    /// Whether the last race was won: a heartbeat that failed since then failed over a connection.
    pub fn is_connected(&self) -> bool {
        lock(&self.last).peer.is_some()
    }

    /// The server's addresses are known before the first connection.
    pub fn expect_server(&self, addresses: Vec<SocketAddr>) {
        let mut last = lock(&self.last);
        (last.server, last.peer) = (addresses, None);
    }

    /// The server's addresses, as they were dialled last; an upstream probe tries these first.
    pub fn server(&self) -> Vec<SocketAddr> {
        lock(&self.last).server.clone()
    }

    /// The uplink that the last connection was bound to.
    pub fn over(&self) -> Option<String> {
        lock(&self.last).over.clone()
    }

    /// The interface that the last connection took: the uplink that it was bound to, or the kernel's choice.
    pub fn last_interface(&self) -> Option<String> {
        let last = lock(&self.last);
        last.over.clone().or_else(|| last.kernels.clone())
    }

    /// The server's address that the last connection was made with.
    pub fn peer(&self) -> Option<SocketAddr> {
        lock(&self.last).peer
    }

    /// Whether another uplink could carry what the last connection does not.
    pub fn has_choice(&self) -> bool {
        let last = lock(&self.last);
        last.has_choice && last.over.is_some()
    }

    /// The last connection ended in silence: in the next race its uplink is given 50 ms before the next one starts.
    pub fn fell_silent(&self) {
        let mut last = lock(&self.last);
        last.silent = last.over.clone();
    }

    /// A heartbeat is about to be sent.
    pub fn begin(&self) {
        self.cut.store(false, Ordering::SeqCst);
        self.busy.store(true, Ordering::SeqCst);
    }

    /// Its outcome is known. Returns whether the connection was cut in the meantime.
    pub fn end(&self) -> bool {
        self.busy.store(false, Ordering::SeqCst);
        self.cut.load(Ordering::SeqCst)
    }

    /// Ends whatever is in flight now, from any thread: a connection being opened, a request, an answer that
    /// does not come. An idle connection stays open. Name lookups are not interrupted.
    pub fn abort(&self) {
        if self.busy.load(Ordering::SeqCst) {
            self.cut();
        }
    }

    /// Closes everything, idle connections too.
    pub fn cut(&self) {
        let live = lock(&self.live);
        self.cut.store(true, Ordering::SeqCst);
        for socket in live.iter().filter_map(Weak::upgrade) {
            // Drops unsent data on close: an old heartbeat must not arrive after the new one
            // because a dead uplink came back.
            let _ = socket.set_linger(Some(Duration::ZERO));
            // A socket that is just connecting is interrupted as well; one that has ended says an error.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// The next heartbeat opens a new connection: the kept one leads over an uplink that is no longer in use. A heartbeat
    /// in flight is not interrupted.
    pub fn renew(&self) {
        self.stale.store(true, Ordering::Relaxed);
    }

    /// Whether the kept connection may be used again.
    pub fn is_fresh(&self) -> bool {
        let is_on_detour = lock(&self.last).next_race.is_some_and(|at| at <= Instant::now());
        !is_on_detour && !self.stale.load(Ordering::Relaxed)
    }

    /// Number of dials so far, to distinguish a new connection from a kept one.
    pub fn dialled(&self) -> u64 {
        self.dialled.load(Ordering::Relaxed)
    }

    /// Whether uplinks may carry heartbeats although the kernel's default route leads over another interface. Its own
    /// choice gets another chance in each race after [`KERNELS_TURN`].
    pub(super) fn uplink_override(&self, secure: bool) -> UplinkOverride {
        let undelivered = self.undelivered(None) >= TOO_MANY;
        let recently = lock(&self.last).kernel_failed.is_some_and(|at| at.elapsed() < KERNELS_TURN);
        match self.chosen.load(Ordering::Relaxed) {
            true => UplinkOverride::Chosen,
            false if secure && undelivered && recently => UplinkOverride::Undelivered,
            false => UplinkOverride::No,
        }
    }

    /// The kernel's choice could not even be connected to.
    pub(super) fn kernel_failed(&self) {
        lock(&self.deliveries).record_uplink(None, Evidence::Lost);
        lock(&self.last).kernel_failed = Some(Instant::now());
    }

    /// The order in which addresses and uplinks are dialled.
    pub(super) fn best_first(&self, addresses: &[SocketAddr]) -> (Vec<SocketAddr>, Vec<Uplink>) {
        let (mut addresses, mut uplinks) = (addresses.to_vec(), lock(&self.uplinks).clone());
        let deliveries = lock(&self.deliveries);
        deliveries.sort(&mut addresses);
        uplinks.sort_by_key(|uplink| deliveries.rank(Some(&uplink.name)));
        (addresses, uplinks)
    }

    /// [`Dialer::cut`] holds the same lock, so no new socket escapes it.
    pub(super) fn register(&self, socket: &Arc<Socket>) -> io::Result<()> {
        let mut live = lock(&self.live);
        if self.cut.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        live.retain(|socket| socket.strong_count() > 0);
        live.push(Arc::downgrade(socket));
        Ok(())
    }
}
