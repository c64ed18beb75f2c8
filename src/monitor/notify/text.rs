//! The text of a notice. It is rendered at delivery, so that ages are right then, and times are the recipient's.

use crate::clock::Moment;
use crate::duration::{go_seconds, in_words};
use crate::monitor::conditions::catalogue::Condition;
use crate::monitor::notify::condition_notice::ConditionNotice;
use crate::monitor::notify::notice::{EventKind, MOST_NAMED, Notice, Severity, shown};
use crate::monitor::notify::reminder_text;
use crate::monitor::zone::Clock;
use std::fmt::Write;
use std::time::Duration;

/// Shorter ages of conditions are not shown.
const MINUTE: Duration = Duration::from_secs(60);

impl Notice {
    /// One line.
    pub fn title(&self) -> String {
        match self.news {
            EventKind::Summary => return title_of_summary(self),
            EventKind::Reminder | EventKind::Escalation => {
                return reminder_text::title(std::slice::from_ref(self));
            }
            _ => {}
        }
        if let Some(report) = &self.report {
            return format!("{} {}", self.sign(), report.title);
        }
        if let Some(condition) = &self.condition {
            return format!("{} {}: {}", self.sign(), shown(&self.name), condition_title(condition, self));
        }
        format!("{} {} {}", self.sign(), shown(&self.name), self.verb())
    }

    /// Plain text without markup, with ages at `now` and times by the reader's `clock`.
    pub fn text(&self, now: Moment, clock: &Clock) -> String {
        match self.news {
            EventKind::Test => {
                let sign = self.sign();
                return format!("{sign} This is a test of heartbeat-monitor: messages arrive here.");
            }
            EventKind::Summary => return summary(self),
            EventKind::Reminder | EventKind::Escalation => {
                return reminder_text::text(std::slice::from_ref(self), now, clock);
            }
            _ => {}
        }
        if let Some(report) = &self.report {
            return report.short();
        }
        if self.condition.is_some() {
            return text_of_conditions(std::slice::from_ref(self), now, clock);
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
            EventKind::Offline
            | EventKind::Stopped
            | EventKind::Test
            | EventKind::Trouble
            | EventKind::Report
            | EventKind::Condition
            | EventKind::ConditionEnded
            | EventKind::Summary
            | EventKind::Reminder
            | EventKind::Escalation => {
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
        sign(self.severity())
    }

    fn verb(&self) -> &'static str {
        verb(self.news, self.state)
    }
}

/// The title of one message about many machines with the same event.
pub fn title_of_many(notices: &[Notice]) -> String {
    if are_repetitions(notices) {
        return reminder_text::title(notices);
    }
    if notices.first().is_some_and(|first| first.condition.is_some()) {
        return title_of_conditions(notices);
    }
    notices.first().map_or_else(String::new, |first| {
        format!("{} {} machines {}", first.sign(), notices.len(), first.verb())
    })
}

/// The text of such a message: the first names, and the number of others.
pub fn text_of_many(notices: &[Notice], now: Moment, clock: &Clock) -> String {
    if are_repetitions(notices) {
        return reminder_text::text(notices, now, clock);
    }
    if notices.first().is_some_and(|first| first.condition.is_some()) {
        return text_of_conditions(notices, now, clock);
    }
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

fn are_repetitions(notices: &[Notice]) -> bool {
    notices.first().is_some_and(|first| first.news.is_repetition())
}

/// The red and the green circle are those of the original system.
fn sign(severity: Severity) -> char {
    match severity {
        Severity::Bad => '\u{1F534}',
        Severity::Unsteady => '\u{1F7E0}',
        Severity::Good => '\u{1F7E2}',
        Severity::Planned | Severity::Test => '\u{26AA}',
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

/// The text of notices of one kind, perhaps of several machines.
fn text_of_conditions(notices: &[Notice], now: Moment, clock: &Clock) -> String {
    let mut lines: Vec<String> = Vec::new();
    for notice in notices.iter().take(MOST_NAMED) {
        let Some(condition) = &notice.condition else { continue };
        let (name, phrase) = (shown(&notice.name), condition_title(condition, notice));
        let since = condition_since(condition, notice, now, clock);
        lines.push(format!("{} {name}: {phrase}{since}", notice.sign()));
    }
    if notices.len() > MOST_NAMED {
        lines.push(format!("and {} more", notices.len() - MOST_NAMED));
    }
    lines.extend(notices.first().and_then(footer));
    lines.join("\n")
}

/// The title of several notices of one kind.
fn title_of_conditions(notices: &[Notice]) -> String {
    let Some((first, condition)) = notices.first().and_then(|first| Some((first, first.condition.as_ref()?)))
    else {
        return String::new();
    };
    let state = if first.state == EventKind::ConditionEnded { "over" } else { "open" };
    let is_one_machine = notices.iter().all(|notice| notice.machine == first.machine);
    let of = match is_one_machine {
        true => shown(&first.name),
        false => "several machines".into(),
    };
    format!("{} {of}: {} incidents {state} ({})", first.sign(), notices.len(), condition.condition)
}

/// How to switch the kind off.
fn footer(notice: &Notice) -> Option<String> {
    let condition = notice.condition.as_ref().filter(|_| notice.news == EventKind::Condition)?;
    let (kind, name) = (&condition.condition, quoted(&shown(&notice.name)));
    Some(format!("Not useful? heartbeat-monitor condition off {kind} --machine {name}"))
}

/// As an argument for a shell.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

/// The title of a summary.
fn title_of_summary(notice: &Notice) -> String {
    match notice.existing_in_all {
        1 => format!("{} 1 condition held before it was watched", notice.sign()),
        many => format!("{} {many} conditions held before they were watched", notice.sign()),
    }
}

/// A summary of conditions that held when they were first judged.
fn summary(notice: &Notice) -> String {
    let mut lines = vec![title_of_summary(notice)];
    for (name, condition) in &notice.existing {
        lines.push(format!("{}: {}", shown(name), condition.phrase(false)));
    }
    if notice.existing_in_all > notice.existing.len() {
        lines.push(format!("and {} more", notice.existing_in_all - notice.existing.len()));
    }
    lines.push("New ones are sent one by one. All open ones: heartbeat-monitor machine show NAME".into());
    lines.join("\n")
}

/// What has happened, as a part of a title.
fn condition_title(condition: &ConditionNotice, notice: &Notice) -> String {
    let phrase = condition.phrase(notice.state == EventKind::ConditionEnded);
    match notice.news {
        EventKind::Flapping => format!("{phrase}, and comes and goes"),
        EventKind::Steady => format!("{phrase}, for 15 min now"),
        _ => phrase,
    }
}

/// " since 14:02 (7 min), third day this week: change its power supply".
fn condition_since(condition: &ConditionNotice, notice: &Notice, now: Moment, clock: &Clock) -> String {
    let since = Moment(condition.since);
    match notice.news {
        EventKind::ConditionEnded => format!(" after {}", in_words(Moment(notice.at).since(since))),
        EventKind::Flapping => {
            "\nNothing more is sent about it until it has held one state for 15 minutes.".into()
        }
        EventKind::Steady => String::new(),
        _ => since_when(condition, now, clock),
    }
}

fn since_when(condition: &ConditionNotice, now: Moment, clock: &Clock) -> String {
    let since = Moment(condition.since);
    let mut text = format!(" since {}", clock.time_of_day(since, now));
    let age = now.since(since);
    if age >= MINUTE {
        text += &format!(" ({})", in_words(age));
    }
    if condition.days > 1 {
        text += &format!(", {} day this week", ordinal(condition.days));
    }
    if let Some(advice) = condition.advice() {
        text += &format!(": {advice}");
    }
    let is_camera = condition.condition == Condition::Camera.name();
    if let Some(uplink) = condition.uplink.as_ref().filter(|_| is_camera) {
        text += &format!(" (the device is fine, on {uplink})");
    }
    text
}

fn ordinal(number: u32) -> &'static str {
    match number {
        2 => "second",
        3 => "third",
        4 => "fourth",
        5 => "fifth",
        6 => "sixth",
        _ => "every",
    }
}

#[cfg(test)]
mod tests;
