//! One thread that owns the snapshot and sends it: at each beat, and at once when something calls for it.
//!
//! | file | what it owns |
//! |---|---|
//! | `event` | everything that can reach the thread |
//! | `pace` | when to send: retries, Retry-After |
//! | `payload`, `formats` | the heartbeat, and its three formats |
//! | `sender`, `request` | one heartbeat to the server |
//! | `outcome`, `problem` | what its answer, or the lack of one, means |
//! | `attempts`, `server_routes` | which addresses are dialled, and over which interfaces that is permitted |
//! | `copies` | copies of a heartbeat over uplinks that delivered none |
//! | `delivery` | what an outcome proves of the uplink and the address that it took |
//! | `transport`, `dial`, `race` | the connection below: ureq's end, what other threads control, the race of addresses |
//! | `credentials` | token, CA, client certificate |
//! | `outage` | what the log says of failures |
//! | `status`, `last_hour` | the thread's published results and progress; a sample a minute |
//! | `recorder` | heartbeats that could not be delivered, for replay |

mod attempts;
mod copies;
pub mod credentials;
pub mod delivery;
pub mod dial;
mod event;
pub mod formats;
pub mod last_hour;
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
use outage::Outage;
use outcome::Outcome;
pub use outcome::summary;
use pace::SendSchedule;
use payload::{Snapshot, Stamp};
use recorder::Recorder;
use sender::{HeartbeatSender, Sent};
use snapshot_file::SnapshotFile;
use status::{Counts, HeartbeatStatus, Record, Tally};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The daemon's resolver: the server and a proxy, before and after a reload. A heartbeat never waits for DNS once the
/// server's name has been resolved.
pub const RESOLVER_LIMITS: resolver::ResolverLimits =
    resolver::ResolverLimits { threads: 1, names: 4, refresh_wait: Duration::ZERO };

/// The first heartbeat waits this long for the first metrics.
const FIRST_METRICS: Duration = Duration::from_secs(1);

/// The first heartbeat waits this long for failover's first choice, which takes some milliseconds: a route that a
/// killed daemon has left must not decide the way.
const FIRST_UPLINKS: Duration = Duration::from_millis(250);

/// Limit for the shutdown heartbeat: systemd and the user wait for it.
const SHUTDOWN: Duration = Duration::from_secs(2);

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
    sender: Option<HeartbeatSender>,
    identity: Identity,
    published: Published,
    failover: Failover,
    copies: Copies,
    /// As it was sent last.
    body: Vec<u8>,
    pace: SendSchedule,
    outage: Outage,
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
        sender: Option<HeartbeatSender>,
        identity: Identity,
        published: Published,
        failover: Failover,
        snapshot_file: &Path,
        heartbeat_status: Arc<HeartbeatStatus>,
    ) -> HeartbeatThread {
        HeartbeatThread {
            pace: SendSchedule::new(config.interval),
            last_result: waiting_for(&config),
            config,
            sender,
            identity,
            published,
            copies: Copies::new(failover.clone()),
            failover,
            body: Vec::new(),
            outage: Outage::default(),
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
            match sources.next(self.pace.retry_at(), self.watchdog.due()) {
                HeartbeatEvent::Beat => self.beat(Cause::Schedule, Instant::now()),
                HeartbeatEvent::Retry => self.beat(Cause::Retry, Instant::now()),
                HeartbeatEvent::Triggered(reason) => self.triggered(reason),
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
        };
        self.heartbeat_status.publish(record, Instant::now());
    }

    /// Reports to failover what a heartbeat proves of the uplink that it took.
    fn report(&self, evidence: Evidence) {
        if let Some(over) = self.sender.as_ref().and_then(HeartbeatSender::over) {
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
        self.pace = SendSchedule::new(reload.config.interval);
        self.outage = Outage::default();
        self.last_result = waiting_for(&reload.config);
        self.config = reload.config;
        let had_sender = std::mem::replace(&mut self.sender, reload.sender).is_some();
        self.works = None;
        // A copy of it is for the old server, and perhaps in another format.
        self.body.clear();
        self.publish(self.heartbeat_status.record().heartbeat.clone());
        if !had_sender && self.sender.is_some() {
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
        let heartbeat = self.next_heartbeat(reason);
        let format = self.config.format;
        let body = formats::to_send(&heartbeat, &self.config, Path::new("/"));
        if self.sender.is_some() && self.pace.may_send(reason, now) {
            self.count(cause);
            self.send(&heartbeat, &body, self.config.timeout);
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
        if let Some(sender) = self.sender.as_ref().filter(|_| !self.body.is_empty()) {
            if self.pace.may_send(Reason::Scheduled, now) {
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
        payload::heartbeat(&snapshot, stamp)
    }

    fn count(&mut self, cause: Cause) {
        match cause {
            Cause::Schedule => self.counts.scheduled += 1,
            Cause::Trigger(_) => self.counts.immediate += 1,
            Cause::Retry => self.counts.retried += 1,
        }
    }

    fn send(&mut self, heartbeat: &wire::Heartbeat, body: &[u8], limit: Duration) {
        let Some(sender) = &self.sender else { return };
        let begin = Instant::now();
        let Sent { outcome, evidence } = sender.send(body, limit);
        let now = Instant::now();
        log::debug!("heartbeat {} ({}): {outcome:?}", heartbeat.seq, heartbeat.reason.as_str());
        let server = server_name(&self.config);
        if let Some(line) = self.outage.update(&server, &outcome, now) {
            line.log();
        }
        self.pace.update(heartbeat.reason, &outcome, now, fastrand::f64());
        self.last_result = summary(&server, &outcome, now - begin);
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
        if self.config.format == config::Format::Native {
            self.recorder.keep(heartbeat.clone(), now);
        }
    }

    /// Sends a batch of recorded heartbeats; the next batch follows the next heartbeat, so that no heartbeat waits behind
    /// history.
    fn replay(&mut self) {
        let Some(sender) = self.sender.as_ref().filter(|_| !self.recorder.is_empty()) else { return };
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

    /// The last heartbeat says that the stop is intended.
    fn send_shutdown(mut self) {
        if self.sender.is_some() {
            // History would only delay it.
            self.recorder = Recorder::default();
            let heartbeat = self.next_heartbeat(Reason::Shutdown);
            self.counts.immediate += 1;
            let body = formats::to_send(&heartbeat, &self.config, Path::new("/"));
            self.send(&heartbeat, &body, self.config.timeout.min(SHUTDOWN));
        }
        log::info!("stopped: {}", self.counts.status(&self.last_result));
    }
}

fn waiting_for(config: &config::HeartbeatConfig) -> String {
    match &config.url {
        Some(_) => format!("no heartbeat to {} yet", server_name(config)),
        None if config.enrolment.is_of_other_board() => {
            "no heartbeat is sent: this board waits for approval".to_owned()
        }
        None => "no server configured: set url in [heartbeat], or run \"heartbeat-daemon enroll\"".to_owned(),
    }
}

/// The server's name for people: without path and query, which may contain a token or a device key.
pub fn server_name(config: &config::HeartbeatConfig) -> String {
    let authority = config.url.as_ref().and_then(|url| url.authority());
    authority.map_or_else(|| "no server".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests;
