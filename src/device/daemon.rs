//! Start-up, signals, stop: the threads and their channels.

use super::api::{ApiContext, ApiServer, ApiSettings};
use super::camera_settings::CameraSettings;
use super::cameras::{self, CamerasHandle};
use super::config::Config;
use super::config::advice::readable_token;
use super::enrolment::{self, other_board};
use super::failover::handle::{Failover, failover};
use super::failover::status::PublishedStatus;
use super::failover::{self, FailoverContext};
use super::failure::Failure;
use super::heartbeat::credentials::Credentials;
use super::heartbeat::dial::{Dialer, Uplink};
use super::heartbeat::servers::{Servers, server_names};
use super::heartbeat::status::HeartbeatStatus;
use super::heartbeat::{self, EventSources, HeartbeatThread, Published, Reload};
use super::metrics::{self, Identity, Reading, Sampler, identify};
use super::os::file::is_file_system_trouble;
use super::os::pid_file::PidFile;
use super::os::privilege;
use super::port::Port;
use super::trigger::{Trigger, trigger};
use crate::config::{ConfigError, Source};
use crate::latest::Latest;
use crate::resolver::{NameResolver, lookup};
use crate::startup::{cannot, spawn};
use crate::ticker::Ticker;
use crate::wire::Reason;
use crate::{heap, logging, systemd};
use crossbeam_channel::{Receiver, Sender as ChannelSender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The longest duration of a stop, including the 2 s of the shutdown heartbeat.
const STOP: Duration = Duration::from_millis(2200);

/// Removing two routes takes less than a millisecond.
const CLEANUP: Duration = Duration::from_millis(200);

/// Copies of a heartbeat that wait to be sent, each over another uplink.
const COPIES: usize = 4;

/// Metrics are read this much before the beat that carries them, or a tenth of the interval if that is less.
const METRICS_LEAD: Duration = Duration::from_millis(500);

/// The snapshot's name in the runtime directory.
pub const SNAPSHOT: &str = "heartbeat.json";

/// Runs in the foreground until SIGTERM or SIGINT.
///
/// # Errors
/// A bad configuration, another instance, or something that start-up cannot do without.
pub fn run(config_file: &Path) -> Result<(), Failure> {
    let (config, credentials, settings) = load(config_file)?;
    logging::init(config.log);
    privilege::keep_from_children();
    heap::share();
    // Before the pid file exists: its readers may send a signal at once.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).map_err(cannot("handle signals"))?;
    let _pid_file =
        PidFile::lock(&config.daemon.pidfile).map_err(|error| Failure::Other(error.to_string()))?;

    let mut daemon = RunningDaemon::start(config_file, config, credentials, settings)?;
    heap::trim();
    for signal in signals.forever() {
        match signal {
            SIGHUP => {
                daemon.reload();
                heap::trim();
            }
            SIGUSR1 => daemon.trigger(),
            _ => break,
        }
    }
    daemon.stop();
    Ok(())
}

/// The configuration, and what it names.
pub fn load(config_file: &Path) -> Result<(Config, Vec<Credentials>, ApiSettings), ConfigError> {
    load_source(&Source::read(config_file)?)
}

/// [`load`] of a file that was read already.
pub fn load_source(source: &Source) -> Result<(Config, Vec<Credentials>, ApiSettings), ConfigError> {
    let mut config = Config::from_file(source)?;
    enrolment::apply::apply(&mut config)?;
    let credentials = Credentials::load_each(&config.heartbeat)?;
    let cameras = CameraSettings::load(source, &config);
    config.cameras = cameras.cameras()?;
    let settings = ApiSettings::load(&config, credentials.iter().any(|each| each.token.is_some()), cameras)?;
    Ok((config, credentials, settings))
}

/// What the main thread holds of the others.
struct RunningDaemon {
    config_file: PathBuf,
    config: Config,
    names: Arc<NameResolver>,
    dialer: Arc<Dialer>,
    trigger: Trigger,
    metrics: ChannelSender<metrics::Control>,
    heartbeat: ChannelSender<Reload>,
    failover: Failover,
    heartbeat_status: Arc<HeartbeatStatus>,
    published: Published,
    cameras: CamerasHandle,
    camera_settings: Arc<Mutex<CameraSettings>>,
    port: Arc<Port>,
    /// `None`: its thread could not be started. Heartbeats do not need it.
    api: Option<ApiServer>,
    /// Held while this board waits for approval; dropped, its thread ends.
    approval: Option<ChannelSender<()>>,
    /// Disconnected when the heartbeat thread has returned.
    heartbeat_ended: Receiver<()>,
    /// Disconnected when the failover thread has returned.
    failover_ended: Receiver<()>,
    /// Disconnected when the camera thread has returned.
    cameras_ended: Receiver<()>,
}

impl RunningDaemon {
    fn start(
        config_file: &Path,
        config: Config,
        credentials: Vec<Credentials>,
        settings: ApiSettings,
    ) -> Result<RunningDaemon, Failure> {
        announce(&config);
        warn_of_readable_token(&config, settings.has_server_token);
        create_runtime_dir(&config.daemon.runtime_dir)?;
        let identity = load_identity(&config);
        let names = NameResolver::start(heartbeat::resolver_limits(&config.heartbeat), lookup);
        let names = Arc::new(names.map_err(cannot("start the resolver thread"))?);
        let dialer = Arc::new(Dialer::default());
        let (trigger, triggers) = trigger();
        let (sampling, ticker) = tickers(config.heartbeat.interval, Instant::now());

        let (metrics_control, metrics) = start_metrics(&config, sampling)?;
        let status = Arc::new(Latest::default());
        let (copies_out, copies) = bounded(COPIES);
        let (failover, failover_ended) =
            start_failover(&config, &dialer, &names, &trigger, copies_out, &status)?;
        let (cameras, cameras_ended) = start_cameras(&config, &trigger)?;
        let published = Published { metrics, failover: status, cameras: cameras.latest() };
        let heartbeat_status = Arc::new(HeartbeatStatus::new(Instant::now()));
        let thread = HeartbeatThread::new(
            config.heartbeat.clone(),
            Servers::new(&config.heartbeat, credentials, &names, &dialer),
            identity,
            published.clone(),
            failover.clone(),
            &config.daemon.runtime_dir.join(SNAPSHOT),
            heartbeat_status.clone(),
        );
        let (heartbeat_control, reloads) = bounded(1);
        let sources = EventSources { ticker, triggers, copies, reloads };
        let heartbeat_ended = spawn("heartbeat", move || thread.run(sources))?;
        let port = Arc::new(Port::at_start(&config.daemon.state_dir));
        let approval = other_board::request_approval(&config);
        let mut daemon = RunningDaemon {
            config_file: config_file.to_owned(),
            config,
            names,
            dialer,
            trigger,
            metrics: metrics_control,
            heartbeat: heartbeat_control,
            failover,
            heartbeat_status,
            published,
            cameras,
            camera_settings: settings.shared_cameras(),
            port,
            api: None,
            approval,
            heartbeat_ended,
            failover_ended,
            cameras_ended,
        };
        daemon.open_api(settings);
        Ok(daemon)
    }

    /// Starts the API, or applies new settings to it. The daemon runs without it if that fails.
    fn open_api(&mut self, settings: ApiSettings) {
        settings.cameras().settle();
        match &self.api {
            Some(api) => api.reload(settings),
            None => {
                let context = ApiContext {
                    heartbeat_status: self.heartbeat_status.clone(),
                    failover: self.failover.clone(),
                    failover_status: self.published.failover.clone(),
                    metrics: self.published.metrics.clone(),
                    cameras: self.cameras.clone(),
                    trigger: self.trigger.clone(),
                    port: self.port.clone(),
                };
                let started = ApiServer::start(settings, context);
                self.api =
                    started.inspect_err(|error| log::error!("cannot start the API thread: {error}")).ok();
            }
        }
    }

    fn trigger(&self) {
        if !self.trigger.fire(Reason::Trigger) {
            log::info!("a heartbeat is already queued; nothing more to send");
        }
    }

    /// Reloads the configuration; a bad one is refused, and the old one stays.
    fn reload(&mut self) {
        let (config, credentials, mut settings) = match load(&self.config_file) {
            Ok(loaded) => loaded,
            Err(error) => return log::error!("{error}; the old configuration stays"),
        };
        if config.daemon != self.config.daemon {
            log::warn!("a change in [daemon] takes effect at the next start");
        }
        logging::init(config.log);
        let servers = Servers::new(&config.heartbeat, credentials, &self.names, &self.dialer);
        // With an unchanged interval the schedule goes on: a reload must not put off the next heartbeat.
        let interval = config.heartbeat.interval;
        let changed = interval != self.config.heartbeat.interval;
        let (sampling, beat) = changed.then(|| tickers(interval, Instant::now())).unzip();
        let reload = Reload { config: config.heartbeat.clone(), servers, ticker: beat };
        // The thread lives as long as this one holds its channel.
        let delivered = self.heartbeat.send(reload).is_ok();
        debug_assert!(delivered);
        if changed || config.metrics != self.config.metrics || config.activity != self.config.activity {
            let (metrics, activity) = (config.metrics.clone(), config.activity.clone());
            let delivered =
                self.metrics.send(metrics::Control::Reload { metrics, activity, ticker: sampling }).is_ok();
            debug_assert!(delivered);
        }
        if config.network != self.config.network && !self.failover.reload(config.network.clone()) {
            log::error!("failover: the thread does not respond; [network] stays as it was");
        }
        settings.share_cameras(self.camera_settings.clone());
        self.reload_cameras(&settings);
        announce(&config);
        if config.heartbeat != self.config.heartbeat {
            warn_of_readable_token(&config, settings.has_server_token);
        }
        self.open_api(settings);
        self.approval = other_board::request_approval(&config);
        self.config = config;
    }

    /// The settings stay locked meanwhile: a change by the API comes before this or after it.
    fn reload_cameras(&self, settings: &ApiSettings) {
        let settings = settings.cameras();
        match settings.cameras() {
            Ok(cameras) => self.cameras.reload(cameras),
            Err(error) => log::error!("{error}; the cameras keep their settings"),
        }
    }

    /// Aborts the heartbeat in flight so that the shutdown heartbeat can go out, which in turn ends at `STOP`.
    fn stop(mut self) {
        systemd::stopping();
        // Ends while the shutdown heartbeat is in flight.
        self.api.iter_mut().for_each(ApiServer::close);
        self.dialer.abort();
        drop(self.approval);
        // Its list stays, for the shutdown heartbeat.
        self.cameras.stop();
        drop(self.heartbeat);
        drop(self.metrics);
        if self.heartbeat_ended.recv_timeout(STOP) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            log::warn!("the last heartbeat takes too long; stopped without it");
        }
        // After the shutdown heartbeat, which still needs its route.
        self.failover.stop();
        if self.failover_ended.recv_timeout(CLEANUP) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            log::warn!("the failover thread does not end; \"heartbeat-daemon cleanup\" removes its routes");
        }
        // It could save its state during the shutdown heartbeat.
        if self.cameras_ended.recv_timeout(CLEANUP) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            log::warn!("the camera thread does not end; its latest changes are not saved");
        }
    }
}

/// The identity of this device; a problem with it is logged.
fn load_identity(config: &Config) -> Identity {
    let identity = identify(Path::new("/"), &config.daemon.state_dir);
    if let Some(warning) = &identity.warning {
        log::warn!("{warning}");
    }
    identity
}

/// The control channel of the metrics thread, and the metrics that it publishes.
fn start_metrics(
    config: &Config,
    sampling: Ticker,
) -> Result<(ChannelSender<metrics::Control>, Arc<Latest<Reading>>), Failure> {
    let (control, orders) = bounded(1);
    let sampler = Sampler::new(Path::new("/"), &config.metrics, &config.activity);
    let metrics = Arc::new(Latest::default());
    let published = metrics.clone();
    spawn("metrics", move || {
        metrics::run(sampler, sampling, &orders, |metrics| published.put(metrics));
    })?;
    Ok((control, metrics))
}

/// The failover thread's handle, and a channel that its end disconnects.
fn start_failover(
    config: &Config,
    dialer: &Arc<Dialer>,
    names: &Arc<NameResolver>,
    trigger: &Trigger,
    copies: ChannelSender<Uplink>,
    status: &Arc<Latest<Option<PublishedStatus>>>,
) -> Result<(Failover, Receiver<()>), Failure> {
    let (handle, mailbox) = failover().map_err(cannot("make an eventfd"))?;
    let context = FailoverContext {
        dialer: dialer.clone(),
        names: names.clone(),
        trigger: trigger.clone(),
        copies,
        status: status.clone(),
    };
    let network = config.network.clone();
    let ended = spawn("failover", move || failover::run(network, &context, &mailbox))?;
    Ok((handle, ended))
}

/// The camera thread's other end, and its end.
fn start_cameras(config: &Config, trigger: &Trigger) -> Result<(CamerasHandle, Receiver<()>), Failure> {
    let outside = cameras::CameraContext {
        trigger: trigger.clone(),
        state_dir: config.daemon.state_dir.clone(),
        root: PathBuf::from("/"),
    };
    let (cameras, thread) =
        cameras::new(config.cameras.clone(), outside).map_err(cannot("start watching cameras"))?;
    let ended = spawn("cameras", move || thread.run())?;
    Ok((cameras, ended))
}

/// A full or read-only file system costs the runtime files, not the heartbeat.
fn create_runtime_dir(path: &Path) -> Result<(), Failure> {
    match fs::create_dir_all(path) {
        Err(error) if is_file_system_trouble(&error) => {
            log::warn!("cannot create {}: {error}; running without it", path.display());
            Ok(())
        }
        made => Ok(made.map_err(cannot(&format!("create {}", path.display())))?),
    }
}

/// Logged at start and after each reload.
fn announce(config: &Config) {
    let heartbeat = &config.heartbeat;
    let interval = crate::config::Period(heartbeat.interval);
    match &heartbeat.url {
        Some(_) => log::info!(
            "heartbeat-daemon {} sends a heartbeat to {} every {interval}",
            env!("CARGO_PKG_VERSION"),
            server_names(heartbeat)
        ),
        None if heartbeat.enrolment.is_of_other_board() => {}
        None => log::warn!(
            "no server is configured: set url in [heartbeat], or enrol the device with \"heartbeat-daemon enroll\"; until \
             then the daemon works for this machine only"
        ),
    }
    heartbeat.enrolment.announce();
}

/// Said at start, and after a reload that changed something about it.
fn warn_of_readable_token(config: &Config, has_token: bool) {
    let each = config.heartbeat.servers();
    each.iter()
        .filter_map(|one| readable_token(one, has_token))
        .for_each(|sentence| log::warn!("{sentence}"));
}

/// The metrics' ticker and, a little later each time, the heartbeat's. The first beat falls anywhere within an
/// interval: machines that start together (after a power cut) do not send together for ever.
fn tickers(interval: Duration, now: Instant) -> (Ticker, Ticker) {
    let lead = METRICS_LEAD.min(interval / 10);
    let first = now + lead + (interval - lead).mul_f64(fastrand::f64());
    (Ticker::every(interval, first - lead), Ticker::every(interval, first))
}
