//! Notices: the facts of an event, stored in the outbox when it happens. `text` renders them at delivery.

use crate::clock::Moment;
use crate::monitor::notify::condition_notice::ConditionNotice;
use serde::{Deserialize, Serialize};

/// Longer names are cut: a message is read on a telephone.
const LONGEST_NAME: usize = 100;

/// Machines named in one message of many; Telegram's limit of 4096 characters is far.
pub const MOST_NAMED: usize = 20;

/// A name as messages show it: without line breaks and other control characters, and not too long.
pub fn shown(name: &str) -> String {
    let clean = name.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(LONGEST_NAME).collect()
}

/// The events that people can be notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    Offline,
    Online,
    /// It announced that it is being stopped.
    Stopped,
    /// It flaps; its transitions are not announced from now on.
    Flapping,
    /// It has stopped flapping, and has held its present state.
    Steady,
    /// A condition of the machine has begun.
    Condition,
    ConditionEnded,
    /// The conditions that held when they were first judged.
    Summary,
    /// An incident is still open, and not acknowledged.
    Reminder,
    /// An incident is still open, and a recipient has not acknowledged it in time.
    Escalation,
    /// Nothing happened: a test of a channel.
    Test,
    /// The monitor itself does not work.
    Trouble,
    /// How the machines were in the last week or month.
    Report,
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
            EventKind::Condition => "condition",
            EventKind::ConditionEnded => "condition_ended",
            EventKind::Summary => "summary",
            EventKind::Reminder => "reminder",
            EventKind::Escalation => "escalation",
            EventKind::Test => "test",
            EventKind::Trouble => "trouble",
            EventKind::Report => "report",
        }
    }

    /// Whether it is the end of an incident.
    pub fn is_end(self) -> bool {
        matches!(self, EventKind::Online | EventKind::ConditionEnded)
    }

    /// Whether it repeats what is still open.
    pub fn is_repetition(self) -> bool {
        matches!(self, EventKind::Reminder | EventKind::Escalation)
    }

    pub fn is_of_condition(self) -> bool {
        matches!(self, EventKind::Condition | EventKind::ConditionEnded)
    }
}

/// How a message looks and how urgent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something is wrong now.
    Bad,
    /// Something comes and goes, or was wrong before it was watched.
    Unsteady,
    /// It is right again.
    Good,
    /// Somebody stopped it on purpose.
    Planned,
    Test,
}

impl Severity {
    /// In templates.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Bad => "bad",
            Severity::Unsteady => "unsteady",
            Severity::Good => "good",
            Severity::Planned => "planned",
            Severity::Test => "test",
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
#[derive(Debug, Clone, PartialEq)]
pub struct Happening {
    pub event: EventKind,
    /// `Offline`, `Online` or `Stopped`: what the machine is now. `Condition` or `ConditionEnded`: what its condition is.
    pub state: EventKind,
    pub now: Moment,
    /// The machine's last heartbeat before it; when a condition began to hold.
    pub last_seen: Moment,
    /// `None`: it is about the machine itself.
    pub condition: Option<ConditionNotice>,
}

/// As in `outbox.content`, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionNotice>,
    /// Of a summary: conditions that hold, each with its machine's name, and how many there are in all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub existing: Vec<(String, ConditionNotice)>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub existing_in_all: usize,
    /// Of an escalation: the recipient who has not acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unacknowledged_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Box<ReportText>>,
}

/// A report, rendered when it was due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportText {
    /// One line.
    pub title: String,
    /// One line for each machine that was not fine, worst first.
    pub text: String,
    pub html: String,
}

impl ReportText {
    /// The first lines: a message for a chat has at most 4096 characters.
    pub fn short(&self) -> String {
        const MOST_BYTES: usize = 3000;
        let mut short = String::new();
        let mut lines = self.text.lines();
        for line in lines.by_ref() {
            if short.len() + line.len() > MOST_BYTES {
                return format!("{short}and {} more", lines.count() + 1);
            }
            short += line;
            short.push('\n');
        }
        short.truncate(short.trim_end().len());
        short
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

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
            condition: what.condition.clone(),
            existing: Vec::new(),
            existing_in_all: 0,
            unacknowledged_by: None,
            report: None,
        }
    }

    pub fn severity(&self) -> Severity {
        let existed = self.condition.as_ref().is_some_and(|condition| condition.existed);
        match (self.news, self.state) {
            (EventKind::Condition, _) if existed => Severity::Unsteady,
            (EventKind::Flapping | EventKind::Summary, _) => Severity::Unsteady,
            (EventKind::Test | EventKind::Report, _) => Severity::Test,
            (_, EventKind::Online | EventKind::ConditionEnded) => Severity::Good,
            (_, EventKind::Stopped) => Severity::Planned,
            _ => Severity::Bad,
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
            condition: None,
            existing: Vec::new(),
            existing_in_all: 0,
            unacknowledged_by: None,
            report: None,
        }
    }

    /// For a message about the monitor itself.
    pub fn trouble(what: &str, now: Moment) -> Notice {
        let description = Some(what.to_owned());
        Notice { news: EventKind::Trouble, state: EventKind::Offline, description, ..Notice::test(now) }
    }

    pub fn report(text: ReportText, now: Moment) -> Notice {
        Notice { news: EventKind::Report, report: Some(Box::new(text)), ..Notice::test(now) }
    }

    /// The state a reader of this notice believes the machine is in; `None` = flapping.
    pub fn believed(&self) -> Option<EventKind> {
        (self.news != EventKind::Flapping).then_some(self.state)
    }
}
