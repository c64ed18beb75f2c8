//! Notices: the facts are stored in the outbox when the event happens. The text is rendered at delivery, so that ages
//! are right then, and times are the recipient's.

use crate::clock::Moment;
use crate::duration::go_seconds;
use crate::monitor::zone::Clock;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The events that people can be notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    Offline,
    Online,
    /// It announced that it is being stopped.
    Stopped,
    /// It flaps; its transitions are not announced from now on.
    Flapping,
    /// It has stopped flapping, and has held its present state.
    Steady,
    /// Nothing happened: a test of a channel.
    Test,
    /// The monitor itself does not work.
    Trouble,
}

impl EventKind {
    /// As in `outbox.event` and `event.kind`.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::Offline => "offline",
            EventKind::Online => "online",
            EventKind::Stopped => "stopped",
            EventKind::Flapping => "flapping",
            EventKind::Steady => "steady",
            EventKind::Test => "test",
            EventKind::Trouble => "trouble",
        }
    }
}

/// The machine of an event, as far as recipients' choices and notices need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    pub id: i64,
    pub name: String,
    pub hostname: Option<String>,
    pub description: Option<String>,
    pub group: Option<String>,
    pub tags: Vec<String>,
}

/// The kinds of event that people are notified about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happening {
    pub event: EventKind,
    /// `Offline`, `Online` or `Stopped`: what the machine is now.
    pub state: EventKind,
    pub now: Moment,
    /// The machine's last heartbeat before it.
    pub last_seen: Moment,
}

/// As in `outbox.content`, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub news: EventKind,
    /// `offline`, `online` or `stopped`: what the machine was then.
    pub state: EventKind,
    pub machine: i64,
    pub name: String,
    pub hostname: Option<String>,
    pub description: Option<String>,
    /// The heartbeat before it; of a recovery, the one before the outage. Milliseconds since 1970.
    pub last_seen: i64,
    /// When it happened.
    pub at: i64,
}

/// Longer names are cut: a message is read on a telephone.
const LONGEST_NAME: usize = 100;

/// Machines named in one message of many; Telegram's limit of 4096 characters is far.
const MOST_NAMED: usize = 20;

impl Notice {
    pub fn new(machine: &Subject, what: &Happening) -> Notice {
        Notice {
            news: what.event,
            state: what.state,
            machine: machine.id,
            name: machine.name.clone(),
            hostname: machine.hostname.clone(),
            description: machine.description.clone(),
            last_seen: what.last_seen.0,
            at: what.now.0,
        }
    }

    /// For `channel test`.
    pub fn test(now: Moment) -> Notice {
        Notice {
            news: EventKind::Test,
            state: EventKind::Online,
            machine: 0,
            name: "heartbeat-monitor".into(),
            hostname: None,
            description: None,
            last_seen: now.0,
            at: now.0,
        }
    }

    /// For a message about the monitor itself.
    pub fn trouble(what: &str, now: Moment) -> Notice {
        let description = Some(what.to_owned());
        Notice { news: EventKind::Trouble, state: EventKind::Offline, description, ..Notice::test(now) }
    }

    /// The state a reader of this notice believes the machine is in; `None` = flapping.
    pub fn believed(&self) -> Option<EventKind> {
        (self.news != EventKind::Flapping).then_some(self.state)
    }

    /// One line.
    pub fn title(&self) -> String {
        format!("{} {} {}", self.sign(), shown(&self.name), self.verb())
    }

    /// Plain text without markup, with ages at `now` and times by the reader's `clock`.
    pub fn text(&self, now: Moment, clock: &Clock) -> String {
        if self.news == EventKind::Test {
            return format!("{} This is a test of heartbeat-monitor: messages arrive here.", self.sign());
        }
        if let (EventKind::Trouble, Some(what)) = (self.news, &self.description) {
            return format!(
                "{} heartbeat-monitor is in trouble: {what}. Its log has the reasons.",
                self.sign()
            );
        }
        let mut text = format!("{} Machine {}\n", self.sign(), self.verb());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "Machine: {}", shown(&self.name));
        if let Some(hostname) = &self.hostname {
            let _ = writeln!(text, "Hostname: {}", shown(hostname));
        }
        let last_seen = Moment(self.last_seen);
        let _ = write!(text, "{}: {}", self.label(), clock.written(last_seen));
        let _ = match self.news {
            EventKind::Online => write!(text, "\nAway for: {}", go_seconds(Moment(self.at).since(last_seen))),
            EventKind::Offline | EventKind::Stopped | EventKind::Test | EventKind::Trouble => {
                write!(text, " ({} ago)", go_seconds(now.since(last_seen)))
            }
            EventKind::Flapping => {
                write!(text, "\nNothing more is said until it has held one state for 15 minutes.")
            }
            EventKind::Steady => {
                write!(text, "\nIt had been coming and going, and has held this state for 15 minutes.")
            }
        };
        text
    }

    fn label(&self) -> &'static str {
        match self.news {
            EventKind::Online => "Last seen before",
            _ => "Last seen",
        }
    }

    fn sign(&self) -> char {
        sign(self.news, self.state)
    }

    fn verb(&self) -> &'static str {
        verb(self.news, self.state)
    }
}

/// The title of one message about many machines with the same event.
pub fn title_of_many(notices: &[Notice]) -> String {
    notices.first().map_or_else(String::new, |first| {
        format!("{} {} machines {}", first.sign(), notices.len(), first.verb())
    })
}

/// The text of such a message: the first names, and the number of others.
pub fn text_of_many(notices: &[Notice], clock: &Clock) -> String {
    let mut text = title_of_many(notices);
    text.push('\n');
    let names: Vec<String> = notices.iter().take(MOST_NAMED).map(|notice| shown(&notice.name)).collect();
    text.push_str(&names.join(", "));
    if notices.len() > MOST_NAMED {
        let _ = write!(text, " and {} more", notices.len() - MOST_NAMED);
    }
    let seen = |notice: &Notice| notice.last_seen;
    if let (Some(first), Some(last)) = (notices.iter().map(seen).min(), notices.iter().map(seen).max()) {
        let (first, last) = (clock.written(Moment(first)), clock.written(Moment(last)));
        let _ = match first == last {
            true => write!(text, "\nLast seen: {first}"),
            false => write!(text, "\nLast seen: {first} to {last}"),
        };
    }
    text
}

/// The red and the green circle are those of the original system.
fn sign(news: EventKind, state: EventKind) -> char {
    match (news, state) {
        (EventKind::Flapping, _) => '\u{1F7E0}',
        (EventKind::Test, _) => '\u{26AA}',
        (_, EventKind::Online) => '\u{1F7E2}',
        (_, EventKind::Stopped) => '\u{26AA}',
        _ => '\u{1F534}',
    }
}

fn verb(news: EventKind, state: EventKind) -> &'static str {
    match (news, state) {
        (EventKind::Flapping, _) => "keeps going offline and coming back",
        (EventKind::Test, _) => "sends a test",
        (EventKind::Trouble, _) => "is in trouble",
        (EventKind::Steady, EventKind::Online) => "is steady again: online",
        (EventKind::Steady, EventKind::Stopped) => "is steady again: stopped",
        (EventKind::Steady, _) => "is steady again: offline",
        (_, EventKind::Online) => "back online",
        (_, EventKind::Stopped) => "stopped on purpose",
        _ => "offline",
    }
}

/// Without line breaks and other control characters, and not too long.
fn shown(name: &str) -> String {
    let clean = name.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::zone::berlin;
    use std::time::Duration;

    /// When it happens.
    const THEN: Moment = Moment(1_769_005_800_000);

    fn notice(news: EventKind, state: EventKind) -> Notice {
        let machine = Subject {
            id: 1,
            name: "production-server".into(),
            hostname: Some("web-1".into()),
            ..Subject::default()
        };
        let what = Happening { event: news, state, now: THEN, last_seen: Moment(THEN.0 - 135_400) };
        Notice::new(&machine, &what)
    }

    #[test]
    fn an_outage_and_its_end_read_as_the_original_systems_did() {
        assert_eq!(
            notice(EventKind::Offline, EventKind::Offline).text(THEN, &Clock::UTC),
            "\u{1F534} Machine offline\nMachine: production-server\nHostname: web-1\n\
             Last seen: 2026-01-21 14:27:44 UTC (2m15s ago)"
        );
        assert_eq!(
            notice(EventKind::Online, EventKind::Online).text(THEN, &Clock::UTC),
            "\u{1F7E2} Machine back online\nMachine: production-server\nHostname: web-1\n\
             Last seen before: 2026-01-21 14:27:44 UTC\nAway for: 2m15s"
        );
    }

    #[test]
    fn an_age_is_that_of_the_delivery_and_times_are_the_readers() {
        let hour_later = THEN.plus(Duration::from_secs(3600));
        let text = notice(EventKind::Offline, EventKind::Offline).text(hour_later, &berlin());
        assert!(text.ends_with("\nLast seen: 2026-01-21 15:27:44 CET (1h2m15s ago)"), "{text}");
        let recovery = notice(EventKind::Online, EventKind::Online).text(hour_later, &berlin());
        assert!(
            recovery.ends_with("\nLast seen before: 2026-01-21 15:27:44 CET\nAway for: 2m15s"),
            "{recovery}"
        );
        // The clock was set back meanwhile.
        let text = notice(EventKind::Stopped, EventKind::Stopped).text(Moment(0), &Clock::UTC);
        assert!(text.ends_with(" UTC (0s ago)"), "{text}");
    }

    #[test]
    fn many_machines_make_one_short_message() {
        let many: Vec<Notice> = (0..500)
            .map(|n| Notice { name: format!("camera-{n}"), ..notice(EventKind::Offline, EventKind::Offline) })
            .collect();
        let text = text_of_many(&many, &Clock::UTC);
        assert!(text.starts_with("\u{1F534} 500 machines offline\ncamera-0, camera-1, "), "{text}");
        assert!(text.contains("camera-19 and 480 more\nLast seen: 2026-01-21 14:27:44 UTC"), "{text}");
        assert!(text.len() < 1000);
    }

    #[test]
    fn a_name_brings_no_lines_of_its_own_and_no_endless_text() {
        let name = format!("a\nLast seen: never\u{7}{}", "x".repeat(5000));
        let text = Notice { name, ..notice(EventKind::Offline, EventKind::Offline) }.text(THEN, &Clock::UTC);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.len() < 400);
    }

    #[test]
    fn a_notice_comes_out_of_the_outbox_as_it_went_in() {
        let notice = notice(EventKind::Steady, EventKind::Offline);
        let stored = serde_json::to_string(&notice).expect("JSON");
        assert_eq!(serde_json::from_str::<Notice>(&stored).expect("a notice"), notice);
    }
}
