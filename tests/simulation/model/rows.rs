//! The messages that each channel must get.

use super::repetitions::Bounds;
use super::{Key, Model};
use crate::parts::Part;
use crate::world::{HOUR, MINUTE, signed};
use std::collections::BTreeSet;

/// After a failure, a message may wait for its backoff, and a mail that may have arrived for half an hour.
pub const BACKOFF: u64 = 45 * MINUTE;

/// A message that a channel must get.
#[derive(Debug)]
pub struct Row {
    pub channel: usize,
    pub key: Key,
    pub news: &'static str,
    pub state: &'static str,
    pub at: i64,
    /// When it was written, by a clock that may have been set since.
    pub created: i64,
    /// `None`: not checked.
    pub last_seen: Option<i64>,
    /// The number with which a condition began.
    pub value: Option<f32>,
    /// Of a summary.
    pub listed: Vec<Key>,
    pub due: i64,
    /// When it was due, on the true clock.
    pub ready: u64,
    pub incident: usize,
    /// A check that met a fault may have made it due, because it was written by a clock that was ahead.
    pub may_be_due: bool,
    /// It was held, and is not sent any more: certainly, and perhaps.
    pub skipped: bool,
    pub may_be_skipped: bool,
    /// The receiver refused it for good.
    pub dead: bool,
    pub attempted: bool,
    pub in_flight: bool,
    /// What it says was over before it was delivered: a delivery that fails is not repeated.
    pub is_obsolete: bool,
    /// Only recipients with reminders and escalation get it: what is drawn for it changes nothing else.
    pub is_extra: bool,
    /// `X-Webhook-Id`.
    pub id: Option<i64>,
    pub received: u32,
    /// The monitor knows that it was received, or refused for good.
    pub answered: bool,
    /// And the database knows it.
    pub marked: bool,
    /// When it was written, and when it was delivered or given up, by the monitor's clock.
    pub written: Bounds,
    pub settled: Option<Bounds>,
    /// The answer was lost: it may come again.
    pub may_repeat: bool,
}

/// What is announced, and the state that it ends in.
type News = (&'static str, &'static str);

impl Model {
    /// Messages that are held back and were not tried are not sent: those of the last incident, or those with this news.
    pub(super) fn skip_held(&mut self, key: Key, at: i64, news: Option<&str>) {
        let incident = self.last_incident(key);
        for row in self.rows.iter_mut().filter(|row| row.key == key && row.due > at && !row.attempted) {
            let is_meant = news.map_or(row.incident == incident, |news| row.news == news);
            row.may_be_skipped |= is_meant;
            row.skipped |= is_meant && !row.may_be_due;
        }
    }

    /// What the last message on this channel says of the machine or its part; `None` = it flaps. `all`: with messages that
    /// may be skipped.
    pub fn believed(&self, channel: usize, key: Key, all: bool) -> Option<&'static str> {
        let may_be_sent = |row: &Row| !row.skipped && (all || !row.may_be_skipped);
        let may_have_arrived = |row: &Row| row.received > 0 || all && row.attempted;
        let is_sent = |row: &Row| !row.dead && (may_have_arrived(row) || may_be_sent(row));
        let counts = |row: &&Row| row.channel == channel && row.key == key && is_sent(row);
        let good = if key.part == Part::Machine { "online" } else { "condition_ended" };
        let last = self.rows.iter().rev().filter(|row| row.news != "summary").find(counts);
        last.map_or(Some(good), |row| (row.news != "flapping").then_some(row.state))
    }

    fn is_notified(&self, channel: usize, key: Key, (news, state): News, all: bool) -> bool {
        let recipient = &self.recipients[self.channels[channel].recipient];
        let wants = |event: &str| recipient.events.contains(&event);
        let is_chosen = recipient.group.is_none_or(|group| group == self.groups[key.machine]);
        let is_outdated = || self.believed(channel, key, all) != Some(state);
        let wants_outages = wants("offline") || wants("stopped") || wants("flapping");
        match (key.part.entry(), news) {
            (None, "online") => wants("online") && (is_outdated() || is_chosen && !wants_outages),
            (None, "steady") => {
                (wants("flapping") || wants(state)) && is_outdated() && (is_chosen || state == "online")
            }
            (None, news) => wants(news) && is_chosen,
            (Some(_), "condition_ended") => is_outdated(),
            (Some(_), "steady") if state == "condition_ended" => is_outdated(),
            (Some(entry), "steady") => wants(entry.topic.name()) && is_chosen && is_outdated(),
            (Some(entry), _) => wants(entry.topic.name()) && is_chosen,
        }
    }

    pub(super) fn enqueue(&mut self, key: Key, news: &'static str, state: &'static str, at: i64, t: u64) {
        let incident = self.history(key).and_then(|history| history.incidents.last());
        // A shutdown heartbeat may be the first one after an outage, and is the last one that was seen.
        let incident_since = incident.filter(|_| news != "stopped").map(|incident| incident.since);
        let since = incident_since.unwrap_or(at);
        let value = incident.and_then(|incident| incident.value);
        for channel in 0..self.channels.len() {
            let chosen = [true, false].map(|all| self.is_notified(channel, key, (news, state), all));
            let owed = [true, false].map(|all| self.is_owed_an_end(channel, key, (news, state), all));
            let notified = [0, 1].map(|all| chosen[all] || owed[all]);
            if notified == [false; 2] {
                continue;
            }
            let recipient = &self.recipients[self.channels[channel].recipient];
            let is_held = matches!(news, "offline" | "condition");
            let due = if is_held { since + signed(recipient.min_outage) } else { at };
            let last_seen = (news != "steady").then_some(since);
            let may_be_skipped = notified != [true; 2];
            let is_extra = chosen == [false; 2];
            let row =
                Row { last_seen, value, may_be_skipped, is_extra, ..self.row(channel, key, news, state, at) };
            self.push(row, due, t);
        }
    }

    /// Each recipient who has chosen at least one of these gets a message about those it has chosen.
    pub(super) fn enqueue_summaries(&mut self, existing: &[Key], at: i64, t: u64) {
        for channel in 0..self.channels.len() {
            let chosen = |key: &&Key| self.is_notified(channel, **key, ("condition", "condition"), true);
            let listed: Vec<Key> = existing.iter().filter(chosen).copied().collect();
            let Some(first) = listed.first() else { continue };
            let key = Key { part: Part::Machine, ..*first };
            // It is no part of the machine's outages.
            let incident = usize::MAX;
            let row = Row { listed, incident, ..self.row(channel, key, "summary", "condition", at) };
            self.push(row, at, t);
        }
    }

    /// A message that is due at `due`, or when quiet hours are over.
    pub(super) fn push(&mut self, mut row: Row, due: i64, t: u64) {
        let recipient = &self.recipients[self.channels[row.channel].recipient];
        let due = due.max(row.at);
        row.due = recipient.quiet.map_or(due, |quiet| quiet.end(due));
        row.ready = t + (row.due - row.at).unsigned_abs();
        self.rows.push(row);
    }

    pub(super) fn row(
        &self,
        channel: usize,
        key: Key,
        news: &'static str,
        state: &'static str,
        at: i64,
    ) -> Row {
        Row {
            channel,
            key,
            news,
            state,
            at,
            created: at,
            last_seen: None,
            value: None,
            listed: Vec::new(),
            due: at,
            ready: 0,
            incident: self.last_incident(key),
            may_be_due: false,
            skipped: false,
            may_be_skipped: false,
            dead: false,
            attempted: false,
            in_flight: false,
            is_obsolete: false,
            is_extra: false,
            id: None,
            received: 0,
            answered: false,
            marked: false,
            written: Bounds::at(at),
            settled: None,
            may_repeat: false,
        }
    }

    pub(super) fn last_incident(&self, key: Key) -> usize {
        self.history(key).map_or(0, |history| history.incidents.len())
    }

    /// Whether every message of this recipient comes at once, and it wants all that can be said of a machine or part.
    pub fn hears_all(&self, channel: usize, key: Key) -> bool {
        let recipient = &self.recipients[self.channels[channel].recipient];
        let events = match key.part.entry() {
            None => vec!["offline", "online", "flapping"],
            Some(entry) => vec![entry.topic.name()],
        };
        events.iter().all(|event| recipient.events.contains(event))
            && recipient.group.is_none_or(|group| group == self.groups[key.machine])
            && recipient.quiet.is_none()
            && recipient.min_outage == 0
    }

    /// A check met a fault, or crashed: it may have noticed that the clock was set back to `wall`.
    pub fn may_forget_the_future(&mut self, wall: i64) {
        for row in &mut self.rows {
            row.may_be_due |= row.created > wall;
            row.written.may_be_set_back(wall);
            if let Some(settled) = &mut row.settled {
                settled.may_be_set_back(wall);
            }
        }
        self.may_forget_future_incidents(wall);
    }

    /// The clock was set back to `wall`: what is held until a time of the day is held for longer.
    pub fn clock_set_back(&mut self, t: u64, wall: i64) {
        for row in self.rows.iter_mut().filter(|row| row.created <= wall && row.due > wall) {
            row.ready = row.ready.max(t + row.due.abs_diff(wall));
        }
    }

    /// The clock was set back by `step` while no process ran to notice: a retry is late by as much, for two hours at most.
    pub(super) fn retries_are_later(&mut self, t: u64, step: u64) {
        for row in self.rows.iter_mut().filter(|row| row.attempted && !row.answered) {
            row.ready = row.ready.max(t + BACKOFF + step.min(2 * HOUR));
        }
    }

    /// The couriers have written all answers, at `wall` by the monitor's clock.
    pub fn marked(&mut self, wall: i64) {
        for row in self.rows.iter_mut().filter(|row| row.answered) {
            row.settled_by(wall);
            row.marked = true;
            row.may_repeat = false;
        }
    }

    /// The process has ended, at `wall` by its clock: what it had not written is repeated.
    pub fn ended(&mut self, wall: i64) {
        for row in self.rows.iter_mut().filter(|row| row.attempted && !row.marked) {
            row.settled_by(wall);
            row.in_flight = false;
            row.may_repeat = true;
        }
    }

    /// The process that ended had written the results of these messages, whether it lived to know or not.
    pub fn found_settled(&mut self, settled: &BTreeSet<i64>) {
        for row in self.rows.iter_mut().filter(|row| row.attempted && !row.marked) {
            let is_settled = row.id.is_some_and(|id| settled.contains(&id));
            row.marked = is_settled;
            row.answered = is_settled;
            row.settled = row.settled.filter(|_| is_settled);
            row.dead &= is_settled;
        }
    }
}

impl Row {
    /// A courier has the result.
    pub fn finished(&mut self, is_delivered: bool, is_refused: bool, wall: i64) {
        self.in_flight = false;
        self.answered = is_delivered || is_refused;
        self.dead = is_refused;
        // A reminder counts from what was given up, too.
        self.settled = self.answered.then_some(if is_refused { self.written } else { Bounds::at(wall) });
    }

    /// What is answered is in the database now.
    fn settled_by(&mut self, wall: i64) {
        if let Some(settled) = self.settled.as_mut().filter(|_| !self.marked && !self.dead) {
            settled.include(wall);
        }
    }
}
