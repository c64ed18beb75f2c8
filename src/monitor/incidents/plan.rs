//! The plan of an event's messages: recipients, channels and times. Pure.
//!
//! An event becomes one row of the outbox for each channel of each recipient who wants it. A row may be due later than
//! now: after the recipient's minimum outage, or at the end of their quiet hours. If the machine is back by then, neither
//! the outage nor the recovery is sent.

use crate::clock::{Moment, milliseconds};
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::notify::channel::ChannelId;
use crate::monitor::notify::condition_notice::ConditionNotice;
use crate::monitor::notify::notice::{EventKind, Happening, Subject};
use crate::monitor::notify::recipients::Recipient;
use crate::monitor::notify::topic::Topic;

/// One row of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    pub channel: ChannelId,
    pub due: Moment,
    /// Number of a reminder, from 1; 0: it is no reminder.
    pub reminder: u32,
}

/// The rows for an event. A beginning goes to every recipient who has chosen the machine. An end goes to the channels in
/// `outdated`, over which another state of the machine was reported last, whatever their recipients choose by now. A
/// recovery also goes to recipients who want no other event. That a machine is steady in a bad state is a beginning: those
/// who have not chosen it are not notified.
pub fn plan(
    recipients: &[Recipient],
    machine: &Subject,
    what: &Happening,
    outdated: &[ChannelId],
) -> Vec<Planned> {
    let mut rows = Vec::new();
    for recipient in recipients {
        if !recipient.wants(what) {
            continue;
        }
        let chosen = recipient.machines.includes(machine);
        let due = recipient.due(what);
        let is_notified = |channel: &&ChannelId| match what.event {
            EventKind::Online => outdated.contains(channel) || (chosen && !recipient.wants_outages()),
            EventKind::Steady => outdated.contains(channel) && (chosen || what.state.is_end()),
            EventKind::ConditionEnded => outdated.contains(channel),
            EventKind::Offline | EventKind::Stopped | EventKind::Flapping | EventKind::Condition => chosen,
            EventKind::Summary
            | EventKind::Reminder
            | EventKind::Escalation
            | EventKind::Test
            | EventKind::Trouble
            | EventKind::Report => false,
        };
        rows.extend(recipient.channels.iter().filter(is_notified).map(|&channel| Planned {
            channel,
            due,
            reminder: 0,
        }));
    }
    rows
}

impl Recipient {
    pub(super) fn wants(&self, what: &Happening) -> bool {
        if let Some(condition) = &what.condition {
            let news = if what.event == EventKind::Steady { what.state } else { what.event };
            return self.wants_condition(condition, news);
        }
        let chosen = |event: EventKind| event.topic().is_some_and(|topic| self.events.contains(&topic));
        chosen(what.event) || (what.event == EventKind::Steady && chosen(what.state))
    }

    /// An end goes to those who were notified of the begin, whatever they choose by now.
    pub(super) fn wants_condition(&self, condition: &ConditionNotice, event: EventKind) -> bool {
        let is_end = event == EventKind::ConditionEnded;
        let topic = Condition::from_name(&condition.condition).map(|known| known.entry().topic);
        is_end || topic.is_some_and(|topic| self.events.contains(&topic))
    }

    fn wants_outages(&self) -> bool {
        let outage = [Topic::Offline, Topic::Stopped, Topic::Flapping];
        self.events.iter().any(|topic| outage.contains(topic))
    }

    pub(super) fn due(&self, what: &Happening) -> Moment {
        let due = match what.event {
            EventKind::Offline | EventKind::Condition => {
                Moment(what.last_seen.0.saturating_add(milliseconds(self.min_outage)))
            }
            _ => what.now,
        };
        let due = due.max(what.now);
        self.quiet.as_ref().map_or(due, |quiet| quiet.end_if_quiet(due))
    }
}

impl EventKind {
    /// `None` for messages that no recipient chooses.
    fn topic(self) -> Option<Topic> {
        match self {
            EventKind::Offline => Some(Topic::Offline),
            EventKind::Online => Some(Topic::Online),
            EventKind::Stopped => Some(Topic::Stopped),
            EventKind::Flapping | EventKind::Steady => Some(Topic::Flapping),
            EventKind::Condition
            | EventKind::ConditionEnded
            | EventKind::Summary
            | EventKind::Reminder
            | EventKind::Escalation
            | EventKind::Test
            | EventKind::Trouble
            | EventKind::Report => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::notify::choices::MachineChoice;
    use crate::monitor::notify::quiet_hours::QuietHours;
    use crate::monitor::zone::Clock;
    use std::time::Duration;

    const HOUR: i64 = 3_600_000;
    /// 2026-01-21 00:00 UTC.
    const MIDNIGHT: Moment = Moment(1_768_953_600_000);

    fn at(hour: i64, minute: i64) -> Moment {
        Moment(MIDNIGHT.0 + hour * HOUR + minute * 60_000)
    }

    fn everybody() -> Recipient {
        Recipient {
            id: 1,
            machines: MachineChoice { all: true, ..MachineChoice::default() },
            events: Topic::default_choice(),
            quiet: None,
            min_outage: Duration::ZERO,
            remind_every: None,
            channels: vec![ChannelId(1)],
        }
    }

    fn machine() -> Subject {
        Subject {
            id: 1,
            name: "barn".into(),
            group: Some("farm".into()),
            tags: vec!["camera".into()],
            ..Subject::default()
        }
    }

    fn offline(now: Moment) -> Happening {
        Happening {
            event: EventKind::Offline,
            state: EventKind::Offline,
            now,
            last_seen: now.minus(MINUTES_2),
            condition: None,
        }
    }

    const MINUTES_2: Duration = Duration::from_secs(120);

    fn dues(recipient: &Recipient, what: &Happening) -> Vec<Moment> {
        plan(std::slice::from_ref(recipient), &machine(), what, &[]).iter().map(|row| row.due).collect()
    }

    #[test]
    fn every_enabled_channel_of_who_wants_it_gets_a_row_at_once() {
        let two = Recipient { channels: vec![ChannelId(1), ChannelId(7)], ..everybody() };
        let rows = plan(&[two, everybody()], &machine(), &offline(at(12, 0)), &[]);
        let channels: Vec<i64> = rows.iter().map(|row| row.channel.0).collect();
        assert_eq!(channels, [1, 7, 1]);
        assert!(rows.iter().all(|row| row.due == at(12, 0)));
    }

    #[test]
    fn machines_are_chosen_by_id_or_group_or_tag_and_an_empty_choice_is_none() {
        let chosen = |machines: &[i64], groups: &[&str], tags: &[&str]| {
            let list = |of: &[&str]| of.iter().map(|s| (*s).to_owned()).collect();
            let machines = MachineChoice {
                all: false,
                machines: machines.to_vec(),
                groups: list(groups),
                tags: list(tags),
            };
            !dues(&Recipient { machines, ..everybody() }, &offline(at(12, 0))).is_empty()
        };
        assert!(!chosen(&[], &[], &[]), "nothing is left of the choice");
        assert!(chosen(&[1], &["town"], &[]));
        assert!(chosen(&[2], &["farm"], &[]));
        assert!(chosen(&[], &[], &["gate", "camera"]));
        assert!(!chosen(&[2], &["town"], &["gate"]));
    }

    #[test]
    fn an_end_goes_where_its_beginning_went_even_if_the_machine_is_chosen_no_longer() {
        let online = Happening { event: EventKind::Online, state: EventKind::Online, ..offline(at(12, 0)) };
        let steady = Happening { event: EventKind::Steady, state: EventKind::Online, ..offline(at(12, 0)) };
        let other = Recipient { machines: MachineChoice::default(), ..everybody() };
        for end in [&online, &steady] {
            assert_eq!(plan(std::slice::from_ref(&other), &machine(), end, &[ChannelId(1)]).len(), 1);
            assert!(plan(std::slice::from_ref(&other), &machine(), end, &[]).is_empty());
        }
        let without = Recipient { events: vec![Topic::Offline], ..everybody() };
        assert!(plan(&[without], &machine(), &online, &[ChannelId(1)]).is_empty(), "online is not wanted");
        let recoveries_alone = Recipient { events: vec![Topic::Online], ..other };
        assert!(dues(&recoveries_alone, &online).is_empty(), "of a machine that is not chosen");
    }

    #[test]
    fn an_event_that_was_not_chosen_is_not_notified() {
        let stopped =
            Happening { event: EventKind::Stopped, state: EventKind::Stopped, ..offline(at(12, 0)) };
        assert!(dues(&everybody(), &stopped).is_empty());
        let wants = Recipient { events: vec![Topic::Stopped], ..everybody() };
        assert_eq!(dues(&wants, &stopped), [at(12, 0)]);
        assert!(dues(&wants, &offline(at(12, 0))).is_empty());
    }

    #[test]
    fn a_recovery_goes_to_the_channels_of_its_outage() {
        let online = Happening { event: EventKind::Online, state: EventKind::Online, ..offline(at(12, 0)) };
        let two = Recipient { channels: vec![ChannelId(1), ChannelId(7)], ..everybody() };
        let rows = plan(&[two], &machine(), &online, &[ChannelId(7)]);
        assert_eq!(rows, [Planned { channel: ChannelId(7), due: at(12, 0), reminder: 0 }]);
        let recoveries_alone = Recipient { events: vec![Topic::Online], ..everybody() };
        assert_eq!(dues(&recoveries_alone, &online), [at(12, 0)]);
    }

    #[test]
    fn the_status_after_flapping_goes_to_recipients_of_the_flapping_or_of_that_status() {
        let steady = Happening { event: EventKind::Steady, ..offline(at(12, 0)) };
        for (events, expected) in [
            (vec![Topic::Flapping], true),
            (vec![Topic::Offline], true),
            (vec![Topic::Online], false),
            (vec![Topic::Stopped], false),
        ] {
            let recipient = [Recipient { events, ..everybody() }];
            let rows = plan(&recipient, &machine(), &steady, &[ChannelId(1)]);
            assert_eq!(!rows.is_empty(), expected, "{:?}", recipient[0].events);
            assert!(plan(&recipient, &machine(), &steady, &[]).is_empty(), "it is no news");
        }
        let other = Recipient { machines: MachineChoice::default(), ..everybody() };
        assert!(
            plan(&[other], &machine(), &steady, &[ChannelId(1)]).is_empty(),
            "of a machine that is not chosen"
        );
    }

    #[test]
    fn a_condition_that_is_steady_while_it_holds_goes_to_recipients_of_its_topic() {
        let condition = ConditionNotice { condition: "camera".into(), ..ConditionNotice::default() };
        let of_camera = |event, state| Happening {
            event,
            state,
            condition: Some(condition.clone()),
            ..offline(at(12, 0))
        };
        let heat = Recipient { events: vec![Topic::Heat], ..everybody() };
        for (event, state, expected) in [
            (EventKind::Steady, EventKind::Condition, false),
            (EventKind::Steady, EventKind::ConditionEnded, true),
            (EventKind::Flapping, EventKind::ConditionEnded, false),
            (EventKind::ConditionEnded, EventKind::ConditionEnded, true),
        ] {
            let what = of_camera(event, state);
            let rows = plan(std::slice::from_ref(&heat), &machine(), &what, &[ChannelId(1)]);
            assert_eq!(!rows.is_empty(), expected, "{event:?} {state:?}");
            assert_eq!(plan(&[everybody()], &machine(), &what, &[ChannelId(1)]).len(), 1);
        }
    }

    #[test]
    fn a_minimum_outage_counts_from_the_last_heartbeat_and_never_backwards() {
        let patient =
            |minutes: u64| Recipient { min_outage: Duration::from_secs(minutes * 60), ..everybody() };
        assert_eq!(dues(&patient(10), &offline(at(12, 0))), [at(12, 8)]);
        assert_eq!(dues(&patient(1), &offline(at(12, 0))), [at(12, 0)]);
        let online = Happening { event: EventKind::Online, state: EventKind::Online, ..offline(at(12, 0)) };
        let rows = plan(&[patient(10)], &machine(), &online, &[ChannelId(1)]);
        assert_eq!(rows[0].due, at(12, 0), "a recovery waits for nothing");
        let endless = Recipient { min_outage: Duration::MAX, ..everybody() };
        assert_eq!(dues(&endless, &offline(at(12, 0))), [Moment(i64::MAX)]);
    }

    #[test]
    fn the_minimum_outage_comes_first_and_then_the_quiet_hours() {
        let quiet = Some(QuietHours { from: 22 * 60, to: 7 * 60, clock: Clock::UTC });
        let recipient = Recipient { quiet, min_outage: Duration::from_secs(1800), ..everybody() };
        assert_eq!(dues(&recipient, &offline(at(21, 40))), [at(31, 0)]);
        assert_eq!(dues(&recipient, &offline(at(21, 20))), [at(21, 48)]);
    }
}
