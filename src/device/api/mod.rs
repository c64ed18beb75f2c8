//! The local HTTP API: what the users and scripts of the systems before this one call, and the status page.
//!
//! ```text
//! heartbeat: HeartbeatStatus ─┐
//! failover: status ───┼─► route ─ guard ─► a handler ─► Response     one thread, "api": the front's own
//! cameras: list ──────┘                       │
//!                                             └─► trigger, cameras: add, dhcp, check (answered when it is done)
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `listen` | the address and the socket file |
//! | `route` | which handler answers what |
//! | `call` | what a handler is given |
//! | `guard` | who may do what |
//! | `state` | what the handlers know |
//! | `failover` | uplinks and the manual override |
//! | `meeting`, `cameras` | the paths of the systems before this one |
//! | `document`, `last_hour`, `health`, `metrics`, `page` | our own |
//! | `client`, `table` | the other end: the command line's |

mod call;
mod cameras;
pub mod client;
mod document;
pub mod failover;
mod guard;
mod health;
mod last_hour;
mod listen;
mod meeting;
mod metrics;
mod page;
mod route;
mod settings;
mod state;
pub mod table;

use crate::clock::Now;
use crate::device::config::Listen;
use crate::http::{Counters, Exchange, Limits, Server, Stopper};
use crate::latest::Latest;
use call::{Handled, Pending, with_common_headers};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use listen::Open;
use route::answer;
pub use state::{ApiContext, ApiSettings};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Wait before the next attempt to bind a port in use: nothing waits for it, and an attempt costs two system calls.
const AGAIN: Duration = Duration::from_secs(10);
/// Answers on their way get this long at a stop; each is ready within milliseconds.
const GRACE: Duration = Duration::from_millis(200);
/// The longest body is a DHCP event.
const BODY: usize = 16 * 1024;
/// A person with some tabs, a dashboard, some scripts.
const CONNECTIONS: usize = 256;
/// A check of all cameras with the longest timeouts, twice (ICMP, then TCP).
const CHECK: Duration = Duration::from_secs(60);

/// The main thread's end of the API.
#[derive(Debug)]
pub struct ApiServer {
    shared: Arc<Shared>,
    /// Dropped: the thread ends.
    running: Option<Sender<()>>,
    /// Disconnected when it has.
    ended: Receiver<()>,
}

struct Shared {
    settings: Latest<ApiSettings>,
    context: ApiContext,
    /// Of the server that runs now.
    stopper: Mutex<Option<Stopper>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.settings.fmt(f)
    }
}

impl ApiServer {
    pub fn start(settings: ApiSettings, context: ApiContext) -> io::Result<ApiServer> {
        let shared = Shared { settings: Latest::new(settings), context, stopper: Mutex::new(None) };
        let shared = Arc::new(shared);
        let (running, end) = bounded(0);
        let (alive, ended) = bounded(0);
        let theirs = shared.clone();
        thread::Builder::new().name("api".into()).spawn(move || {
            run(&theirs, &end);
            drop(alive);
        })?;
        Ok(ApiServer { shared, running: Some(running), ended })
    }

    /// Unchanged listeners stay open.
    pub fn reload(&self, settings: ApiSettings) {
        let before = self.shared.settings.get();
        let same = before.api == settings.api;
        self.shared.settings.put(settings);
        if !same {
            self.shared.stop_server();
        }
    }

    /// Accepts no more requests; those in flight are answered until this is dropped.
    pub fn close(&mut self) {
        self.running = None;
        self.shared.stop_server();
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.close();
        // It ends at once, or the process does.
        let _ = self.ended.recv_timeout(GRACE * 2);
    }
}

impl Shared {
    fn stopper(&self) -> MutexGuard<'_, Option<Stopper>> {
        self.stopper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_server(&self) {
        if let Some(stopper) = &*self.stopper() {
            stopper.stop(GRACE);
        }
    }

    fn handle(&self, exchange: Exchange, counters: &Counters) {
        let settings = self.settings.get();
        match answer(&exchange.request, &self.context, &settings, counters, Now::read()) {
            Handled::Response(response) => exchange.reply.send(with_common_headers(response)),
            Handled::Deferred(start) => start(&self.context, Pending::new(exchange.reply)),
        }
    }
}

/// A server for each time that something about the listeners changes.
fn run(shared: &Arc<Shared>, end: &Receiver<()>) {
    while end.try_recv() != Err(TryRecvError::Disconnected) {
        let settings = shared.settings.get();
        let open = Open::all(&settings.api, &shared.context.port);
        open.problems.iter().for_each(|problem| log::warn!("API: {problem}"));
        match shared.context.port.left_to().filter(|_| settings.api.listen == Listen::Auto) {
            Some(other) => log::info!("API listens on {open}; port 5000 is left to {other}"),
            None => log::info!("API listens on {open}"),
        }
        if let Err(error) = serve(shared, open, &settings, end) {
            log::error!("API: {error}; tried again in {} s", AGAIN.as_secs());
            let _ = end.recv_timeout(AGAIN);
        }
    }
}

fn serve(
    shared: &Arc<Shared>,
    open: Open,
    settings: &Arc<ApiSettings>,
    end: &Receiver<()>,
) -> io::Result<()> {
    let Open { listeners, address, file, .. } = open;
    let limits = Limits {
        body: BODY,
        connections: CONNECTIONS,
        connections_per_address: CONNECTIONS / 2,
        answer: CHECK,
        ..Limits::default()
    };
    let server = Server::new(listeners, limits)?;
    let counters = server.counters();
    *shared.stopper() = Some(server.stopper());
    // The stop came before the stopper existed.
    let outdated = settings.api != shared.settings.get().api;
    if outdated || end.try_recv() == Err(TryRecvError::Disconnected) {
        return Ok(());
    }
    // Dropped with this server, which ends the wait for its port.
    let (_running, over) = bounded(0);
    if let (Listen::At(taken), None) = (settings.api.listen, address) {
        wait_for_port(taken, server.stopper(), over)?;
    }
    let theirs = shared.clone();
    let ended = server.run(move |exchange| theirs.handle(exchange, &counters));
    drop(file);
    ended
}

/// A thread for as long as another program has the configured port: once it is free, the server starts again with it.
fn wait_for_port(address: SocketAddr, stopper: Stopper, over: Receiver<()>) -> io::Result<()> {
    let wait = move || {
        while over.recv_timeout(AGAIN) == Err(RecvTimeoutError::Timeout) {
            if TcpListener::bind(address).is_ok() {
                return stopper.stop(GRACE);
            }
        }
    };
    thread::Builder::new().name("api-port".into()).spawn(wait).map(drop)
}
