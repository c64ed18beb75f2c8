//! Reminders and escalation: when the monitor may write one, when it must, and what ends them.

use super::incidents::{History, Incident};
use super::rows::Row;
use super::{Checked, Key, Model, Status, check};
use crate::monitor::{Entry, Repetition};
use crate::parts::Part;
use crate::world::{EscalationPlan, signed};

/// A moment by a clock that may have been set back since: what the monitor has is between these two.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub earliest: i64,
    pub latest: i64,
}

impl Bounds {
    pub fn at(moment: i64) -> Bounds {
        Bounds { earliest: moment, latest: moment }
    }

    pub fn include(&mut self, moment: i64) {
        self.earliest = self.earliest.min(moment);
        self.latest = self.latest.max(moment);
    }

    /// The monitor has noticed that its clock was set back.
    pub fn set_back(&mut self, wall: i64) {
        self.earliest = self.earliest.min(wall);
        self.latest = self.latest.min(wall);
    }

    pub fn may_be_set_back(&mut self, wall: i64) {
        self.earliest = self.earliest.min(wall);
    }
}

/// Why an incident is not repeated any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RepetitionEnd {
    Ended,
    Acknowledged,
}

/// A reminder that was written, with its recipient.
struct Reminder<'e> {
    key: Key,
    channel: usize,
    recipient: usize,
    entry: &'e Entry,
    /// A whole interval has passed since the last message.
    is_due: bool,
}

fn is_repetition(row: &Row) -> bool {
    matches!(row.news, "reminder" | "escalation")
}

impl Model {
    /// What is open, announced and not acknowledged, and can be repeated now.
    fn repeatable(&self, key: Key, at: i64) -> Option<&Incident> {
        let machine = &self.machines[key.machine];
        let history = self.history(key).filter(|history| !history.flapping)?;
        let incident = history.open()?;
        let status = if key.part == Part::Machine { Status::Offline } else { Status::Online };
        let is_visible = machine.status == status && !machine.is_in_maintenance(at);
        (is_visible && incident.is_alarm() && !incident.is_acknowledged).then_some(incident)
    }

    /// The messages about the last incident.
    fn rows_about(&self, key: Key) -> impl Iterator<Item = &Row> {
        let incident = self.last_incident(key);
        let last = self.history(key).and_then(|history| history.incidents.last());
        let first_row = last.map_or(self.rows.len(), |last| last.first_row);
        self.rows[first_row..].iter().filter(move |row| row.key == key && row.incident == incident)
    }

    fn is_escalated(&self, channel: usize, key: Key) -> bool {
        self.rows_about(key).any(|row| row.channel == channel && row.news == "escalation")
    }

    /// A channel that got an escalation gets the end, whatever its recipient chooses.
    pub(super) fn is_owed_an_end(
        &self,
        channel: usize,
        key: Key,
        (news, state): (&str, &str),
        all: bool,
    ) -> bool {
        let is_end = matches!(state, "online" | "condition_ended") && (news == state || news == "steady");
        let mut last = self.rows.iter().rev().filter(|row| row.channel == channel && row.key == key);
        let is_good = |row: &Row| matches!(row.state, "online" | "condition_ended") && row.news != "flapping";
        let counts = |row: &&Row| row.news == "escalation" || is_good(row);
        let is_escalated = last.find(counts).is_some_and(|row| row.news == "escalation");
        is_end && is_escalated && self.believed(channel, key, all) != Some(state)
    }

    /// The reminders and escalations of one step; escalations are written first.
    pub(super) fn repeated(&mut self, entries: &[Entry], t: u64) -> Checked {
        let of_kind =
            |kind| entries.iter().filter(move |entry: &&Entry| entry.kind == kind).collect::<Vec<&Entry>>();
        let escalations = of_kind("escalation");
        self.check_escalations(&escalations)?;
        for entry in escalations {
            self.skip_unsaid(entry);
            self.push_repetition(entry, "escalation", t);
        }
        let reminders = of_kind("reminder");
        self.check_reminders(&reminders)?;
        reminders.into_iter().for_each(|entry| self.push_repetition(entry, "reminder", t));
        Ok(())
    }

    /// An escalation takes the place of a message that a minimum outage or quiet hours of its recipient hold back.
    fn skip_unsaid(&mut self, entry: &Entry) {
        let (key, at) = (entry.key(), entry.at);
        let Some(Repetition { channel, .. }) = entry.repetition else { return };
        let incident = self.last_incident(key);
        let is_about = |row: &&mut Row| (row.channel, row.key, row.incident) == (channel, key, incident);
        for row in self.rows.iter_mut().filter(is_about).filter(|row| row.due > at && !row.attempted) {
            row.may_be_skipped = true;
            row.skipped |= !row.may_be_due;
        }
    }

    fn push_repetition(&mut self, entry: &Entry, news: &'static str, t: u64) {
        let (key, at) = (entry.key(), entry.at);
        let (Some(Repetition { channel, .. }), Some(incident)) =
            (entry.repetition, self.history(key).and_then(History::open))
        else {
            return;
        };
        let state = if key.part == Part::Machine { "offline" } else { "condition" };
        let (last_seen, value, is_extra) = (Some(incident.since), incident.value, true);
        let row = Row { last_seen, value, is_extra, ..self.row(channel, key, news, state, at) };
        self.push(row, at, t);
    }

    fn check_escalations(&self, entries: &[&Entry]) -> Checked {
        for entry in entries {
            let (key, Repetition { channel, .. }) = parts(entry)?;
            check(!self.is_escalated(channel, key), || format!("doubled: {entry:?}"))?;
            let to = self.channels[channel].recipient;
            let mut escalations = self.escalations(to).map(|(from, _)| from);
            check(escalations.any(|from| self.may_escalate(key, from, entry.at)), || {
                format!("false: {entry:?} without a cause")
            })?;
            let is_written = |other: &&Entry| {
                other.key() == key
                    && other.repetition.is_some_and(|other| self.channels[other.channel].recipient == to)
            };
            let written = entries.iter().copied().filter(is_written).count();
            let all = self.channels.iter().filter(|channel| channel.recipient == to).count();
            check(written == all, || format!("{entry:?} goes to {written} of {all} channels"))?;
        }
        Ok(())
    }

    /// Who escalates to `to`.
    fn escalations(&self, to: usize) -> impl Iterator<Item = (usize, EscalationPlan)> {
        let plans = self.recipients.iter().enumerate();
        plans.filter_map(move |(from, plan)| Some((from, plan.escalation.filter(|plan| plan.to == to)?)))
    }

    /// When an incident is escalated, after it was announced to `from`.
    fn escalation_time(&self, incident: &Incident, from: usize) -> Option<Bounds> {
        let recipient = &self.recipients[from];
        let after = signed(recipient.escalation?.after);
        let held_until = incident.since.min(incident.began) + signed(recipient.min_outage);
        let time = |notified: i64| notified.max(held_until) + after;
        Some(Bounds { earliest: time(incident.notified.earliest), latest: time(incident.notified.latest) })
    }

    fn may_escalate(&self, key: Key, from: usize, at: i64) -> bool {
        let Some(incident) = self.repeatable(key, at) else { return false };
        let is_notice = |row: &Row| row.news != "flapping" && !row.skipped;
        let is_notified =
            self.rows_about(key).any(|row| self.channels[row.channel].recipient == from && is_notice(row));
        let time = self.escalation_time(incident, from);
        is_notified && time.is_some_and(|time| time.earliest <= at + signed(self.tolerance))
    }

    fn must_escalate(&self, key: Key, from: usize, wall: i64) -> bool {
        let Some(incident) = self.repeatable(key, wall) else { return false };
        // An escalation of this check may be escalated by the next one.
        let is_notice = |row: &Row| row.news != "flapping" && !row.may_be_skipped && row.created != wall;
        let is_notified =
            self.rows_about(key).any(|row| self.channels[row.channel].recipient == from && is_notice(row));
        let time = self.escalation_time(incident, from);
        is_notified && time.is_some_and(|time| time.latest <= wall - signed(self.tolerance))
    }

    fn check_reminders(&self, entries: &[&Entry]) -> Checked {
        let mut reminders = Vec::new();
        for entry in entries {
            reminders.push(self.check_reminder(entry)?);
        }
        for Reminder { recipient, entry, .. } in &reminders {
            let is_due = reminders.iter().any(|other| other.recipient == *recipient && other.is_due);
            check(is_due, || format!("early: {entry:?}, and no other one is due"))?;
        }
        let place = |reminder: &Reminder| (reminder.key, reminder.channel);
        for (index, reminder) in reminders.iter().enumerate() {
            let is_doubled = reminders[..index].iter().any(|other| place(other) == place(reminder));
            check(!is_doubled, || format!("doubled: {:?}", reminder.entry))?;
        }
        Ok(())
    }

    fn check_reminder<'e>(&self, entry: &'e Entry) -> Result<Reminder<'e>, String> {
        let (key, Repetition { channel, number }) = parts(entry)?;
        let (recipient, at) = (self.channels[channel].recipient, entry.at);
        let plan = &self.recipients[recipient];
        check(self.repeatable(key, at).is_some(), || format!("false: {entry:?} of what is not open"))?;
        check(plan.quiet.is_none_or(|quiet| quiet.end(at) == at), || {
            format!("false: {entry:?} during quiet hours")
        })?;
        check(self.is_reminded(channel, key), || format!("false: {entry:?} was not chosen"))?;
        let rows: Vec<&Row> = self.rows_about(key).filter(|row| row.channel == channel).collect();
        let expected = rows.iter().filter(|row| row.news == "reminder").count() + 1;
        check(usize::try_from(number) == Ok(expected), || {
            format!("doubled: {entry:?} has not the number {expected}")
        })?;
        let pending = rows.iter().find(|row| !row.answered && !row.may_be_skipped);
        check(pending.is_none(), || format!("false: {entry:?} before {pending:?} is delivered"))?;
        let last = rows.iter().filter_map(|row| row.settled).map(|settled| settled.earliest).max();
        let every = signed(plan.remind_every.ok_or_else(|| format!("false: {entry:?} was not chosen"))?);
        let last = last.ok_or_else(|| format!("false: {entry:?} of what was never announced"))?;
        let is_older = |age: i64| last + age <= at + signed(self.tolerance);
        check(is_older(every / 2), || format!("early: {entry:?} after a message at {last}"))?;
        Ok(Reminder { key, channel, recipient, entry, is_due: is_older(every) })
    }

    /// Whether the recipient of a channel has chosen the incident, or got it by escalation.
    fn is_reminded(&self, channel: usize, key: Key) -> bool {
        let recipient = &self.recipients[self.channels[channel].recipient];
        let topic = key.part.entry().map_or("offline", |entry| entry.topic.name());
        let is_chosen = recipient.group.is_none_or(|group| group == self.groups[key.machine]);
        is_chosen && recipient.events.contains(&topic) || self.is_escalated(channel, key)
    }

    fn must_remind(&self, key: Key, channel: usize, wall: i64, has_reminded: bool) -> bool {
        let plan = &self.recipients[self.channels[channel].recipient];
        let Some(every) = plan.remind_every.map(signed) else { return false };
        let is_quiet = plan.quiet.is_some_and(|quiet| quiet.end(wall) != wall);
        if is_quiet || self.repeatable(key, wall).is_none() || !self.is_reminded(channel, key) {
            return false;
        }
        let rows = || self.rows_about(key).filter(|row| row.channel == channel);
        let is_pending = rows().any(|row| !row.marked && !row.skipped);
        let last =
            rows().filter(|row| row.marked).filter_map(|row| row.settled).map(|last| last.latest).max();
        let age = if has_reminded { every / 2 } else { every };
        !is_pending && last.is_some_and(|last| last + age <= wall - signed(self.tolerance))
    }

    /// After a healthy sweep, and what it has written.
    pub(super) fn check_repetitions(&self, wall: i64, entries: &[Entry]) -> Checked {
        let open = self.histories.keys().filter(|key| self.repeatable(**key, wall).is_some());
        for &key in open {
            for from in 0..self.recipients.len() {
                let Some(EscalationPlan { to, .. }) = self.recipients[from].escalation else { continue };
                let mut channels = self.of_recipient(to);
                let is_escalated = channels.clone().any(|channel| self.is_escalated(channel, key));
                let is_missed =
                    channels.next().is_some() && !is_escalated && self.must_escalate(key, from, wall);
                check(!is_missed, || format!("missed: {key} is not escalated to recipient {}", to + 1))?;
            }
            for channel in 0..self.channels.len() {
                let recipient = self.channels[channel].recipient;
                let is_own = |entry: &Entry| {
                    let channel = entry.repetition.map(|repetition| repetition.channel);
                    channel.is_some_and(|channel| self.channels[channel].recipient == recipient)
                };
                let has_reminded = entries.iter().any(|entry| entry.kind == "reminder" && is_own(entry));
                check(!self.must_remind(key, channel, wall, has_reminded), || {
                    format!("missed: channel {} is not reminded of {key}", channel + 1)
                })?;
            }
        }
        Ok(())
    }

    fn of_recipient(&self, recipient: usize) -> impl Iterator<Item = usize> + Clone {
        (0..self.channels.len()).filter(move |channel| self.channels[*channel].recipient == recipient)
    }

    /// Open incidents that a person can acknowledge.
    pub fn unacknowledged(&self) -> Vec<Key> {
        let is_open = |history: &History| history.open().is_some_and(|incident| !incident.is_acknowledged);
        self.histories.iter().filter(|(_, history)| is_open(history)).map(|(key, _)| *key).collect()
    }

    /// A person has acknowledged the open incident.
    pub fn acknowledged(&mut self, key: Key) {
        if let Some(incident) = self.history_mut(key).open_mut() {
            incident.is_acknowledged = true;
            self.end_repetitions(key, RepetitionEnd::Acknowledged);
            self.restore_unsaid(key);
        }
    }

    /// What an escalation has replaced is sent, unless the escalation was.
    fn restore_unsaid(&mut self, key: Key) {
        let incident = self.last_incident(key);
        let is_about = |row: &&mut Row| row.key == key && row.incident == incident && !is_repetition(row);
        let is_begin = |row: &&mut Row| matches!(row.news, "offline" | "condition") && !row.attempted;
        for row in self.rows.iter_mut().filter(is_about).filter(is_begin) {
            row.skipped = false;
        }
    }

    /// What is in flight may arrive; what fails is not sent again, and nothing else is sent. An escalation that was tried
    /// before the end may still be sent before it.
    pub(super) fn end_repetitions(&mut self, key: Key, end: RepetitionEnd) {
        let incident = self.last_incident(key);
        let is_about = |row: &&mut Row| row.key == key && row.incident == incident && is_repetition(row);
        for row in self.rows.iter_mut().filter(is_about).filter(|row| !row.marked) {
            let is_kept = end == RepetitionEnd::Ended && row.news == "escalation" && row.attempted;
            row.may_be_skipped = true;
            row.is_obsolete |= !is_kept;
            row.skipped |= !is_kept && !row.in_flight && !row.answered;
        }
    }

    /// The machine has announced that it is stopped: what was not sent is not sent, and what failed may be.
    pub(super) fn hide_repetitions(&mut self, key: Key) {
        let incident = self.last_incident(key);
        let is_about = |row: &&mut Row| row.key == key && row.incident == incident && is_repetition(row);
        for row in self.rows.iter_mut().filter(is_about).filter(|row| !row.marked) {
            row.may_be_skipped = true;
            row.skipped |= !row.attempted;
        }
    }
}

fn parts(entry: &Entry) -> Result<(Key, Repetition), String> {
    let repetition = entry.repetition.ok_or_else(|| format!("{entry:?} without a channel"))?;
    Ok((entry.key(), repetition))
}
