//! Who is told what, and when: pure.
//!
//! What happened to a machine becomes one row of the outbox for each channel of each recipient who wants to hear of
//! it. A row may be due later than now: after the recipient's minimum outage, at the end of their quiet hours. If the
//! machine is back by then, neither the outage nor the recovery is told.

use crate::clock::{Moment, milliseconds};
use crate::monitor::zone::Clock;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What can be told of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum News {
    Offline,
    Online,
    /// It said that it is being stopped.
    Stopped,
    /// It comes and goes; what it does is not told from here on.
    Flapping,
    /// It has stopped flapping, and is what it is now.
    Steady,
    /// Nothing happened: somebody tries a channel.
    Test,
    /// The monitor itself does not work.
    Trouble,
}

impl News {
    /// As in `outbox.event` and `event.kind`.
    pub fn name(self) -> &'static str {
        match self {
            News::Offline => "offline",
            News::Online => "online",
            News::Stopped => "stopped",
            News::Flapping => "flapping",
            News::Steady => "steady",
            News::Test => "test",
            News::Trouble => "trouble",
        }
    }
}

/// What a recipient can choose; `Steady` follows from what went before.
pub const CHOICES: [News; 4] = [News::Offline, News::Online, News::Stopped, News::Flapping];

/// What a recipient hears of who has chosen nothing: every alarm and its end.
pub const DEFAULT_CHOICE: [News; 3] = [News::Offline, News::Online, News::Flapping];

/// A channel's number, as in `channel.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub i64);

/// A person or a team, what they want to hear, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    pub machines: Choice,
    pub events: Vec<News>,
    pub quiet: Option<QuietHours>,
    /// Counted from the machine's last heartbeat.
    pub min_outage: Duration,
    /// The enabled ones.
    pub channels: Vec<ChannelId>,
}

/// The machines that a recipient is notified about: all of them, or those with a chosen id, group or tag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    pub all: bool,
    /// By id: another name is still the same machine.
    pub machines: Vec<i64>,
    pub groups: Vec<String>,
    pub tags: Vec<String>,
}

impl Choice {
    fn includes(&self, machine: &Subject) -> bool {
        let group = |chosen: &String| machine.group.as_ref() == Some(chosen);
        self.all
            || self.machines.contains(&machine.id)
            || self.groups.iter().any(group)
            || self.tags.iter().any(|tag| machine.tags.contains(tag))
    }
}

/// A stretch of each day in which nobody is woken up, by the recipient's own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietHours {
    /// Minute of the day, 0 to 1439.
    pub from: u16,
    /// Minute of the day; before `from` means tomorrow, the same means the whole day.
    pub to: u16,
    pub clock: Clock,
}

const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

impl QuietHours {
    /// `at` itself if it is not quiet then, else the end of the quiet.
    pub fn end_if_quiet(&self, at: Moment) -> Moment {
        let end = self.next_end(at);
        // Where the clock jumps over all of the time between two nights, the second one begins at once.
        if end > at && self.from != self.to { self.next_end(end) } else { end }
    }

    fn next_end(&self, at: Moment) -> Moment {
        let ahead = self.clock.ahead_ms(at);
        let of_day = at.0.saturating_add(ahead).rem_euclid(DAY_MS);
        let (from, to) = (i64::from(self.from) * MINUTE_MS, i64::from(self.to) * MINUTE_MS);
        let quiet_for = match from < to {
            true if (from..to).contains(&of_day) => to - of_day,
            false if of_day < to => to - of_day,
            false if of_day >= from => to + DAY_MS - of_day,
            _ => 0,
        };
        let end = at.0.saturating_add(quiet_for);
        // The clock has been changed by then: it shows the end earlier or later by so much. A time that it never
        // shows is reached when as much time has gone by.
        let ahead_then = self.clock.ahead_ms(Moment(end));
        let shown = end.saturating_sub(ahead_then - ahead);
        Moment(if self.clock.ahead_ms(Moment(shown)) == ahead_then { shown } else { end })
    }
}

/// The machine, as far as a recipient's choice and what they are told go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub id: i64,
    pub name: String,
    pub hostname: Option<String>,
    pub description: Option<String>,
    pub group: Option<String>,
    pub tags: Vec<String>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happening {
    pub news: News,
    /// `Offline`, `Online` or `Stopped`: what the machine is now.
    pub state: News,
    pub now: Moment,
    /// The machine's last heartbeat before it.
    pub last_seen: Moment,
}

/// One row of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    pub channel: ChannelId,
    pub due: Moment,
}

/// The rows for what happened. What begins goes to every recipient who has chosen the machine. What ends goes to the
/// channels in `waiting`, over which another state of the machine was reported last, whatever their recipients have
/// chosen by now; and a recovery also to recipients who want no other event.
pub fn plan(
    recipients: &[Recipient],
    machine: &Subject,
    what: &Happening,
    waiting: &[ChannelId],
) -> Vec<Planned> {
    let mut rows = Vec::new();
    for recipient in recipients {
        if !recipient.wants(what) {
            continue;
        }
        let chosen = recipient.machines.includes(machine);
        let due = recipient.due(what);
        let told = |channel: &&ChannelId| match what.news {
            News::Online => waiting.contains(channel) || (chosen && !recipient.hears_of_outages()),
            News::Steady => waiting.contains(channel),
            News::Offline | News::Stopped | News::Flapping => chosen,
            News::Test | News::Trouble => false,
        };
        rows.extend(recipient.channels.iter().filter(told).map(|&channel| Planned { channel, due }));
    }
    rows
}

impl Recipient {
    fn wants(&self, what: &Happening) -> bool {
        match what.news {
            News::Steady => self.events.contains(&News::Flapping) || self.events.contains(&what.state),
            news => self.events.contains(&news),
        }
    }

    fn hears_of_outages(&self) -> bool {
        let outage = [News::Offline, News::Stopped, News::Flapping];
        self.events.iter().any(|event| outage.contains(event))
    }

    fn due(&self, what: &Happening) -> Moment {
        let due = match what.news {
            News::Offline => Moment(what.last_seen.0.saturating_add(milliseconds(self.min_outage))),
            _ => what.now,
        };
        let due = due.max(what.now);
        self.quiet.as_ref().map_or(due, |quiet| quiet.end_if_quiet(due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::zone::berlin;

    const HOUR: i64 = 3_600_000;
    /// 2026-01-21 00:00 UTC.
    const MIDNIGHT: Moment = Moment(1_768_953_600_000);

    fn at(hour: i64, minute: i64) -> Moment {
        Moment(MIDNIGHT.0 + hour * HOUR + minute * MINUTE_MS)
    }

    fn everybody() -> Recipient {
        Recipient {
            machines: Choice { all: true, ..Choice::default() },
            events: DEFAULT_CHOICE.to_vec(),
            quiet: None,
            min_outage: Duration::ZERO,
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
        Happening { news: News::Offline, state: News::Offline, now, last_seen: now.minus(MINUTES_2) }
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
            let machines =
                Choice { all: false, machines: machines.to_vec(), groups: list(groups), tags: list(tags) };
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
        let online = Happening { news: News::Online, state: News::Online, ..offline(at(12, 0)) };
        let steady = Happening { news: News::Steady, state: News::Online, ..offline(at(12, 0)) };
        let other = Recipient { machines: Choice::default(), ..everybody() };
        for end in [&online, &steady] {
            assert_eq!(plan(std::slice::from_ref(&other), &machine(), end, &[ChannelId(1)]).len(), 1);
            assert!(plan(std::slice::from_ref(&other), &machine(), end, &[]).is_empty());
        }
        let without = Recipient { events: vec![News::Offline], ..everybody() };
        assert!(plan(&[without], &machine(), &online, &[ChannelId(1)]).is_empty(), "online is not wanted");
        let recoveries_alone = Recipient { events: vec![News::Online], ..other };
        assert!(dues(&recoveries_alone, &online).is_empty(), "of a machine that is not chosen");
    }

    #[test]
    fn an_event_that_was_not_chosen_is_not_told() {
        let stopped = Happening { news: News::Stopped, state: News::Stopped, ..offline(at(12, 0)) };
        assert!(dues(&everybody(), &stopped).is_empty());
        let wants = Recipient { events: vec![News::Stopped], ..everybody() };
        assert_eq!(dues(&wants, &stopped), [at(12, 0)]);
        assert!(dues(&wants, &offline(at(12, 0))).is_empty());
    }

    #[test]
    fn a_recovery_is_told_where_its_outage_was() {
        let online = Happening { news: News::Online, state: News::Online, ..offline(at(12, 0)) };
        let two = Recipient { channels: vec![ChannelId(1), ChannelId(7)], ..everybody() };
        let rows = plan(&[two], &machine(), &online, &[ChannelId(7)]);
        assert_eq!(rows, [Planned { channel: ChannelId(7), due: at(12, 0) }]);
        let recoveries_alone = Recipient { events: vec![News::Online], ..everybody() };
        assert_eq!(dues(&recoveries_alone, &online), [at(12, 0)]);
    }

    #[test]
    fn what_holds_after_flapping_is_told_to_who_heard_of_it_or_wants_that_state() {
        let steady = Happening { news: News::Steady, ..offline(at(12, 0)) };
        for (events, told) in [
            (vec![News::Flapping], true),
            (vec![News::Offline], true),
            (vec![News::Online], false),
            (vec![News::Stopped], false),
        ] {
            let recipient = [Recipient { events, ..everybody() }];
            let rows = plan(&recipient, &machine(), &steady, &[ChannelId(1)]);
            assert_eq!(!rows.is_empty(), told, "{:?}", recipient[0].events);
            assert!(plan(&recipient, &machine(), &steady, &[]).is_empty(), "it is no news");
        }
    }

    #[test]
    fn a_minimum_outage_counts_from_the_last_heartbeat_and_never_backwards() {
        let patient =
            |minutes: u64| Recipient { min_outage: Duration::from_secs(minutes * 60), ..everybody() };
        assert_eq!(dues(&patient(10), &offline(at(12, 0))), [at(12, 8)]);
        assert_eq!(dues(&patient(1), &offline(at(12, 0))), [at(12, 0)]);
        let online = Happening { news: News::Online, state: News::Online, ..offline(at(12, 0)) };
        let rows = plan(&[patient(10)], &machine(), &online, &[ChannelId(1)]);
        assert_eq!(rows[0].due, at(12, 0), "a recovery waits for nothing");
        let endless = Recipient { min_outage: Duration::MAX, ..everybody() };
        assert_eq!(dues(&endless, &offline(at(12, 0))), [Moment(i64::MAX)]);
    }

    #[test]
    fn quiet_hours_hold_until_their_end_on_the_recipients_clock() {
        let night = QuietHours { from: 22 * 60, to: 7 * 60, clock: Clock::UTC };
        assert_eq!(night.end_if_quiet(at(21, 59)), at(21, 59));
        assert_eq!(night.end_if_quiet(at(22, 0)), at(31, 0));
        assert_eq!(night.end_if_quiet(at(3, 0)), at(7, 0));
        assert_eq!(night.end_if_quiet(at(7, 0)), at(7, 0));
        let lunch = QuietHours { from: 12 * 60, to: 13 * 60 + 30, clock: Clock::Fixed(120) };
        assert_eq!(lunch.end_if_quiet(at(9, 59)), at(9, 59));
        assert_eq!(lunch.end_if_quiet(at(10, 0)), at(11, 30));
        assert_eq!(lunch.end_if_quiet(at(11, 30)), at(11, 30));
        let west = QuietHours { clock: Clock::Fixed(-300), ..night };
        assert_eq!(west.end_if_quiet(at(4, 0)), at(12, 0));
    }

    fn night_in_berlin(from: u16, to: u16) -> QuietHours {
        QuietHours { from, to, clock: berlin() }
    }

    /// 2026-03-29 01:00 UTC: 02:00 becomes 03:00. 2026-10-25 01:00 UTC: 03:00 becomes 02:00.
    #[test]
    fn quiet_hours_end_by_the_clock_on_the_wall_in_the_nights_in_which_it_is_changed() {
        const SPRING: i64 = 1_774_746_000_000;
        const AUTUMN: i64 = 1_792_890_000_000;
        let hours = |hours: f64| (hours * HOUR as f64) as i64;
        let (seven, half_past_two) = (night_in_berlin(22 * 60, 420), night_in_berlin(22 * 60, 150));
        let nearly_always = night_in_berlin(190, 150);
        for (quiet, at, end, what) in [
            (&seven, SPRING - hours(4.0), SPRING + hours(4.0), "22:00 CET to 07:00 CEST: 8 hours"),
            (&seven, SPRING - hours(4.1), SPRING - hours(4.1), "21:54 CET"),
            (&seven, AUTUMN - hours(5.0), AUTUMN + hours(5.0), "22:00 CEST to 07:00 CET: 10 hours"),
            (&seven, AUTUMN + hours(0.5), AUTUMN + hours(5.0), "in the hour that comes twice"),
            (&seven, SPRING + hours(24.0), SPRING + hours(28.0), "the night after: 03:00 to 07:00 CEST"),
            (&half_past_two, SPRING - hours(2.0), SPRING + hours(0.5), "02:30 is never shown: 03:30 CEST"),
            (&half_past_two, SPRING, SPRING, "03:00 CEST, just after 01:59 CET"),
            (&half_past_two, AUTUMN - hours(2.0), AUTUMN - hours(0.5), "02:30, the first time"),
            (&half_past_two, AUTUMN + hours(0.25), AUTUMN + hours(0.5), "02:30, the second time"),
            (&nearly_always, SPRING - hours(1.0), SPRING + hours(23.5), "02:30 to 03:10 is never shown"),
        ] {
            assert_eq!(quiet.end_if_quiet(Moment(at)), Moment(end), "{what}");
        }
    }

    #[test]
    fn the_end_of_quiet_hours_is_never_quiet_in_a_zone_either() {
        let mut random = fastrand::Rng::with_seed(6);
        let clock = berlin();
        for _ in 0..20_000 {
            let (from, to) = (random.u16(..1440), random.u16(..1440));
            let quiet = QuietHours { from, to, clock: clock.clone() };
            // Within a day of a change, of which there are two a year.
            let change = [1_774_746_000_000, 1_792_890_000_000][random.usize(..2)];
            let now = Moment(change + random.i64(-30 * HOUR..30 * HOUR));
            let end = quiet.end_if_quiet(now);
            assert!(end >= now && end.since(now) <= Duration::from_secs(49 * 3600), "{quiet:?} {now:?}");
            assert!(from == to || quiet.end_if_quiet(end) == end, "{from} {to} {now:?}");
        }
    }

    #[test]
    fn the_same_minute_at_both_ends_is_the_whole_day() {
        let always = QuietHours { from: 480, to: 480, clock: Clock::UTC };
        assert_eq!(always.end_if_quiet(at(8, 0)), at(32, 0));
        assert_eq!(always.end_if_quiet(at(7, 59)), at(8, 0));
    }

    #[test]
    fn the_end_of_quiet_hours_is_never_quiet_and_never_more_than_a_day_away() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..20_000 {
            let quiet = QuietHours {
                from: random.u16(..1440),
                to: random.u16(..1440),
                clock: Clock::Fixed(random.i16(-14 * 60..=14 * 60)),
            };
            let now = Moment(random.i64(0..4_000_000_000_000));
            let end = quiet.end_if_quiet(now);
            assert!(
                end >= now && end.since(now) <= Duration::from_millis(DAY_MS as u64),
                "{quiet:?} {now:?}"
            );
            assert!(quiet.from == quiet.to || quiet.end_if_quiet(end) == end, "{quiet:?} {now:?}");
        }
    }

    #[test]
    fn the_minimum_outage_comes_first_and_then_the_quiet_hours() {
        let quiet = Some(QuietHours { from: 22 * 60, to: 7 * 60, clock: Clock::UTC });
        let recipient = Recipient { quiet, min_outage: Duration::from_secs(1800), ..everybody() };
        assert_eq!(dues(&recipient, &offline(at(21, 40))), [at(31, 0)]);
        assert_eq!(dues(&recipient, &offline(at(21, 20))), [at(21, 48)]);
    }
}
