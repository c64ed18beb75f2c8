//! Writes transitions: their incidents, their events, and a row of the outbox for each channel that is to be notified. Each
//! step is one statement for all of them, because a whole network may fail or return at once.

use crate::clock::Moment;
use crate::monitor::events::{EventLine, note, note_each};
use crate::monitor::incidents::context::{MachineContext, tags};
use crate::monitor::incidents::late::Late;
use crate::monitor::incidents::policy::{Announcement, announcement};
use crate::monitor::incidents::status::HeardMachine;
use crate::monitor::incidents::table::{
    IncidentId, IncidentKey, KEYS, NewIncident, OFFLINE, UnannouncedOutage, begin, condition_of, end,
    key_rows, last, mark_notified, mark_planned,
};
use crate::monitor::incidents::transition::{Transition, TransitionKind};
use crate::monitor::machine::{DeviceServer, MachineId, MachineStatus};
use crate::monitor::notify::notice::{EventKind, Happening};
use crate::monitor::notify::recipients::{self, Recipient};
use crate::monitor::store::StoreError;
use crate::monitor::store::sql::{Transaction, params};
use serde_json::json;
use std::collections::HashSet;

/// Transitions that share their statements. More would save nothing, and their rows are in memory twice.
const TOGETHER: usize = 500;

/// Writes transitions in one transaction.
pub struct Announcer<'t> {
    pub(super) transaction: &'t Transaction<'t>,
    pub(super) now: Moment,
    recipients: Vec<Recipient>,
    /// At least one recipient chooses machines by tag.
    needs_tags: bool,
}

/// What has happened to an incident, and may be announced.
#[derive(Clone)]
pub(super) struct News<'a> {
    pub key: IncidentKey<'a>,
    pub context: &'a MachineContext,
    pub what: Happening,
    pub incident: IncidentId,
}

/// The transitions of `items`, of which `write` gets [`TOGETHER`] at a time.
pub(super) fn in_parts<T>(
    items: &[T],
    write: impl FnMut(&[T]) -> Result<Vec<Transition>, StoreError>,
) -> Result<Vec<Transition>, StoreError> {
    let parts: Vec<_> = items.chunks(TOGETHER).map(write).collect::<Result<_, _>>()?;
    Ok(parts.into_iter().flatten().collect())
}

impl<'t> Announcer<'t> {
    pub fn new(transaction: &'t Transaction<'t>, now: Moment) -> Result<Announcer<'t>, StoreError> {
        let recipients = recipients::reachable(transaction)?;
        let needs_tags = recipients.iter().any(|recipient| !recipient.machines.tags.is_empty());
        Ok(Announcer { transaction, now, recipients, needs_tags })
    }

    /// `is_isolated`: the outages of machines that have other monitors, too, are recorded, and announced later if at all.
    pub fn went_offline(&self, late: &[Late], is_isolated: bool) -> Result<Vec<Transition>, StoreError> {
        let known = self.with_contexts(late, |late| IncidentKey::outage(late.machine))?;
        let new = |(late, context): &(&Late, MachineContext)| {
            let is_kept_back = is_isolated && late.server == DeviceServer::First;
            let is_announced = !is_kept_back && !context.is_in_maintenance && !context.is_hidden;
            NewIncident { is_announced, ..NewIncident::outage(late.machine, late.last_seen) }
        };
        let new: Vec<NewIncident<'_>> = known.iter().map(new).collect();
        let begun = begin(self.transaction, &new, self.now)?;
        let news = known.iter().zip(&new).zip(&begun).filter(|((_, new), _)| new.is_announced);
        let news: Vec<News<'_>> = news
            .filter_map(|(((late, context), new), &begun)| {
                let what = self.happening(EventKind::Offline, EventKind::Offline, late.last_seen);
                Some(News { key: new.key, context, what, incident: begun? })
            })
            .collect();
        let flapping = self.announce_alarms(news)?;
        let transitions = known.iter().zip(&begun).map(|((late, context), begun)| {
            let flaps = begun.is_some_and(|incident| flapping.contains(&incident));
            context.transition(TransitionKind::Offline { last_seen: late.last_seen }, flaps)
        });
        self.with_events(transitions, EventKind::Offline)
    }

    pub fn came_back(&self, machines: &[HeardMachine]) -> Result<Vec<Transition>, StoreError> {
        let known = self.with_contexts(machines, HeardMachine::outage)?;
        let keys: Vec<_> = known.iter().map(|(heard, _)| heard.outage()).collect();
        let ended = end(self.transaction, &keys, self.now)?;
        let (mut alarms, mut others) = (Vec::new(), Vec::new());
        for ((&key, (_, context)), outage) in keys.iter().zip(&known).zip(&ended) {
            let Some(outage) = outage else { continue };
            let what = self.happening(EventKind::Online, EventKind::Online, outage.since);
            let news = News { key, context, what, incident: outage.id };
            if outage.was_alarm {
                alarms.push(news);
            } else if !context.is_flapping {
                // The end of an outage that was planned or not announced never makes a machine flap.
                others.push(news);
            }
        }
        let flapping = self.announce_alarms(alarms)?;
        self.send(&others)?;
        let transitions = known.iter().zip(&ended).map(|((heard, context), ended)| {
            let kind = match ended {
                None if heard.status == MachineStatus::New => TransitionKind::FirstSeen,
                _ => TransitionKind::Online,
            };
            context.transition(kind, ended.is_some_and(|outage| flapping.contains(&outage.id)))
        });
        self.with_events(transitions, EventKind::Online)
    }

    /// The machine's heartbeats go to another monitor. Its conditions end without a message: that one judges them.
    pub fn became_standby(&self, machine: MachineId) -> Result<Transition, StoreError> {
        note(self.transaction, Some(machine), "standby", None, self.now)?;
        self.end_conditions(machine, u32::MAX)?;
        Ok(self.context(IncidentKey::outage(machine))?.transition(TransitionKind::Standby, false))
    }

    /// A shutdown heartbeat does not end an outage: it marks the open one, or a new one, as planned.
    pub fn were_stopped(&self, machines: &[HeardMachine]) -> Result<Vec<Transition>, StoreError> {
        let known = self.with_contexts(machines, HeardMachine::outage)?;
        let stopped: Vec<MachineId> = known.iter().map(|(heard, _)| heard.machine).collect();
        // One is open while the machine is offline, and after it was disabled while offline.
        let mut outages = mark_planned(self.transaction, &stopped)?;
        self.skip_held(outages.values().copied())?;
        let without = known.iter().filter(|(heard, _)| !outages.contains_key(&heard.machine));
        let new = without.map(|(heard, context)| NewIncident {
            is_planned: true,
            is_announced: !context.is_in_maintenance,
            ..NewIncident::outage(heard.machine, heard.seen)
        });
        let new: Vec<_> = new.collect();
        let begun = begin(self.transaction, &new, self.now)?;
        let begun = new.iter().zip(begun).filter_map(|(new, begun)| Some((new.key.machine, begun?)));
        outages.extend(begun);
        let notified = known.iter().filter(|(_, context)| !context.is_in_maintenance && !context.is_flapping);
        let news = notified.filter_map(|(heard, context)| {
            let what = self.happening(EventKind::Stopped, EventKind::Stopped, heard.seen);
            let incident = *outages.get(&heard.machine)?;
            Some(News { key: heard.outage(), context, what, incident })
        });
        self.send(&news.collect::<Vec<_>>())?;
        let transitions = known.iter().map(|(_, context)| context.transition(TransitionKind::Stopped, false));
        self.with_events(transitions, EventKind::Stopped)
    }

    pub fn are_still_offline(&self, outages: &[UnannouncedOutage]) -> Result<Vec<Transition>, StoreError> {
        let ids: Vec<IncidentId> = outages.iter().map(|outage| outage.id).collect();
        mark_notified(self.transaction, &ids, self.now)?;
        let known = self.with_contexts(outages, |outage| IncidentKey::outage(outage.machine))?;
        let notified = known.iter().filter(|(_, context)| !context.is_flapping);
        let news = notified.map(|(outage, context)| {
            let what = self.happening(EventKind::Offline, EventKind::Offline, outage.last_seen);
            News { key: IncidentKey::outage(outage.machine), context, what, incident: outage.id }
        });
        self.send(&news.collect::<Vec<_>>())?;
        let transitions = known.iter().map(|(outage, context)| {
            context.transition(TransitionKind::StillOffline { last_seen: outage.last_seen }, false)
        });
        Ok(transitions.collect())
    }

    /// A machine, or a condition of it, has stopped flapping; `state` is its present one.
    pub fn became_steady(
        &self,
        key: IncidentKey<'_>,
        state: EventKind,
        since: Moment,
    ) -> Result<Transition, StoreError> {
        self.transaction.execute(
            "UPDATE flapping SET steady_at = ?4 WHERE machine_id = ?1 AND kind = ?2 AND subject = ?3",
            params![key.machine.0, key.kind, key.subject, self.now.0],
        )?;
        note_each(self.transaction, [key_line(key, EventKind::Steady)], self.now)?;
        self.skip_held_flapping(key)?;
        let context = self.context(key)?;
        if let Some(incident) = last(self.transaction, key)? {
            let condition = condition_of(self.transaction, incident)?;
            let what = Happening { condition, ..self.happening(EventKind::Steady, state, since) };
            self.send(&[News { key, context: &context, what, incident }])?;
        }
        Ok(context.transition(TransitionKind::Steady { state }, false))
    }

    /// Announces begins and ends of incidents, or that a key begins to flap, in their order: messages about one machine are
    /// sent in the order in which things happened. Returns the incidents of those that begin to flap.
    pub(super) fn announce_alarms(
        &self,
        mut alarms: Vec<News<'_>>,
    ) -> Result<HashSet<IncidentId>, StoreError> {
        alarms.retain_mut(|news| {
            let announcement = announcement(news.context.is_flapping, news.context.transitions);
            if announcement == Announcement::Flapping {
                news.what.event = EventKind::Flapping;
            }
            announcement != Announcement::Nothing
        });
        let flapping = alarms.iter().filter(|news| news.what.event == EventKind::Flapping);
        let flapping: Vec<&News<'_>> = flapping.collect();
        self.begin_flapping(&flapping)?;
        let incidents = flapping.iter().map(|news| news.incident).collect();
        self.send(&alarms)?;
        Ok(incidents)
    }

    fn begin_flapping(&self, flapping: &[&News<'_>]) -> Result<(), StoreError> {
        if flapping.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = flapping.iter().map(|news| news.key).collect();
        self.transaction.execute(
            &format!(
                "WITH {KEYS}
                 INSERT INTO flapping (machine_id, kind, subject, since)
                 SELECT machine_id, kind, subject, ?2 FROM wanted WHERE true
                 ON CONFLICT (machine_id, kind, subject) DO UPDATE SET since = excluded.since, steady_at = NULL"
            ),
            params![key_rows(&keys)?, self.now],
        )?;
        self.skip_held(flapping.iter().map(|news| news.incident))
    }

    pub(super) fn happening(&self, event: EventKind, state: EventKind, last_seen: Moment) -> Happening {
        Happening { event, state, now: self.now, last_seen, condition: None }
    }

    pub(super) fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    /// Empty if no recipient has chosen machines by tag.
    pub(super) fn tags(&self, machine: MachineId) -> Result<Vec<String>, StoreError> {
        if self.needs_tags { tags(self.transaction, machine) } else { Ok(Vec::new()) }
    }

    /// Each item with the context of its key, without those whose machine was removed.
    pub(super) fn with_contexts<'i, 'k, T>(
        &self,
        items: &'i [T],
        key: impl Fn(&'i T) -> IncidentKey<'k>,
    ) -> Result<Vec<(&'i T, MachineContext)>, StoreError> {
        let keys: Vec<_> = items.iter().map(key).collect();
        let contexts = MachineContext::load(self.transaction, &keys, self.needs_tags, self.now)?;
        Ok(items.iter().zip(contexts).filter_map(|(item, context)| Some((item, context?))).collect())
    }

    pub(super) fn context(&self, key: IncidentKey<'_>) -> Result<MachineContext, StoreError> {
        let contexts = MachineContext::load(self.transaction, &[key], self.needs_tags, self.now)?;
        let context = contexts.into_iter().next().flatten();
        context.ok_or_else(|| StoreError::Other(format!("machine {} was removed", key.machine.0)))
    }

    /// Writes the events of transitions of machines: what happened, and that a machine flaps from now on.
    fn with_events(
        &self,
        transitions: impl Iterator<Item = Transition>,
        event: EventKind,
    ) -> Result<Vec<Transition>, StoreError> {
        let transitions: Vec<Transition> = transitions.collect();
        let lines = transitions.iter().flat_map(|transition| {
            let flaps = key_line(IncidentKey::outage(transition.machine), EventKind::Flapping);
            [(Some(transition.machine), event.name(), None)]
                .into_iter()
                .chain(transition.flaps.then_some(flaps))
        });
        note_each(self.transaction, lines, self.now)?;
        Ok(transitions)
    }
}

/// That a condition flaps, or is steady again, says which one.
pub(super) fn key_line(key: IncidentKey<'_>, event: EventKind) -> EventLine<'static> {
    let detail = (key.kind != OFFLINE).then(|| json!({ "condition": key.kind, "subject": key.subject }));
    (Some(key.machine), event.name(), detail)
}
