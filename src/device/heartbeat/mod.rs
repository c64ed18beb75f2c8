//! One thread that owns the snapshot and sends it: at each beat, and at once when something calls for it.
//!
//! | file | what it owns |
//! |---|---|
//! | `event` | everything that can reach the thread |
//! | `pace`, `choice` | when to send: retries, Retry-After; and to which server |
//! | `payload`, `formats` | the heartbeat, and its three formats |
//! | `sender`, `request` | one heartbeat to the server |
//! | `outcome`, `problem` | what its answer, or the lack of one, means |
//! | `attempts`, `server_routes` | which addresses are dialled, and over which interfaces that is permitted |
//! | `servers`, `checks` | the servers in order of preference; copies to those that are not in use |
//! | `other_servers` | heartbeats to servers that are not in use: checks, and the last one |
//! | `copies` | copies of a heartbeat over uplinks that delivered none |
//! | `delivery` | what an outcome proves of the uplink and the address that it took |
//! | `transport`, `dial`, `race` | the connection below: ureq's end, what other threads control, the race of addresses |
//! | `credentials` | token, CA, client certificate |
//! | `outage` | what the log says of failures |
//! | `status`, `last_hour` | the thread's published results and progress; a sample a minute |
//! | `recorder` | heartbeats that could not be delivered, for replay |

mod attempts;
mod checks;
mod choice;
mod copies;
pub mod credentials;
pub mod delivery;
pub mod dial;
mod event;
pub mod formats;
pub mod last_hour;
mod other_servers;
mod outage;
pub mod outcome;
mod pace;
pub mod payload;
pub mod problem;
mod race;
mod recorder;
mod request;
pub mod sender;
pub mod server_routes;
pub mod servers;
mod snapshot_file;
pub mod status;
pub mod transport;

use super::cameras::CameraInfo;
use super::config;
use super::failover::handle::Failover;
use super::failover::status::PublishedStatus;
use super::metrics::{Identity, Reading};
use crate::clock::Now;
use crate::latest::Latest;
use crate::resolver;
use crate::systemd::{self, Watchdog};
use crate::ticker::Ticker;
use crate::wire::{self, Reason};
use copies::Copies;
use delivery::Evidence;
use dial::Uplink;
use event::HeartbeatEvent;
pub use event::{EventSources, Reload};
pub use formats::local_body;
use outcome::Outcome;
pub use outcome::summary;
use pace::SendSchedule;
use payload::{Snapshot, Stamp};
use recorder::Recorder;
use sender::{HeartbeatSender, Sent};
use servers::Servers;
pub use servers::server_name;
use snapshot_file::SnapshotFile;
use status::{Counts, HeartbeatStatus, Record, Tally};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The daemon's resolver: the server and a proxy, before and after a reload. A heartbeat never waits for DNS once the
/// server's name has been resolved.
pub const RESOLVER_LIMITS: resolver::ResolverLimits =
    resolver::ResolverLimits { threads: 1, names: 4, refresh_wait: Duration::ZERO };

/// The same for several servers: a name whose lookup hangs must not delay that of the backup.
pub fn resolver_limits(config: &config::HeartbeatConfig) -> resolver::ResolverLimits {
    match config.backups.len() {
        0 => RESOLVER_LIMITS,
        backups => resolver::ResolverLimits { threads: 2, names: 4 + 2 * backups, ..RESOLVER_LIMITS },
    }
}

/// The first heartbeat waits this long for the first metrics.
const FIRST_METRICS: Duration = Duration::from_secs(1);

/// The first heartbeat waits this long for failover's first choice, which takes some milliseconds: a route that a
/// killed daemon has left must not decide the way.
const FIRST_UPLINKS: Duration = Duration::from_millis(250);

/// Why a heartbeat is sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Schedule,
    Trigger(Reason),
    Retry,
}

/// State that the other threads publish. A thread publishes before it pulls the trigger, so that the heartbeat of that
/// trigger reports the change.
#[derive(Debug, Clone, Default)]
pub struct Published {
    pub metrics: Arc<Latest<Reading>>,
    /// `None` while failover is off.
    pub failover: Arc<Latest<Option<PublishedStatus>>>,
    pub cameras: Arc<Latest<Vec<CameraInfo>>>,
}

/// The thread's state.
pub struct HeartbeatThread {
    config: config::HeartbeatConfig,
    servers: Servers,
    identity: Identity,
    published: Published,
    failover: Failover,
    copies: Copies,
    /// As it was sent last.
    body: Vec<u8>,
    pace: SendSchedule,
    recorder: Recorder,
    snapshot_file: SnapshotFile,
    heartbeat_status: Arc<HeartbeatStatus>,
    counts: Counts,
    tally: Tally,
    seq: u64,
    last_result: String,
    /// Whether the server took the last heartbeat.
    works: Option<bool>,
    accepted: Option<Now>,
    watchdog: Watchdog,
}

impl HeartbeatThread {
    pub fn new(
        config: config::HeartbeatConfig,
        servers: Servers,
        identity: Identity,
        published: Published,
        failover: Failover,
        snapshot_file: &Path,
        heartbeat_status: Arc<HeartbeatStatus>,
    ) -> HeartbeatThread {
        HeartbeatThread {
            pace: SendSchedule::new(config.interval, servers.len(), Instant::now()),
            last_result: servers::waiting_for(&config),
            config,
            servers,
            identity,
            published,
            copies: Copies::new(failover.clone()),
            failover,
            body: Vec::new(),
            recorder: Recorder::default(),
            snapshot_file: SnapshotFile::new(snapshot_file),
            heartbeat_status,
            counts: Counts::default(),
            tally: Tally::default(),
            seq: 0,
            works: None,
            accepted: None,
            watchdog: Watchdog::from_environment(Instant::now()),
        }
    }

    /// Runs until [`HeartbeatEvent::Stop`].
    pub fn run(mut self, mut sources: EventSources) {
        self.published.metrics.wait_for_first_put(FIRST_METRICS);
        self.published.failover.wait_for_first_put(FIRST_UPLINKS);
        systemd::ready(&self.last_result);
        self.beat(Cause::Trigger(Reason::Startup), Instant::now());
        self.feed_watchdog();
        loop {
            match sources.next(self.pace.retry_at(), self.watchdog.due(), self.servers.check_results()) {
                HeartbeatEvent::Beat => self.beat(Cause::Schedule, Instant::now()),
                HeartbeatEvent::Retry => self.beat(Cause::Retry, Instant::now()),
                HeartbeatEvent::Triggered(reason) => self.triggered(reason),
                HeartbeatEvent::Checked(result) => self.checked(*result, Instant::now()),
                HeartbeatEvent::Copy(uplink) => self.send_copy(uplink, Instant::now()),
                HeartbeatEvent::Reload(reload) => {
                    if let Some(ticker) = self.reload(*reload) {
                        sources.ticker = ticker;
                    }
                }
                HeartbeatEvent::Watchdog => {}
                HeartbeatEvent::Stop => return self.send_shutdown(),
            }
            self.feed_watchdog();
        }
    }

    fn feed_watchdog(&mut self) {
        let (counts, result, now) = (self.counts, &self.last_result, Instant::now());
        self.heartbeat_status.mark_iteration(now);
        self.watchdog.pass(now, || counts.status(result));
    }

    /// Publishes the results; costs two allocations a beat.
    fn publish(&self, heartbeat: Option<Arc<wire::Heartbeat>>) {
        let record = Record {
            heartbeat,
            result: self.last_result.clone(),
            works: self.works,
            accepted: self.accepted,
            counts: self.counts,
            tally: self.tally,
            servers: self
                .servers
                .reports(self.pace.servers.current(), |place| self.pace.servers.works(place)),
        };
        self.heartbeat_status.publish(record, Instant::now());
    }

    /// Reports to failover what a heartbeat proves of the uplink that it took.
    fn report(&self, evidence: Evidence) {
        let sender = self.servers.sender(self.pace.servers.current());
        if let Some(over) = sender.and_then(HeartbeatSender::over) {
            self.failover.report_heartbeat(&over, evidence, false);
        }
    }

    fn triggered(&mut self, reason: Reason) {
        let now = Instant::now();
        if !self.pace.may_interrupt(reason, now) {
            return log::debug!("a heartbeat for \"{}\" is postponed: too many in a row", reason.as_str());
        }
        log::info!("[Meeting] Immediate heartbeat triggered by event: {}", reason.as_str());
        self.beat(Cause::Trigger(reason), now);
    }

    /// Applies a new configuration and drops the statistics of the old server; returns the new schedule, if there is one.
    fn reload(&mut self, reload: Reload) -> Option<Ticker> {
        self.pace = SendSchedule::new(reload.config.interval, reload.servers.len(), Instant::now());
        self.last_result = servers::waiting_for(&reload.config);
        self.config = reload.config;
        let had_server = !self.servers.is_empty();
        self.servers.replace(reload.servers);
        self.works = None;
        // A copy of it is for the old server, and perhaps in another format.
        self.body.clear();
        self.publish(self.heartbeat_status.record().heartbeat.clone());
        if !had_server && !self.servers.is_empty() {
            // The device was enrolled: someone is waiting for its first heartbeat.
            self.beat(Cause::Trigger(Reason::Startup), Instant::now());
        }
        reload.ticker
    }

    /// One heartbeat, unless Retry-After forbids it. The snapshot file is written in any case.
    fn beat(&mut self, cause: Cause, now: Instant) {
        let wanted = match cause {
            Cause::Trigger(reason) => reason,
            Cause::Schedule | Cause::Retry => Reason::Scheduled,
        };
        let reason = self.pace.reason(wanted);
        let before = self.pace.servers.current();
        let is_sent = !self.servers.is_empty() && self.pace.may_send(reason, now);
        if self.pace.servers.current() != before {
            self.use_new_connection();
        }
        let heartbeat = self.next_heartbeat(reason);
        let format = self.config.format;
        let body = formats::to_send(&heartbeat, &self.config, Path::new("/"));
        if is_sent {
            self.count(cause);
            self.send(&heartbeat, &body, self.config.timeout);
            self.check_another(&heartbeat);
        }
        if format == config::Format::Meeting {
            self.snapshot_file.write(&local_body(&heartbeat, format));
        } else {
            self.snapshot_file.write(&body);
        }
        self.body = body;
        self.publish(Some(Arc::new(heartbeat)));
        self.config.enrolment.reload_if_changed();
    }

    /// Tries the last heartbeat over an uplink that delivered none. It carries the same `id`.
    fn send_copy(&mut self, uplink: Uplink, now: Instant) {
        if !self.body.is_empty() && self.pace.may_send(Reason::Scheduled, now) {
            if let Some(sender) = self.servers.sender(self.pace.servers.current()) {
                self.copies.send(sender, uplink, self.body.clone(), self.config.timeout);
            }
        }
    }

    fn next_heartbeat(&mut self, reason: Reason) -> wire::Heartbeat {
        self.seq += 1;
        let Published { metrics, failover, cameras } = &self.published;
        let (metrics, failover, cameras) = (metrics.get(), failover.get(), cameras.get());
        let stamp = Stamp {
            id: format!("{:016x}", fastrand::u64(..)),
            seq: self.seq,
            reason,
            now: SystemTime::now(),
        };
        let failover = (*failover).as_ref();
        let uplinks = payload::uplinks(failover, &self.failover, Instant::now());
        let snapshot = Snapshot {
            identity: &self.identity,
            interval: self.config.interval,
            metrics: &metrics,
            failover: failover.map(|failover| &failover.status),
            uplinks: &uplinks,
            cameras: &cameras,
        };
        let current = self.pace.servers.current();
        let server = self.servers.role(current, current);
        wire::Heartbeat { server, ..payload::heartbeat(&snapshot, stamp) }
    }

    fn count(&mut self, cause: Cause) {
        match cause {
            Cause::Schedule => self.counts.scheduled += 1,
            Cause::Trigger(_) => self.counts.immediate += 1,
            Cause::Retry => self.counts.retried += 1,
        }
    }

    fn send(&mut self, heartbeat: &wire::Heartbeat, body: &[u8], limit: Duration) {
        let place = self.pace.servers.current();
        let Some(sender) = self.servers.sender(place) else { return };
        let begin = Instant::now();
        let Sent { outcome, evidence } = sender.send(body, limit);
        let now = Instant::now();
        log::debug!("heartbeat {} ({}): {outcome:?}", heartbeat.seq, heartbeat.reason.as_str());
        self.servers.log(place, &outcome, now);
        self.pace.update(heartbeat.reason, &outcome, now, fastrand::f64());
        self.last_result = summary(self.servers.name(place), &outcome, now - begin);
        self.tally.add(heartbeat.reason, &outcome);
        let works = matches!(outcome, Outcome::Accepted { .. });
        if self.works.replace(works) != Some(works) {
            self.watchdog.has_news();
        }
        if works {
            self.accepted = Some(Now::read());
        }
        evidence.into_iter().for_each(|evidence| self.report(evidence));
        match outcome {
            Outcome::Accepted { monitor: true, .. } => {
                // A slow heartbeat and a slow replay together may take longer than the watchdog waits.
                self.feed_watchdog();
                self.replay();
            }
            Outcome::Accepted { .. } => {}
            Outcome::Failed { .. } | Outcome::Foreign { .. } | Outcome::Busy { .. } => {
                self.counts.failed += 1;
                self.record(heartbeat, now);
            }
            Outcome::Refused { .. } | Outcome::Rejected { .. } => self.counts.failed += 1,
            Outcome::Cut => self.record(heartbeat, now),
        }
    }

    fn record(&mut self, heartbeat: &wire::Heartbeat, now: Instant) {
        // The next server gets a heartbeat at once.
        let is_repeated_now = self.pace.retry_at().is_some_and(|at| at <= now);
        if self.config.format == config::Format::Native && !is_repeated_now {
            self.recorder.keep(heartbeat.clone(), now);
        }
    }

    /// Sends a batch of recorded heartbeats; the next batch follows the next heartbeat, so that no heartbeat waits behind
    /// history.
    fn replay(&mut self) {
        if self.recorder.is_empty() {
            return;
        }
        let Some(sender) = self.servers.sender(self.pace.servers.current()) else { return };
        let batch = self.recorder.batch(Instant::now());
        let body = serde_json::to_vec(&batch).unwrap_or_default();
        let outcome = sender.send(&body, self.config.timeout).outcome;
        match outcome {
            Outcome::Accepted { .. } => log::info!("delivered {} heartbeats of the outage", batch.len()),
            Outcome::Rejected { status, .. } => {
                log::warn!("dropped {} heartbeats of the outage: rejected with status {status}", batch.len());
            }
            // Retried after the next heartbeat.
            _ => return,
        }
        self.recorder.forget(batch.len());
        match self.recorder.drain_dropped() {
            0 => {}
            dropped => log::warn!("dropped {dropped} heartbeats of the outage: the recorder was full"),
        }
    }
}

#[cfg(test)]
mod tests;
