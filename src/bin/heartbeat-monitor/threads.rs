//! The threads of the monitor and the channels between them.
//!
//! | thread | waits for | ends when |
//! |---|---|---|
//! | main | signals | TERM, INT, or the http thread fails |
//! | http | sockets; handles heartbeats itself | the stop |
//! | tls-N | handshakes; only with a certificate | http has ended |
//! | worker-N | requests of programs | http has ended |
//! | page, live | requests of people; a change for an open page | http has ended |
//! | packages | requests for packages, pieces of files | http has ended |
//! | password | sign-ins and other requests that need a hash | page has ended |
//! | recorder | events, tickers | http, workers and main have dropped their senders |
//! | courier ... | the outbox | the stop |
//! | health | 5 s | main drops its sender |
//! | buttons | 5 s | main drops its sender |
//! | telegram-chats | messages to a bot, while a chat is looked for or a button may be pressed | that is over |
//! | watchdog | its interval; only if one is configured | main drops its sender |
//! | mqtt | changes, the broker; only if one is configured | main drops its sender |
//! | reports | a minute | main drops its sender |
//! | upkeep | an hour | main drops its sender |

use crate::gate::gate;
use crate::web::threads::{Handler, PageParts, Pages};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use heartbeat_daemon::clock::{Moment, Now};
use heartbeat_daemon::http::{Exchange, Server, queue};
use heartbeat_daemon::latest::Latest;
use heartbeat_daemon::monitor::api::{self, ApiContext, ApiSettings, FAILED_ENROLMENTS};
use heartbeat_daemon::monitor::command_error::CommandError;
use heartbeat_daemon::monitor::config::Config;
use heartbeat_daemon::monitor::fleet::Fleet;
use heartbeat_daemon::monitor::health::{self, Health};
use heartbeat_daemon::monitor::incidents::sweep::{SweepSettings, Sweeper};
use heartbeat_daemon::monitor::ingest::Ingest;
use heartbeat_daemon::monitor::mqtt::counters::MqttCounters;
use heartbeat_daemon::monitor::notify::chat_search::ChatSearches;
use heartbeat_daemon::monitor::notify::{NotifySettings, Poke, couriers::Couriers, telegram_buttons};
use heartbeat_daemon::monitor::packages::{offer::Offer, service};
use heartbeat_daemon::monitor::pulse::Pulse;
use heartbeat_daemon::monitor::rate_limit::NetworkLimit;
use heartbeat_daemon::monitor::recorder::{FLUSH, Recorder};
use heartbeat_daemon::monitor::recorder::{RecorderContext, RecorderEvent, RecorderInbox};
use heartbeat_daemon::monitor::reports;
use heartbeat_daemon::monitor::retention::hourly;
use heartbeat_daemon::monitor::store::Store;
use heartbeat_daemon::startup::{cannot, spawn};
use heartbeat_daemon::systemd;
use heartbeat_daemon::ticker::Ticker;
use signal_hook::iterator::Handle;
use std::io;
use std::sync::Arc;

/// What works without a request.
pub struct Core {
    pub couriers: Couriers,
    /// The recorder's queue.
    pub orders: Sender<RecorderEvent>,
    /// Disconnected when the recorder has written everything.
    pub recorder_ended: Receiver<()>,
    pub shared: RecorderContext,
    pub mqtt: Arc<MqttCounters>,
    sending: NotifySettings,
    pub poke: Poke,
    /// Receives after each transition, for open pages.
    changed: Receiver<()>,
    /// The same for MQTT.
    pub transitions: Receiver<()>,
    started: Now,
}

impl Core {
    /// Loads the state from the database, then starts recorder and couriers.
    ///
    /// # Errors
    /// The database cannot be read, or a thread cannot be started.
    pub fn start(
        store: Arc<Store>,
        sweeping: SweepSettings,
        sending: NotifySettings,
        now: Now,
    ) -> Result<Core, CommandError> {
        let (mut poke, poked) = Poke::new();
        let (changed, transitions) = (poke.also(), poke.also());
        let pokes = poke.clone();
        let clock = Arc::new(Now::read);
        let couriers = Couriers::start(store.clone(), sending.clone(), poked, clock)
            .map_err(cannot("start the couriers"))?;
        let fleet = Arc::new(Fleet::new(store.process().is_some()));
        let shared = RecorderContext {
            store,
            registry: Arc::default(),
            fleet,
            pulse: Arc::new(Pulse::new(now.monotonic)),
        };
        let (orders, recorder_ended) = start_recorder(&shared, sweeping, poke, now)?;
        Ok(Core {
            shared,
            mqtt: Arc::default(),
            couriers,
            orders,
            recorder_ended,
            sending,
            poke: pokes,
            changed,
            transitions,
            started: now,
        })
    }
}

/// What answers requests.
pub struct Front {
    pub settings: Arc<Latest<ApiSettings>>,
    /// The delivery settings of the pages, and of alerts about the monitor itself.
    pub sending: Arc<Latest<NotifySettings>>,
    /// The packages for devices.
    pub offered: Arc<Latest<Offer>>,
    /// `None`: no page is served.
    pub pages: Option<Pages>,
    /// The result of the http thread.
    pub http_ended: Receiver<io::Result<()>>,
    /// Disconnected when all workers have returned.
    pub workers_ended: Receiver<()>,
    /// The health thread ends when this is dropped.
    _health: Sender<()>,
    /// The same for the thread `buttons`.
    _buttons: Sender<()>,
}

impl Front {
    /// Starts to answer requests; `signals` ends when the http thread does.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        server: Server,
        core: &Core,
        config: &Config,
        offer: Offer,
        signals: Handle,
    ) -> Result<Front, CommandError> {
        let ingest = Ingest::new(core.shared.clone(), core.orders.clone());
        let health = Arc::new(Health::new(core.shared.pulse.clone(), core.couriers.counters()));
        let settings = Arc::new(Latest::new(ApiSettings::of(config)));
        let api = Arc::new(ApiContext {
            shared: core.shared.clone(),
            health: health.clone(),
            orders: core.orders.clone(),
            ingest: ingest.counters(),
            couriers: core.couriers.counters(),
            mqtt: core.mqtt.clone(),
            counters: server.counters(),
            settings: settings.clone(),
            enrolments: NetworkLimit::new(FAILED_ENROLMENTS, core.started.monotonic),
            started: core.started.wall,
        });
        let (others, requests) = queue(config.limits.queue);
        let sending = Arc::new(Latest::new(core.sending.clone()));
        let offered = Arc::new(Latest::new(offer));
        let (chats, buttons) =
            telegram_buttons::start(core.shared.store.clone(), sending.clone(), core.poke.clone())?;
        let shown = (sending.clone(), offered.clone(), chats);
        let (pages, handler) = start_pages(core, config, shown, others)?;
        let handler = service::start(offered.clone(), handler)?;
        let workers_ended = workers(config.limits.workers, &api, &requests)?;
        let health = start_health(health, core.shared.store.clone(), sending.clone())?;
        let server = server.gate(gate(ingest.clone(), api, config.web.enabled));
        let http_ended = start_http(server, ingest, handler, signals)?;
        Ok(Front {
            settings,
            sending,
            offered,
            pages,
            http_ended,
            workers_ended,
            _health: health,
            _buttons: buttons,
        })
    }
}

/// Loads the state from the database, then starts the recorder. Returns its queue, and a receiver that disconnects when
/// everything is written.
fn start_recorder(
    shared: &RecorderContext,
    sweeping: SweepSettings,
    poke: Poke,
    now: Now,
) -> Result<(Sender<RecorderEvent>, Receiver<()>), CommandError> {
    let interval = sweeping.check_interval;
    let watchdog = systemd::Watchdog::from_environment(now.monotonic);
    let recorder = Recorder::new(shared.clone(), Sweeper::new(sweeping, now, poke), watchdog);
    recorder.load(Moment::now())?;
    // Ingest sends most, and keeps it bounded; a bounded channel would take the memory of a returning fleet from the start.
    let (orders, inbox) = unbounded();
    let inbox = RecorderInbox {
        orders: inbox,
        flush: Ticker::every(FLUSH, now.monotonic + FLUSH),
        sweep: Ticker::every(interval, now.monotonic + interval),
    };
    Ok((orders, spawn("recorder", move || recorder.run(inbox))?))
}

/// Starts the threads of the pages if pages are served. The handler passes on what is not for them.
fn start_pages(
    core: &Core,
    config: &Config,
    (notify, offered, chats): (Arc<Latest<NotifySettings>>, Arc<Latest<Offer>>, Arc<ChatSearches>),
    others: impl FnMut(Exchange) + Send + 'static,
) -> Result<(Option<Pages>, Handler), CommandError> {
    if !config.web.enabled {
        return Ok((None, Box::new(others)));
    }
    let (shared, orders, poke) = (&core.shared, &core.orders, core.poke.clone());
    let parts = PageParts { shared, config, orders, poke, notify, offered, chats };
    let (pages, handler) = Pages::start(parts, core.changed.clone(), others)?;
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
pub fn start_upkeep(store: Arc<Store>, keeping: hourly::Kept) -> Result<Sender<hourly::Kept>, CommandError> {
    let (upkeep, kept) = bounded(1);
    drop(spawn("upkeep", move || hourly::run(&store, keeping, &kept))?);
    Ok(upkeep)
}

/// Starts the thread `reports`, which ends when the sender is dropped.
pub fn start_reports(
    store: Arc<Store>,
    sending: Arc<Latest<NotifySettings>>,
    poke: Poke,
) -> Result<Sender<()>, CommandError> {
    let (stop, stopped) = bounded(0);
    drop(spawn("reports", move || reports::run(&store, &sending, &poke, &stopped))?);
    Ok(stop)
}
