//! The messages that each channel must get.

use super::Model;
use super::outages::FLAPPING_EDGES;
use crate::monitor::Entry;
use crate::world::{MINUTE, signed};
use std::collections::BTreeSet;

/// A message that a channel must get.
#[derive(Debug)]
pub struct Row {
    pub channel: usize,
    pub machine: usize,
    pub news: &'static str,
    pub state: &'static str,
    pub at: i64,
    /// When it was written, by a clock that may have been set since.
    pub(super) created: i64,
    /// `None`: the last heartbeat, whenever that was.
    pub last_seen: Option<i64>,
    pub due: i64,
    /// When it was due, on the true clock.
    pub ready: u64,
    pub(super) outage: usize,
    /// It was held, and is not sent any more.
    pub skipped: bool,
    /// The receiver refused it for good.
    pub dead: bool,
    pub attempted: bool,
    /// `X-Webhook-Id`.
    pub id: Option<i64>,
    pub received: u32,
    /// The monitor knows that it was received, or refused for good.
    pub answered: bool,
    /// And the database knows it.
    pub marked: bool,
    /// The answer was lost: it may come again.
    pub may_repeat: bool,
}

impl Model {
    pub(super) fn announce_alarm(&mut self, entry: &Entry, edges: usize, news: &'static str, t: u64) {
        let machine = &mut self.machines[entry.machine];
        if machine.flapping {
            return;
        }
        if edges > FLAPPING_EDGES {
            machine.flapping = true;
            machine.steady_at = None;
            machine.announced_flapping = Some(entry.at);
            self.skip_held(entry.machine, entry.at, None);
            self.enqueue(entry, "flapping", news, t);
        } else if news == "online" {
            self.announce_recovery(entry, t);
        } else {
            self.enqueue(entry, news, news, t);
        }
    }

    pub(super) fn announce_recovery(&mut self, entry: &Entry, t: u64) {
        self.skip_held(entry.machine, entry.at, None);
        self.enqueue(entry, "online", "online", t);
    }

    /// Messages that are held back and were not tried are not sent: those of the last outage, or those with this news.
    pub(super) fn skip_held(&mut self, machine: usize, at: i64, news: Option<&str>) {
        let outage = self.machines[machine].outages.len() - 1;
        for row in self.rows.iter_mut().filter(|row| row.machine == machine && row.due > at && !row.attempted)
        {
            row.skipped |= news.map_or(row.outage == outage, |news| row.news == news);
        }
    }

    /// What the last message on this channel says of the machine; `None` = it flaps.
    pub fn believed(&self, channel: usize, machine: usize) -> Option<&'static str> {
        let counts =
            |row: &&Row| row.channel == channel && row.machine == machine && !row.skipped && !row.dead;
        let last = self.rows.iter().rev().find(counts);
        last.map_or(Some("online"), |row| (row.news != "flapping").then_some(row.state))
    }

    pub(super) fn enqueue(&mut self, entry: &Entry, news: &'static str, state: &'static str, t: u64) {
        let last_seen =
            self.machines[entry.machine].outages.last().map_or(entry.at, |outage| outage.last_seen);
        for channel in 0..self.channels.len() {
            let recipient = &self.recipients[self.channels[channel].recipient];
            let wants = |event: &str| recipient.events.contains(&event);
            let is_chosen = recipient.group.is_none_or(|group| group == self.groups[entry.machine]);
            let is_outdated = || self.believed(channel, entry.machine) != Some(state);
            let wants_outages = wants("offline") || wants("stopped") || wants("flapping");
            let is_notified = match news {
                "online" => wants("online") && (is_outdated() || is_chosen && !wants_outages),
                "steady" => (wants("flapping") || wants(state)) && is_outdated(),
                news => wants(news) && is_chosen,
            };
            if !is_notified {
                continue;
            }
            let held = if news == "offline" { last_seen + signed(recipient.min_outage) } else { entry.at };
            let due = end_of_quiet(recipient.quiet, held.max(entry.at));
            self.rows.push(Row {
                channel,
                machine: entry.machine,
                news,
                state,
                at: entry.at,
                created: entry.at,
                last_seen: (news != "steady").then_some(last_seen),
                due,
                ready: t + (due - entry.at).unsigned_abs(),
                outage: self.machines[entry.machine].outages.len() - 1,
                skipped: false,
                dead: false,
                attempted: false,
                id: None,
                received: 0,
                answered: false,
                marked: false,
                may_repeat: false,
            });
        }
    }

    /// Whether every message of this recipient comes at once, and it wants all that can be said of machines.
    pub fn hears_all(&self, channel: usize, machine: usize) -> bool {
        let recipient = &self.recipients[self.channels[channel].recipient];
        ["offline", "online", "flapping"].iter().all(|event| recipient.events.contains(event))
            && recipient.group.is_none_or(|group| group == self.groups[machine])
            && recipient.quiet.is_none()
            && recipient.min_outage == 0
    }

    /// The couriers have written all answers.
    pub fn marked(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.answered) {
            row.marked = true;
            row.may_repeat = false;
        }
    }

    /// The process has ended: what it had not written is repeated.
    pub fn ended(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.attempted && !row.marked) {
            row.may_repeat = true;
        }
    }

    /// The process that ended had written the results of these messages, whether it lived to know or not.
    pub fn found_settled(&mut self, settled: &BTreeSet<i64>) {
        for row in self.rows.iter_mut().filter(|row| row.attempted && !row.marked) {
            let is_settled = row.id.is_some_and(|id| settled.contains(&id));
            row.marked = is_settled;
            row.answered = is_settled;
            row.dead &= is_settled;
        }
    }
}

fn end_of_quiet(quiet: Option<(u16, u16)>, at: i64) -> i64 {
    let Some((from, to)) = quiet else { return at };
    let minute = signed(MINUTE);
    let day = 1440 * minute;
    let (from, to, now) = (i64::from(from) * minute, i64::from(to) * minute, at.rem_euclid(day));
    let is_quiet = if from < to { (from..to).contains(&now) } else { now >= from || now < to };
    if is_quiet { at + (to - now).rem_euclid(day) } else { at }
}
