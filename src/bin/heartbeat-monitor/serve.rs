//! Start-up, signals, reload and stop.

use crate::threads::{Core, Front, start_reports, start_upkeep};
use crate::web::threads::Pages;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, never};
use heartbeat_daemon::clock::{Moment, Now};
use heartbeat_daemon::duration::go;
use heartbeat_daemon::http::listener::SocketFile;
use heartbeat_daemon::http::tls::TlsConfig;
use heartbeat_daemon::http::{Limits, Server, Stopper};
use heartbeat_daemon::monitor::api::ApiSettings;
use heartbeat_daemon::monitor::command_error::CommandError;
use heartbeat_daemon::monitor::config::Config;
use heartbeat_daemon::monitor::incidents::sweep::SweepSettings;
use heartbeat_daemon::monitor::listen::{self, Bound};
use heartbeat_daemon::monitor::mqtt::counters::MqttCounters;
use heartbeat_daemon::monitor::mqtt::{MqttSettings, MqttThread};
use heartbeat_daemon::monitor::notify::{NotifySettings, couriers::Couriers};
use heartbeat_daemon::monitor::own_health::OwnListener;
use heartbeat_daemon::monitor::packages::offer::Offer;
use heartbeat_daemon::monitor::recorder::{RecorderContext, RecorderEvent};
use heartbeat_daemon::monitor::retention::{ahead, hourly};
use heartbeat_daemon::monitor::store::{Store, StoreError};
use heartbeat_daemon::monitor::watchdog::{WatchdogSettings, WatchdogThread};
use heartbeat_daemon::startup::cannot;
use heartbeat_daemon::{heap, logging, systemd};
use log::Level;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest duration of a stop, even if devices, disks or mail servers hang.
const STOP: Duration = Duration::from_secs(5);
/// The part of it for answering complete requests.
const GRACE: Duration = Duration::from_secs(2);

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
    orders: Sender<RecorderEvent>,
    couriers: Couriers,
    upkeep: Sender<hourly::Kept>,
    reports: Sender<()>,
    front: Front,
    watchdog: Option<WatchdogThread>,
    own: OwnListener,
    mqtt: Option<MqttThread>,
    mqtt_counters: Arc<MqttCounters>,
    shared: RecorderContext,
    transitions: Receiver<()>,
    /// Disconnected when the recorder has written everything.
    recorder_ended: Receiver<()>,
}

impl Monitor {
    fn start(config_file: &Path, config: Config, signals: Handle) -> Result<Monitor, CommandError> {
        let now = Now::read();
        let certificate = listen::certificate(&config)?;
        let sending = NotifySettings::load(&config)?;
        let offer = Offer::load(&config)?;
        let pinged = WatchdogSettings::load(&config)?;
        let broker = MqttSettings::load(&config)?;
        let connections = listen::make_room(&config);
        let store = Arc::new(Store::open_for_serving(&config.store.database, now.wall)?);
        ahead::make(&store, Moment::now());
        let hints = hints(&store, &config)?;
        let mut bound = listen::bind(&config.http, &config.store.state_dir, certificate)?;
        let server = Server::new(std::mem::take(&mut bound.listeners), limits(&config, connections));
        let server = server.map_err(cannot("listen"))?;
        let stopper = server.stopper();
        let core = Core::start(store.clone(), sweeping(&config), sending, now)?;
        let front = Front::start(server, &core, &config, offer, signals)?;
        let reports = start_reports(store.clone(), front.sending.clone(), core.poke.clone())?;
        let upkeep = start_upkeep(store, kept_of(&config))?;
        let own = OwnListener::bound(&config.http, bound.address);
        let start = |settings| WatchdogThread::start(settings, own.clone(), core.couriers.counters());
        let watchdog = pinged.map(start).transpose()?;
        let start = |settings| {
            MqttThread::start(settings, core.shared.clone(), core.transitions.clone(), core.mqtt.clone())
        };
        let mqtt = broker.map(start).transpose()?;
        announce(&config, &bound);
        for (level, hint) in hints {
            log::log!(level, "{hint}");
        }
        systemd::ready("watching");
        let Core { couriers, orders, recorder_ended, shared, transitions, mqtt: mqtt_counters, .. } = core;
        Ok(Monitor {
            config_file: config_file.to_owned(),
            config,
            tls: bound.tls,
            _socket: bound.socket,
            stopper,
            orders,
            couriers,
            upkeep,
            reports,
            front,
            watchdog,
            own,
            mqtt,
            mqtt_counters,
            shared,
            transitions,
            recorder_ended,
        })
    }

    /// Reloads configuration and certificate; on an error, all of the old ones stay.
    fn reload(&mut self) {
        let loaded = Config::load(&self.config_file).and_then(|config| {
            let certificate = listen::certificate(&config)?;
            let pinged = WatchdogSettings::load(&config)?;
            let outside = (pinged, MqttSettings::load(&config)?);
            Ok((certificate, NotifySettings::load(&config)?, Offer::load(&config)?, outside, config))
        });
        let (certificate, sending, offer, (pinged, broker), config) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return log::error!("{error}; keeping the old configuration"),
        };
        for (section, same) in [
            (
                "listen, socket or ticket_keys_file in [http], or from HTTP to HTTPS,",
                config.http.same_place(&self.config.http),
            ),
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
        self.front.settings.put(ApiSettings::of(&config));
        self.front.offered.put(offer);
        if let Some(pages) = &self.front.pages {
            pages.reload(&config);
        }
        self.front.sending.put(sending.clone());
        self.couriers.reload(sending);
        self.reload_watchdog(pinged);
        self.reload_mqtt(broker);
        // Both threads live as long as this one holds their senders.
        let recorder = self.orders.send(RecorderEvent::Settings(sweeping(&config)));
        let upkeep = self.upkeep.send(kept_of(&config));
        debug_assert!(recorder.is_ok() && upkeep.is_ok());
        log::info!("configuration reloaded {}", rhythm(&config));
        self.config = config;
    }

    fn reload_watchdog(&mut self, settings: Option<WatchdogSettings>) {
        match (&self.watchdog, settings) {
            (_, None) => self.watchdog = None,
            (Some(running), Some(settings)) => running.reload(settings),
            (None, Some(settings)) => {
                match WatchdogThread::start(settings, self.own.clone(), self.couriers.counters()) {
                    Ok(started) => self.watchdog = Some(started),
                    Err(error) => log::error!("the watchdog is not pinged: {error}"),
                }
            }
        }
    }

    /// The old connection ends before the new one begins.
    fn reload_mqtt(&mut self, settings: Option<MqttSettings>) {
        if self.mqtt.as_ref().map(MqttThread::settings) == settings.as_ref() {
            return;
        }
        self.mqtt = None;
        let Some(settings) = settings else { return };
        let (shared, transitions) = (self.shared.clone(), self.transitions.clone());
        match MqttThread::start(settings, shared, transitions, self.mqtt_counters.clone()) {
            Ok(started) => self.mqtt = Some(started),
            Err(error) => log::error!("nothing is published over MQTT: {error}"),
        }
    }

    /// Stops in the order of the data flow: requests, workers, recorder, couriers.
    fn stop(self) -> Result<(), CommandError> {
        systemd::stopping();
        let deadline = Instant::now() + STOP;
        drop((self.upkeep, self.reports, self.mqtt));
        let pages_ended = self.front.pages.as_ref().map_or_else(never, Pages::stop);
        self.stopper.stop(GRACE);
        let http = self.front.http_ended.recv_deadline(deadline);
        drop(self.orders);
        if self.front.pages.is_some() && pages_ended.recv_deadline(deadline) == Err(RecvTimeoutError::Timeout)
        {
            log::warn!("a page is still being made; stopping anyway");
        }
        for (ended, what) in [
            (&self.front.workers_ended, "a request is still being answered"),
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

fn limits(config: &Config, connections: usize) -> Limits {
    Limits {
        connections,
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
