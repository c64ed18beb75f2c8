//! One thread that owns the snapshot and sends it: at each beat, and at once when something calls for it.
//!
//! | file | what it owns |
//! |---|---|
//! | `inbox` | what reaches the thread |
//! | `pace` | when to send: retries, silence that the server asked for |
//! | `payload` | what is sent |
//! | `sender` | one heartbeat to the server, and its outcome |
//! | `attempts`, `ways` | which addresses are dialled, and over which interfaces that is permitted |
//! | `copies` | copies of a heartbeat over uplinks that passed none |
//! | `delivery` | what its result says of the uplink and the address that it took |
//! | `transport`, `dial` | the connection below it: ureq's end, TCP's end |
//! | `credentials` | token, CA, client certificate |
//! | `outage` | what the log says of failures |
//! | `account` | what the thread tells the others of itself |
//! | `recorder` | what would have been said while nobody listened |

pub mod account;
mod attempts;
mod copies;
pub mod credentials;
pub mod delivery;
pub mod dial;
mod inbox;
mod outage;
mod pace;
pub mod payload;
mod recorder;
pub mod sender;
mod snapshot_file;
mod transport;
pub mod ways;

use super::cameras::Camera;
use super::config;
use super::metrics::{Identity, Metrics};
use crate::clock::Now;
use crate::duration::span;
use crate::latest::Latest;
use crate::resolver;
use crate::systemd::{self, Watchdog};
use crate::ticker::Ticker;
use crate::wire::{self, Reason};
use account::{Account, Counts, Record, Tally};
use copies::Copies;
use crossbeam_channel::{Receiver, at, never, select};
use delivery::Evidence;
use dial::Uplink;
pub use inbox::{Delivered, Inbox, Reload, Trigger, Uplinks, trigger};
use outage::Outage;
use pace::Pace;
use payload::Stamp;
use recorder::Recorder;
use sender::{Outcome, Sender, Sent};
use snapshot_file::SnapshotFile;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The daemon's resolver: the server and a proxy, before and after a reload. A heartbeat never waits for DNS once the
/// server's name has been resolved.
pub const NAMES: resolver::ResolverLimits =
    resolver::ResolverLimits { threads: 1, names: 4, refresh_wait: Duration::ZERO };

/// Start-up waits this long for the first metrics; without them it says what it has.
const FIRST_METRICS: Duration = Duration::from_secs(1);

/// And so long for failover's first choice, which takes some milliseconds: the first heartbeat goes its way, not over
/// a route that a killed daemon has left.
const FIRST_UPLINKS: Duration = Duration::from_millis(250);

/// The farewell may take this long: systemd and the user wait for it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why a heartbeat is sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Beat,
    Call(Reason),
    Retry,
}

/// The thread's state.
pub struct Heartbeat {
    config: config::Heartbeat,
    sender: Option<Sender>,
    identity: Identity,
    readings: Receiver<Metrics>,
    metrics: Metrics,
    uplinks: Option<Uplinks>,
    /// The camera thread's; what it calls for a heartbeat about stands in it before.
    cameras: Arc<Latest<Vec<Camera>>>,
    delivered: Delivered,
    copies: Copies,
    /// As it was sent last.
    body: Vec<u8>,
    pace: Pace,
    outage: Outage,
    recorder: Recorder,
    snapshot_file: SnapshotFile,
    account: Arc<Account>,
    counts: Counts,
    tally: Tally,
    seq: u64,
    last_result: String,
    /// Whether the server took the last heartbeat.
    works: Option<bool>,
    accepted: Option<Now>,
    watchdog: Watchdog,
}

impl Heartbeat {
    pub fn new(
        config: config::Heartbeat,
        sender: Option<Sender>,
        identity: Identity,
        cameras: Arc<Latest<Vec<Camera>>>,
        delivered: Delivered,
        snapshot_file: &Path,
        account: Arc<Account>,
    ) -> Heartbeat {
        Heartbeat {
            pace: Pace::new(config.interval),
            last_result: waiting_for(&config),
            config,
            sender,
            identity,
            readings: never(),
            metrics: Metrics::default(),
            uplinks: None,
            cameras,
            copies: Copies::new(delivered.clone()),
            delivered,
            body: Vec::new(),
            outage: Outage::default(),
            recorder: Recorder::default(),
            snapshot_file: SnapshotFile::new(snapshot_file),
            account,
            counts: Counts::default(),
            tally: Tally::default(),
            seq: 0,
            works: None,
            accepted: None,
            watchdog: Watchdog::from_environment(Instant::now()),
        }
    }

    /// Runs until the control channel's other end is dropped.
    pub fn run(mut self, mut ticker: Ticker, mut inbox: Inbox) {
        if let Ok(metrics) = inbox.metrics.recv_timeout(FIRST_METRICS) {
            self.metrics = metrics;
        }
        self.readings = std::mem::replace(&mut inbox.metrics, never());
        if let Ok(uplinks) = inbox.uplinks.recv_timeout(FIRST_UPLINKS) {
            self.uplinks = uplinks;
        }
        systemd::ready(&self.last_result);
        self.beat(Cause::Call(Reason::Startup), Instant::now());
        self.feed_watchdog();
        loop {
            select! {
                recv(ticker.due()) -> _ => {
                    ticker.advance(Instant::now());
                    self.beat(Cause::Beat, Instant::now());
                }
                recv(inbox.triggers) -> reason => match reason {
                    Ok(reason) => {
                        // Failover tells first what it did, then calls; the heartbeat of that call says so.
                        if let Ok(uplinks) = inbox.uplinks.try_recv() {
                            self.uplinks = uplinks;
                        }
                        self.called(reason);
                    }
                    Err(_) => return self.farewell(),
                },
                recv(inbox.uplinks) -> uplinks => match uplinks {
                    Ok(uplinks) => self.uplinks = uplinks,
                    // No failover; a disconnected channel would be ready for ever.
                    Err(_) => inbox.uplinks = never(),
                },
                recv(inbox.copies) -> uplink => match uplink {
                    Ok(uplink) => self.send_copy(uplink, Instant::now()),
                    Err(_) => inbox.copies = never(),
                },
                recv(inbox.control) -> reload => match reload {
                    Ok(reload) => ticker = self.reload(reload).unwrap_or(ticker),
                    Err(_) => return self.farewell(),
                },
                recv(timer(self.pace.retry_at())) -> _ => self.beat(Cause::Retry, Instant::now()),
                recv(timer(self.watchdog.due())) -> _ => {}
            }
            self.feed_watchdog();
        }
    }

    fn feed_watchdog(&mut self) {
        let (counts, result, now) = (self.counts, &self.last_result, Instant::now());
        self.account.pass(now);
        self.watchdog.pass(now, || status(result, counts));
    }

    /// Tells the others how it went; a pointer to the heartbeat, and what else there is, costs two allocations a beat.
    fn tell(&self, heartbeat: Option<Arc<wire::Heartbeat>>) {
        self.account.put(Record {
            heartbeat,
            result: self.last_result.clone(),
            works: self.works,
            accepted: self.accepted,
            counts: self.counts,
            tally: self.tally,
        });
    }

    /// Tells the failover thread what a heartbeat says of the uplink that it took.
    fn report(&self, evidence: Evidence) {
        if let Some(over) = self.sender.as_ref().and_then(Sender::over) {
            (self.delivered)(&over, evidence, false);
        }
    }

    fn called(&mut self, reason: Reason) {
        let now = Instant::now();
        if !self.pace.may_interrupt(reason, now) {
            return log::debug!("a heartbeat for \"{}\" is put off: too many in a row", reason.as_str());
        }
        log::info!("[Meeting] Immediate heartbeat triggered by event: {}", reason.as_str());
        self.beat(Cause::Call(reason), now);
    }

    /// Applies a new configuration and drops the statistics of the old server; returns the new schedule, if there is one.
    fn reload(&mut self, reload: Reload) -> Option<Ticker> {
        self.pace = Pace::new(reload.config.interval);
        self.outage = Outage::default();
        self.last_result = waiting_for(&reload.config);
        self.config = reload.config;
        self.sender = reload.sender;
        self.works = None;
        // A copy of it is for the old server, and perhaps in another format.
        self.body.clear();
        self.tell(self.account.record().heartbeat.clone());
        reload.ticker
    }

    /// One heartbeat, unless the server asked for silence. The snapshot file is written in any case.
    fn beat(&mut self, cause: Cause, now: Instant) {
        let wanted = match cause {
            Cause::Call(reason) => reason,
            Cause::Beat | Cause::Retry => Reason::Scheduled,
        };
        let reason = self.pace.reason(wanted);
        let heartbeat = self.next_heartbeat(reason);
        let format = self.config.format;
        let body = payload::to_send(&heartbeat, &self.config, Path::new("/"));
        if self.sender.is_some() && self.pace.may_send(reason, now) {
            self.count(cause);
            self.send(&heartbeat, &body, self.config.timeout);
        }
        if local_form(format) == format {
            self.snapshot_file.write(&body);
        } else {
            self.snapshot_file.write(&local_body(&heartbeat, format));
        }
        self.body = body;
        self.tell(Some(Arc::new(heartbeat)));
    }

    /// Tries the last heartbeat over an uplink that passed none. It carries the same `id`.
    fn send_copy(&mut self, uplink: Uplink, now: Instant) {
        if let Some(sender) = self.sender.as_ref().filter(|_| !self.body.is_empty()) {
            if self.pace.may_send(Reason::Scheduled, now) {
                self.copies.send(sender, uplink, self.body.clone(), self.config.timeout);
            }
        }
    }

    fn next_heartbeat(&mut self, reason: Reason) -> wire::Heartbeat {
        self.seq += 1;
        if let Ok(metrics) = self.readings.try_recv() {
            self.metrics = metrics;
        }
        let stamp = Stamp {
            id: format!("{:016x}", fastrand::u64(..)),
            seq: self.seq,
            reason,
            now: SystemTime::now(),
        };
        let mut heartbeat = payload::heartbeat(&self.identity, &self.metrics, self.config.interval, stamp);
        self.uplinks.iter().for_each(|uplinks| uplinks.tell(&mut heartbeat.connection));
        heartbeat.cameras = payload::cameras(&self.cameras.get());
        heartbeat
    }

    fn count(&mut self, cause: Cause) {
        match cause {
            Cause::Beat => self.counts.scheduled += 1,
            Cause::Call(_) => self.counts.immediate += 1,
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
        if let Some(line) = self.outage.learn(&server, &outcome, now) {
            line.log();
        }
        self.pace.learn(heartbeat.reason, &outcome, now, fastrand::f64());
        self.last_result = result(&server, &outcome, now - begin);
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

    /// Sends a batch of what was recorded while the monitor did not listen; the next batch follows the next
    /// heartbeat, so that being alive never waits behind history.
    fn replay(&mut self) {
        let Some(sender) = self.sender.as_ref().filter(|_| !self.recorder.is_empty()) else { return };
        let batch = self.recorder.batch(Instant::now());
        let body = serde_json::to_vec(&batch).unwrap_or_default();
        let outcome = sender.send(&body, self.config.timeout).outcome;
        match outcome {
            Outcome::Accepted { .. } => log::info!("{} heartbeats of the outage delivered", batch.len()),
            Outcome::Rejected { status, .. } => {
                log::warn!("{} heartbeats of the outage rejected with status {status}, dropped", batch.len());
            }
            // Kept for the next time.
            _ => return,
        }
        self.recorder.forget(batch.len());
        match self.recorder.take_dropped() {
            0 => {}
            dropped => {
                log::warn!("{dropped} heartbeats of the outage were dropped: it lasted too long to keep all")
            }
        }
    }

    /// The last heartbeat says that the stop is meant.
    fn farewell(mut self) {
        if self.sender.is_some() {
            // History would only delay it.
            self.recorder = Recorder::default();
            let heartbeat = self.next_heartbeat(Reason::Shutdown);
            self.counts.immediate += 1;
            let body = payload::to_send(&heartbeat, &self.config, Path::new("/"));
            self.send(&heartbeat, &body, self.config.timeout.min(FAREWELL));
        }
        log::info!("stopped: {}", status(&self.last_result, self.counts));
    }
}

/// For programs on the device: what is sent, or our own form where that says too little.
pub fn local_body(heartbeat: &wire::Heartbeat, format: config::Format) -> Vec<u8> {
    payload::body(heartbeat, local_form(format), &payload::MeetingFields::default())
}

/// Meeting's form leaves out most of what a program on the device looks for.
fn local_form(format: config::Format) -> config::Format {
    match format {
        config::Format::Meeting => config::Format::Native,
        format => format,
    }
}

/// Receives once `due` has come.
fn timer(due: Option<Instant>) -> Receiver<Instant> {
    due.map_or_else(never, at)
}

fn waiting_for(config: &config::Heartbeat) -> String {
    match &config.url {
        Some(_) => format!("no heartbeat to {} yet", server_name(config)),
        None => "no server configured: set url in [heartbeat]".to_owned(),
    }
}

/// The server's name for people: no path, no query, for a token or a device key may stand there.
pub fn server_name(config: &config::Heartbeat) -> String {
    let authority = config.url.as_ref().and_then(|url| url.authority());
    authority.map_or_else(|| "nobody".to_owned(), ToString::to_string)
}

pub fn result(server: &str, outcome: &Outcome, took: Duration) -> String {
    match outcome {
        Outcome::Accepted { status, .. } => format!("{server} answered {status} in {}", span(took)),
        Outcome::Refused { status, with_token: true } => format!("{server} refuses our token ({status})"),
        Outcome::Refused { status, with_token: false } => {
            format!("{server} refuses heartbeats without a token ({status})")
        }
        Outcome::Rejected { status, .. } => format!("{server} rejects our heartbeats ({status})"),
        Outcome::Foreign { problem } => format!("not delivered to {server}: {problem}"),
        Outcome::Busy { hold } => format!("{server} asks for {} of silence", span(*hold)),
        Outcome::Failed { problem } => format!("{server}: {problem}"),
        Outcome::Cut => format!("the connection to {server} was cut"),
    }
}

fn status(result: &str, counts: Counts) -> String {
    let Counts { scheduled, immediate, retried, failed } = counts;
    format!("{result}; {scheduled} scheduled, {immediate} immediate, {retried} retried, {failed} failed")
}

#[cfg(test)]
mod tests;
