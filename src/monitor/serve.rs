//! Start-up, signals and stop: the threads of the monitor and the channels between them.
//!
//! | thread | waits for | ends when |
//! |---|---|---|
//! | main | signals | TERM, INT, or the http thread fails |
//! | http | sockets; handles heartbeats itself | the stop |
//! | worker-N | requests of programs | http has ended |
//! | page, live | requests of people; a change for an open page | http has ended |
//! | packages | requests for packages, pieces of files | http has ended |
//! | password | sign-ins and other requests that need a hash | page has ended |
//! | recorder | events, tickers | http, workers and main have dropped their senders |
//! | courier ... | the outbox | the stop |
//! | health | 5 s | main drops its sender |
//! | upkeep | an hour | main drops its sender |

use super::api::{self, ApiContext, ApiSettings, FAILED_ENROLMENTS};
use super::command_error::CommandError;
use super::config::Config;
use super::gate::gate;
use super::health::{self, Health};
use super::ingest::Ingest;
use super::listen::{self, Bound};
use super::notify::{NotifySettings, Poke, couriers::Couriers};
use super::packages::{offer::Offer, service};
use super::pulse::Pulse;
use super::rate_limit::NetworkLimit;
use super::recorder::{FLUSH, Recorder};
use super::store::{Store, StoreError};
use crate::clock::Moment;
use crate::clock::Now;
use crate::duration::go;
use crate::http::listener::SocketFile;
use crate::http::tls::TlsConfig;
use crate::http::{Exchange, Limits, Server, Stopper, queue};
use crate::latest::Latest;
use crate::monitor::incidents::sweep::{SweepSettings, Sweeper};
use crate::monitor::recorder::{RecorderContext, RecorderEvent, RecorderInbox};
use crate::monitor::retention::hourly;
use crate::monitor::web::threads::{Handler, PageParts, Pages};
use crate::startup::{cannot, spawn};
use crate::ticker::Ticker;
use crate::{heap, logging, systemd};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never};
use log::Level;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest duration of a stop, even if devices, disks or mail servers hang.
const STOP: Duration = Duration::from_secs(5);
/// The part of it for answering complete requests.
const GRACE: Duration = Duration::from_secs(2);
/// Size of the recorder's queue: a returning fleet sends 50,000 heartbeats a second, and a commit takes 80 ms. Each place
/// costs 56 bytes.
const ORDERS: usize = 4096;

/// Serves in the foreground until SIGTERM or SIGINT.
pub fn run(config_file: &Path) -> Result<(), CommandError> {
    let config = Config::load(config_file)?;
    logging::init(config.log);
    heap::share();
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(cannot("handle signals"))?;
    let mut monitor = Monitor::start(config_file, config, signals.handle())?;
    heap::trim();
    for signal in signals.forever() {
        match signal {
            SIGHUP => monitor.reload(),
            _ => break,
        }
    }
    monitor.stop()
}

/// The main thread's handles of the other threads.
struct Monitor {
    config_file: PathBuf,
    config: Config,
    /// `None`: plain HTTP.
    tls: Option<TlsConfig>,
    /// Removed on drop.
    _socket: Option<SocketFile>,
    stopper: Stopper,
    settings: Arc<Latest<ApiSettings>>,
    orders: Sender<RecorderEvent>,
    couriers: Couriers,
    /// The packages for devices.
    offered: Arc<Latest<Offer>>,
    upkeep: Sender<hourly::Kept>,
    /// `None`: no page is served.
    pages: Option<Pages>,
    /// The delivery settings of alerts about the monitor itself.
    sending: Arc<Latest<NotifySettings>>,
    /// The health thread ends when this is dropped.
    _health: Sender<()>,
    /// The result of the http thread.
    http_ended: Receiver<io::Result<()>>,
    /// Disconnected when all workers have returned.
    workers_ended: Receiver<()>,
    /// Disconnected when the recorder has written everything.
    recorder_ended: Receiver<()>,
}

impl Monitor {
    fn start(config_file: &Path, config: Config, signals: Handle) -> Result<Monitor, CommandError> {
        let now = Now::read();
        let certificate = listen::certificate(&config)?;
        let sending = NotifySettings::load(&config)?;
        let offered = Arc::new(Latest::new(Offer::load(&config)?));
        listen::make_room(&config);
        let store = Arc::new(Store::open_for_serving(&config.store.database, now.wall)?);
        let hints = hints(&store, &config).map_err(database)?;
        let shared = RecorderContext {
            store: store.clone(),
            registry: Arc::default(),
            fleet: Arc::default(),
            pulse: Arc::new(Pulse::new(now.monotonic)),
        };
        let mut bound = listen::bind(&config.http, certificate)?;
        let server = Server::new(std::mem::take(&mut bound.listeners), limits(&config));
        let server = server.map_err(cannot("listen"))?;
        let (stopper, counters) = (server.stopper(), server.counters());

        let (mut poke, poked) = Poke::new();
        let (changed, pokes) = (poke.also(), poke.clone());
        let clock = Arc::new(Now::read);
        let couriers = Couriers::start(store.clone(), sending.clone(), poked, clock)
            .map_err(cannot("start the couriers"))?;
        let sweeper = Sweeper::new(sweeping(&config), now, poke);
        let (orders, recorder_ended) = start_recorder(&shared, sweeper, &config, now.monotonic)?;

        let health = Arc::new(Health::new(shared.pulse.clone(), couriers.counters()));
        let settings = Arc::new(Latest::new(ApiSettings::of(&config)));
        let ingest = Ingest::new(shared.clone(), orders.clone());
        let api = Arc::new(ApiContext {
            shared,
            health: health.clone(),
            orders: orders.clone(),
            ingest: ingest.counters(),
            couriers: couriers.counters(),
            counters,
            settings: settings.clone(),
            enrolments: NetworkLimit::new(FAILED_ENROLMENTS, now.monotonic),
            started: now.wall,
        });
        let (others, requests) = queue(config.limits.queue);
        let sending = Arc::new(Latest::new(sending));
        let parts = PageParts {
            shared: &api.shared,
            config: &config,
            orders: &orders,
            poke: pokes,
            notify: sending.clone(),
            offered: offered.clone(),
        };
        let (pages, handler) = start_pages(parts, changed, others)?;
        let handler = service::start(offered.clone(), handler)?;
        let workers_ended = workers(config.limits.workers, &api, &requests)?;
        let watch = start_health(health, store.clone(), sending.clone())?;
        let upkeep = start_upkeep(store, &config)?;
        let server = server.gate(gate(ingest.clone(), api, config.web.enabled));
        let http_ended = start_http(server, ingest, handler, signals)?;
        announce(&config, &bound);
        for (level, hint) in hints {
            log::log!(level, "{hint}");
        }
        systemd::ready("watching");
        Ok(Monitor {
            config_file: config_file.to_owned(),
            config,
            tls: bound.tls,
            _socket: bound.socket,
            stopper,
            settings,
            orders,
            couriers,
            offered,
            upkeep,
            pages,
            sending,
            _health: watch,
            http_ended,
            workers_ended,
            recorder_ended,
        })
    }

    /// Reloads configuration and certificate; on an error, all of the old ones stay.
    fn reload(&mut self) {
        let loaded = Config::load(&self.config_file).and_then(|config| {
            let certificate = listen::certificate(&config)?;
            Ok((certificate, NotifySettings::load(&config)?, Offer::load(&config)?, config))
        });
        let (certificate, sending, offer, config) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return log::error!("{error}; keeping the old configuration"),
        };
        for (section, same) in [
            ("listen or socket in [http], or from HTTP to HTTPS,", config.http.same_place(&self.config.http)),
            ("[store]", config.store == self.config.store),
            ("[limits]", config.limits == self.config.limits),
            ("enabled in [web]", config.web.enabled == self.config.web.enabled),
        ] {
            if !same {
                log::warn!("the change of {section} takes effect at the next start");
            }
        }
        logging::init(config.log);
        if let (Some(tls), Some(certificate)) = (&self.tls, certificate) {
            tls.replace(certificate);
        }
        self.settings.put(ApiSettings::of(&config));
        self.offered.put(offer);
        if let Some(pages) = &self.pages {
            pages.reload(&config);
        }
        self.sending.put(sending.clone());
        self.couriers.reload(sending);
        // Both threads live as long as this one holds their senders.
        let recorder = self.orders.send(RecorderEvent::Settings(sweeping(&config)));
        let upkeep = self.upkeep.send(kept_of(&config));
        debug_assert!(recorder.is_ok() && upkeep.is_ok());
        log::info!("configuration reloaded {}", rhythm(&config));
        self.config = config;
    }

    /// Stops in the order of the data flow: requests, workers, recorder, couriers.
    fn stop(self) -> Result<(), CommandError> {
        systemd::stopping();
        let deadline = Instant::now() + STOP;
        drop(self.upkeep);
        let pages_ended = self.pages.as_ref().map_or_else(never, Pages::stop);
        self.stopper.stop(GRACE);
        let http = self.http_ended.recv_deadline(deadline);
        drop(self.orders);
        if self.pages.is_some() && pages_ended.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
            log::warn!("a page is still being made; stopping anyway");
        }
        for (ended, what) in [
            (&self.workers_ended, "a request is still being answered"),
            (&self.recorder_ended, "the last heartbeats are not written to the database yet"),
        ] {
            if ended.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout) {
                log::warn!("{what}; stopping anyway");
            }
        }
        self.couriers.stop(deadline);
        log::info!("Heartbeat monitor stopped");
        match http {
            Ok(Err(error)) => Err(CommandError::Other(format!("cannot poll the sockets: {error}"))),
            _ => Ok(()),
        }
    }
}

/// Loads the state from the database, then starts the recorder. Returns its queue, and a receiver that disconnects when
/// everything is written.
fn start_recorder(
    shared: &RecorderContext,
    sweeper: Sweeper,
    config: &Config,
    now: Instant,
) -> Result<(Sender<RecorderEvent>, Receiver<()>), CommandError> {
    let (orders, inbox) = bounded(ORDERS);
    let recorder = Recorder::new(shared.clone(), sweeper, systemd::Watchdog::from_environment(now));
    recorder.load(Moment::now()).map_err(database)?;
    let interval = config.detection.check_interval;
    let inbox = RecorderInbox {
        orders: inbox,
        flush: Ticker::every(FLUSH, now + FLUSH),
        sweep: Ticker::every(interval, now + interval),
    };
    Ok((orders, spawn("recorder", move || recorder.run(inbox))?))
}

/// Starts the threads of the pages if pages are served. The handler passes on what is not for them.
fn start_pages(
    parts: PageParts<'_>,
    changed: Receiver<()>,
    others: impl FnMut(Exchange) + Send + 'static,
) -> Result<(Option<Pages>, Handler), CommandError> {
    if !parts.config.web.enabled {
        return Ok((None, Box::new(others)));
    }
    let (pages, handler) = Pages::start(parts, changed, others)?;
    Ok((Some(pages), handler))
}

/// Starts the http thread. It handles ingest itself and passes other requests to `others`.
fn start_http(
    server: Server,
    ingest: Ingest,
    mut others: impl FnMut(Exchange) + Send + 'static,
    signals: Handle,
) -> Result<Receiver<io::Result<()>>, CommandError> {
    let (ended, http_ended) = bounded(1);
    drop(spawn("http", move || {
        let result = server.run(move |exchange| {
            if let Some(exchange) = ingest.handle(exchange, Now::read()) {
                others(exchange);
            }
        });
        // Wakes main, which waits for signals: without sockets the monitor must end.
        let _ = ended.send(result);
        signals.close();
    })?);
    Ok(http_ended)
}

/// Starts the workers. The returned receiver disconnects when all have ended.
fn workers(
    count: usize,
    context: &Arc<ApiContext>,
    requests: &Receiver<Exchange>,
) -> Result<Receiver<()>, CommandError> {
    let (alive, ended) = bounded(0);
    for number in 1..=count {
        let (context, requests, alive) = (context.clone(), requests.clone(), alive.clone());
        drop(spawn(&format!("worker-{number}"), move || {
            api::work(&context, &requests);
            drop(alive);
        })?);
    }
    Ok(ended)
}

/// Starts the thread `health`, which ends when the sender is dropped.
fn start_health(
    health: Arc<Health>,
    store: Arc<Store>,
    sending: Arc<Latest<NotifySettings>>,
) -> Result<Sender<()>, CommandError> {
    let (watch, watched) = bounded(0);
    drop(spawn("health", move || health::watch(&health, &store, &sending, &watched))?);
    Ok(watch)
}

/// Starts the thread `upkeep`, which ends when the sender is dropped.
fn start_upkeep(store: Arc<Store>, config: &Config) -> Result<Sender<hourly::Kept>, CommandError> {
    let (upkeep, kept) = bounded(1);
    let keeping = kept_of(config);
    drop(spawn("upkeep", move || hourly::run(&store, keeping, &kept))?);
    Ok(upkeep)
}

/// What the person who has just installed the monitor has still to do.
fn hints(store: &Store, config: &Config) -> Result<Vec<(Level, &'static str)>, StoreError> {
    let mut hints = Vec::new();
    if config.web.enabled && !store.has_users()? {
        hints.push((Level::Info, "no user yet: sudo heartbeat-monitor user add NAME --role owner"));
    }
    if !store.has_enabled_channel()? {
        hints.push((Level::Warn, "No channel: nobody will be notified (heartbeat-monitor channel add)"));
    }
    Ok(hints)
}

/// Logs the start; LunaSentri's users look for the first line.
fn announce(config: &Config, bound: &Bound) {
    log::info!("Heartbeat monitor started {}", rhythm(config));
    let scheme = if config.http.tls.is_some() { "https" } else { "http" };
    if let Some(address) = bound.address {
        log::info!("heartbeat-monitor {} is listening on {scheme}://{address}", env!("CARGO_PKG_VERSION"));
    }
    if let Some(socket) = &config.http.socket {
        log::info!("heartbeat-monitor {} is listening on {}", env!("CARGO_PKG_VERSION"), socket.display());
    }
}

/// Interval and threshold as LunaSentri logs them.
fn rhythm(config: &Config) -> String {
    let (interval, threshold) = (config.detection.check_interval, config.detection.offline_threshold);
    format!("(interval: {}, threshold: {})", go(interval), go(threshold))
}

fn limits(config: &Config) -> Limits {
    Limits {
        connections: config.limits.connections,
        connections_per_address: config.limits.connections_per_address,
        unlimited: config.http.trusted_proxies.clone(),
        ..Limits::default()
    }
}

fn sweeping(config: &Config) -> SweepSettings {
    SweepSettings {
        check_interval: config.detection.check_interval,
        threshold: config.detection.offline_threshold,
    }
}

fn kept_of(config: &Config) -> hourly::Kept {
    hourly::Kept { events: config.retention.events, deliveries: config.retention.deliveries }
}

fn database(error: StoreError) -> CommandError {
    CommandError::Other(error.to_string())
}
