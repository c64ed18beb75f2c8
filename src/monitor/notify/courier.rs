//! One visit to a channel: lease what is due, send it, mark it, end.
//!
//! A row is marked after it was sent, never before: whoever is killed in between sends it again, with the same id.

use super::channel::{Channel, Kind};
use super::counters::Counters;
use super::couriers::Clock;
use super::pace::Pace;
use super::plan::ChannelId;
use super::send::{Failure, Message, Sender as Carrier};
use crate::monitor::detect::MANY;
use crate::monitor::store::outbox::{Batch, Leased, Outcome};
use crate::monitor::store::{Store, StoreError};
use crate::monitor::time::go_duration;
use crossbeam_channel::{Receiver, TryRecvError};
use log::{debug, info, warn};
use std::sync::Arc;
use std::time::Duration;

/// What nothing was due on is not asked again for so long, unless something is new.
const REST: Duration = Duration::from_secs(1);

/// After the database has failed.
pub const STORE_REST: Duration = Duration::from_secs(5);

/// What every courier needs.
#[derive(Clone)]
pub struct Shared {
    pub store: Arc<Store>,
    pub clock: Clock,
    pub counters: Arc<Counters>,
    /// Disconnected once the monitor stops.
    pub stopped: Receiver<()>,
}

/// What is known of a channel between two of its couriers.
#[derive(Debug, Default)]
pub struct Line {
    pub pace: Pace,
    /// Sent, or failed, and the database could not take it: to be written before anything else is leased.
    pub unmarked: Vec<(i64, Vec<(i64, Outcome)>)>,
    /// What was last said of it in the log.
    pub complaint: String,
}

impl Line {
    pub fn is_worth_keeping(&self) -> bool {
        self.pace.is_failing() || !self.unmarked.is_empty()
    }
}

/// One visit to a channel.
pub struct Courier<'a> {
    pub shared: &'a Shared,
    pub carrier: &'a Carrier,
    pub channel: ChannelId,
    pub line: Line,
}

impl Courier<'_> {
    pub fn run(mut self) -> Line {
        if let Err(error) = self.visit() {
            self.complain(&format!("Channel {}: {error}", self.channel.0));
            let (_, tick) = (self.shared.clock)();
            self.line.pace.rest(tick, STORE_REST);
        }
        self.line
    }

    fn visit(&mut self) -> Result<(), StoreError> {
        self.mark()?;
        let (now, tick) = (self.shared.clock)();
        let Some(batch) = self.shared.store.lease(self.channel, now)? else {
            // Switched off since it was looked at, or of a kind that a later version made.
            self.line.pace.rest(tick, STORE_REST);
            return Ok(());
        };
        if batch.expired > 0 {
            self.shared.counters.given_up(batch.channel.kind, batch.expired);
            let name = batch.channel.name();
            warn!("{name}: {} notifications have expired unsent", batch.expired);
        }
        if batch.rows.is_empty() {
            self.line.pace.rest(tick, REST);
            return Ok(());
        }
        self.send_all(batch)
    }

    /// Sends until something fails; what was not tried is given back.
    fn send_all(&mut self, batch: Batch) -> Result<(), StoreError> {
        let Batch { channel, lease, rows, .. } = batch;
        let mut stopped = false;
        for message in messages(channel.kind, rows) {
            let (now, tick) = (self.shared.clock)();
            stopped = stopped
                || self.shared.stopped.try_recv() == Err(TryRecvError::Disconnected)
                || self.line.pace.must_pause(channel.kind, tick);
            let outcomes = match stopped {
                true => message.ids().map(|id| (id, Outcome::Untouched)).collect(),
                false => {
                    let result = self.carrier.send(&channel, &message.what, now);
                    let outcomes = self.judge(&channel, &message, result);
                    stopped = self.line.pace.is_failing();
                    outcomes
                }
            };
            match self.line.unmarked.last_mut() {
                Some((last, rows)) if *last == lease => rows.extend(outcomes),
                _ => self.line.unmarked.push((lease, outcomes)),
            }
            if !stopped {
                self.mark()?;
            }
        }
        self.mark()
    }

    /// What a delivery means for its rows and for the channel's pace.
    fn judge(
        &mut self,
        channel: &Channel,
        message: &Outgoing,
        result: Result<String, Failure>,
    ) -> Vec<(i64, Outcome)> {
        let (now, tick) = (self.shared.clock)();
        let (counters, kind) = (&self.shared.counters, channel.kind);
        match result {
            Ok(answer) => {
                counters.delivered(kind, message.rows.len());
                debug!("{}: {} delivered: {answer}", channel.name(), message.what.title());
                if self.line.pace.worked(tick) {
                    info!("{} works again", channel.name());
                    self.line.complaint.clear();
                }
                message.ids().map(|id| (id, Outcome::Delivered)).collect()
            }
            Err(Failure::Never { why }) => {
                counters.failed(kind);
                counters.given_up(kind, message.rows.len());
                // It was reached: what it refuses is this message.
                self.line.pace.worked(tick);
                warn!("{}: given up: {}: {why}", channel.name(), message.what.title());
                message.ids().map(|id| (id, Outcome::Dead { why: why.clone() })).collect()
            }
            Err(Failure::Later { why, after }) => {
                counters.failed(kind);
                let delay = self.line.pace.failed(tick, after, fastrand::f64());
                self.complain(&format!("{}: {why}", channel.name()));
                debug!("{}: trying again in {}", channel.name(), go_duration(delay));
                let again = now.plus(delay);
                let each = message.rows.iter().map(|row| match again < row.expires {
                    true => (row.id, Outcome::Failed { why: why.clone(), again }),
                    false => {
                        counters.given_up(kind, 1);
                        warn!("{}: given up after a day: {}: {why}", channel.name(), row.notice.title());
                        (row.id, Outcome::Dead { why: why.clone() })
                    }
                });
                each.collect()
            }
        }
    }

    /// Writes what became of the rows. What the database cannot take stays for the next visit.
    fn mark(&mut self) -> Result<(), StoreError> {
        let (now, _) = (self.shared.clock)();
        while let Some((lease, outcomes)) = self.line.unmarked.first() {
            let held = self.shared.store.settle(*lease, outcomes, now)?;
            if held < outcomes.len() {
                warn!("Channel {}: {} leases were lost", self.channel.0, outcomes.len() - held);
            }
            self.line.unmarked.remove(0);
        }
        Ok(())
    }

    /// Once for each thing that is wrong, until it works again.
    fn complain(&mut self, complaint: &str) {
        if self.line.complaint != complaint {
            warn!("{complaint}");
            self.line.complaint = complaint.to_owned();
        }
    }
}

/// A message and the rows that it answers for.
struct Outgoing {
    what: Message,
    rows: Vec<Leased>,
}

impl Outgoing {
    fn ids(&self) -> impl Iterator<Item = i64> + '_ {
        self.rows.iter().map(|row| row.id)
    }
}

/// A program gets a message for each machine. So does a person, unless many machines did the same.
fn messages(kind: Kind, rows: Vec<Leased>) -> Vec<Outgoing> {
    let mut groups: Vec<Vec<Leased>> = Vec::new();
    for row in rows {
        let same = |group: &&mut Vec<Leased>| {
            let other = &group[0].notice;
            (other.news, other.state) == (row.notice.news, row.notice.state)
        };
        match groups.iter_mut().find(same) {
            Some(group) if kind.is_for_people() => group.push(row),
            _ => groups.push(vec![row]),
        }
    }
    let split = |group: Vec<Leased>| match group.len() >= MANY {
        true => vec![group],
        false => group.into_iter().map(|row| vec![row]).collect(),
    };
    let mut groups: Vec<Vec<Leased>> = groups.into_iter().flat_map(split).collect();
    groups.sort_by_key(|group| group[0].id);
    let outgoing = |rows: Vec<Leased>| {
        let what = Message {
            rows: rows.iter().map(|row| row.id).collect(),
            notices: rows.iter().map(|row| row.notice.clone()).collect(),
        };
        Outgoing { what, rows }
    };
    groups.into_iter().map(outgoing).collect()
}
