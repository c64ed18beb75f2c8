//! Start-up, signals, stop: which threads there are and who talks to whom.

use super::config::Config;
use super::failover::orders::{Orders, orders};
use super::failover::{self, Outside};
use super::heartbeat::credentials::Credentials;
use super::heartbeat::dial::Line;
use super::heartbeat::resolver::{Names, lookup};
use super::heartbeat::sender::Sender;
use super::heartbeat::{self, Heartbeat, Inbox, Reload, Trigger, server_name};
use super::metrics::{self, Sampler, identify};
use super::os::pid_file::PidFile;
use super::os::privilege;
use crate::config::ConfigError;
use crate::ticker::Ticker;
use crate::wire::Reason;
use crate::{logging, systemd};
use crossbeam_channel::{Receiver, Sender as ChannelSender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a stop may take altogether; the farewell's 2 s are in it.
const STOP: Duration = Duration::from_millis(2200);

/// Removing two routes takes less than a millisecond.
const CLEANUP: Duration = Duration::from_millis(200);

/// Metrics are read this much before the beat that carries them, or a tenth of the interval if that is less.
const METRICS_LEAD: Duration = Duration::from_millis(500);

/// The snapshot's name in the runtime directory.
pub const SNAPSHOT: &str = "heartbeat.json";

/// Why the daemon ended by itself.
#[derive(Debug)]
pub enum Failure {
    Config(ConfigError),
    /// The running daemon is needed, and there is none.
    NotRunning(String),
    Other(String),
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::Config(error)
    }
}

/// Runs in the foreground until SIGTERM or SIGINT.
///
/// # Errors
/// A bad configuration, another instance, or something that start-up cannot do without.
pub fn run(config_file: &Path) -> Result<(), Failure> {
    let config = Config::load(config_file)?;
    let credentials = Credentials::load(&config.heartbeat)?;
    logging::init(config.log);
    privilege::keep_from_children();
    // Before the pid file is there: whoever reads it may send a signal at once.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).map_err(cannot("handle signals"))?;
    let _pid_file =
        PidFile::lock(&config.daemon.pidfile).map_err(|error| Failure::Other(error.to_string()))?;

    let mut daemon = Daemon::start(config_file, config, credentials)?;
    for signal in signals.forever() {
        match signal {
            SIGHUP => daemon.reload(),
            SIGUSR1 => daemon.trigger(),
            _ => break,
        }
    }
    daemon.stop();
    Ok(())
}

/// What the main thread holds of the others.
struct Daemon {
    config_file: PathBuf,
    config: Config,
    names: Arc<Names>,
    line: Arc<Line>,
    trigger: Trigger,
    metrics: ChannelSender<metrics::Control>,
    heartbeat: ChannelSender<Reload>,
    failover: Orders,
    /// Disconnected when the heartbeat thread has returned.
    farewell: Receiver<()>,
    /// Disconnected when the failover thread has returned.
    failover_ended: Receiver<()>,
}

impl Daemon {
    fn start(config_file: &Path, config: Config, credentials: Credentials) -> Result<Daemon, Failure> {
        announce(&config);
        let runtime_dir = &config.daemon.runtime_dir;
        fs::create_dir_all(runtime_dir).map_err(cannot(&format!("create {}", runtime_dir.display())))?;
        let root = Path::new("/");
        let identity = identify(root, &config.daemon.state_dir);
        identity.warning.iter().for_each(|warning| log::warn!("{warning}"));
        let names = Arc::new(Names::start(lookup).map_err(cannot("start the resolver thread"))?);
        let line = Arc::new(Line::default());
        let sender = Sender::new(&config.heartbeat, credentials, names.clone(), line.clone());
        let (trigger, triggers) = heartbeat::trigger();
        let (metrics_control, metrics_orders) = bounded(1);
        let (heartbeat_control, heartbeat_orders) = bounded(1);
        let (metrics_out, metrics_in) = bounded(1);
        let (alive, farewell) = bounded(0);
        let (sampling, beat) = tickers(config.heartbeat.interval, Instant::now());

        let sampler = Sampler::new(root, &config.metrics, &config.activity);
        spawn("metrics", move || {
            metrics::run(sampler, sampling, &metrics_orders, |metrics| metrics_out.send(metrics).is_ok());
        })?;
        let (orders, uplinks, failover_ended) = start_failover(&config, &line, &names, &trigger)?;
        let inbox = Inbox { metrics: metrics_in, uplinks, triggers, control: heartbeat_orders };
        let acknowledged = orders.clone();
        let delivered = Box::new(move |interface: &str| acknowledged.acknowledged(interface));
        let thread = Heartbeat::new(
            config.heartbeat.clone(),
            sender,
            identity,
            delivered,
            &runtime_dir.join(SNAPSHOT),
        );
        spawn("heartbeat", move || {
            thread.run(beat, inbox);
            drop(alive);
        })?;
        Ok(Daemon {
            config_file: config_file.to_owned(),
            config,
            names,
            line,
            trigger,
            metrics: metrics_control,
            heartbeat: heartbeat_control,
            failover: orders,
            farewell,
            failover_ended,
        })
    }

    fn trigger(&self) {
        if !self.trigger.fire(Reason::Trigger) {
            log::info!("a heartbeat is waiting to be sent already; it will do for this trigger");
        }
    }

    /// Reads the configuration anew; a bad one is refused, and the old one stays.
    fn reload(&mut self) {
        let loaded = Config::load(&self.config_file)
            .and_then(|config| Ok((Credentials::load(&config.heartbeat)?, config)));
        let (credentials, config) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => return log::error!("{error}; the old configuration stays"),
        };
        if config.daemon != self.config.daemon {
            log::warn!("a change in [daemon] takes effect at the next start");
        }
        logging::init(config.log);
        let sender = Sender::new(&config.heartbeat, credentials, self.names.clone(), self.line.clone());
        let (sampling, beat) = tickers(config.heartbeat.interval, Instant::now());
        let order = metrics::Control::Reload {
            metrics: config.metrics.clone(),
            activity: config.activity.clone(),
            ticker: sampling,
        };
        let reload = Reload { config: config.heartbeat.clone(), sender, ticker: beat };
        // Both threads live as long as this one holds their channels.
        let delivered = self.metrics.send(order).is_ok() && self.heartbeat.send(reload).is_ok();
        debug_assert!(delivered);
        if config.network != self.config.network {
            self.failover.reload(config.network.clone());
        }
        announce(&config);
        self.config = config;
    }

    /// What is on its way is given up for the farewell, and the farewell for the limit.
    fn stop(self) {
        systemd::stopping();
        self.line.abort();
        drop(self.heartbeat);
        drop(self.metrics);
        if self.farewell.recv_timeout(STOP) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            log::warn!("the last heartbeat takes too long; stopped without it");
        }
        // After the farewell, which still needs its way.
        self.failover.stop();
        if self.failover_ended.recv_timeout(CLEANUP) == Err(crossbeam_channel::RecvTimeoutError::Timeout) {
            log::warn!("the failover thread does not end; \"heartbeat-daemon cleanup\" removes its routes");
        }
    }
}

type Started = (Orders, Receiver<Option<heartbeat::Uplinks>>, Receiver<()>);

/// What the failover thread is told, what it tells, and its end.
fn start_failover(
    config: &Config,
    line: &Arc<Line>,
    names: &Arc<Names>,
    trigger: &Trigger,
) -> Result<Started, Failure> {
    let (orders, inbox) = orders().map_err(cannot("make an eventfd"))?;
    let (reports, uplinks) = failover::reports();
    let (alive, ended) = bounded(0);
    let outside = Outside {
        line: line.clone(),
        names: names.clone(),
        trigger: trigger.clone(),
        reports,
        runtime_dir: config.daemon.runtime_dir.clone(),
    };
    let network = config.network.clone();
    spawn("failover", move || {
        failover::run(network, &outside, &inbox);
        drop(alive);
    })?;
    Ok((orders, uplinks, ended))
}

/// Said at start and after each reload.
fn announce(config: &Config) {
    let heartbeat = &config.heartbeat;
    let interval = crate::config::Period(heartbeat.interval);
    match &heartbeat.url {
        Some(_) => log::info!(
            "heartbeat-daemon {} sends a heartbeat to {} every {interval}",
            env!("CARGO_PKG_VERSION"),
            server_name(heartbeat)
        ),
        None => log::warn!(
            "no server is configured: set url in [heartbeat]; until then the daemon works for this machine only"
        ),
    }
}

/// The metrics' ticker and, a little later each time, the heartbeat's. The first beat falls anywhere within an
/// interval: machines that start together (after a power cut) do not send together for ever.
fn tickers(interval: Duration, now: Instant) -> (Ticker, Ticker) {
    let lead = METRICS_LEAD.min(interval / 10);
    let first = now + lead + (interval - lead).mul_f64(fastrand::f64());
    (Ticker::every(interval, first - lead), Ticker::every(interval, first))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let thread = thread::Builder::new().name(name.into()).spawn(work);
    thread.map(drop).map_err(cannot(&format!("start the {name} thread")))
}

fn cannot(what: &str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::Other(format!("cannot {what}: {error}"))
}
