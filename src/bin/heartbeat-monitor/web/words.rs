//! An incident in words: the same as in the messages that people received.

use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::duration::in_words;
use heartbeat_daemon::monitor::incidents::list::IncidentRecord;
use heartbeat_daemon::monitor::incidents::table::OFFLINE;
use heartbeat_daemon::monitor::notify::channel::ChannelKind;
use heartbeat_daemon::monitor::notify::condition_notice::ConditionNotice;
use heartbeat_daemon::monitor::zone::Clock;
use std::time::Duration;

/// Ages are relative up to an hour; older ones are times.
const HOUR: Duration = Duration::from_secs(3600);

/// "offline", "camera gate is down"
pub fn phrase(incident: &IncidentRecord) -> String {
    match incident.kind == OFFLINE {
        true if incident.planned => "stopped on purpose".into(),
        true => "offline".into(),
        false => notice(incident).phrase(false),
    }
}

/// "since 14:11", or "from 14:11 to 14:20 (9 min)".
pub fn time(incident: &IncidentRecord, clock: &Clock, now: Moment) -> String {
    let since = clock.time_of_day(incident.since, now);
    match incident.ended {
        None => format!("since {since} ({})", in_words(now.since(incident.since))),
        Some(ended) => {
            let length = in_words(ended.since(incident.since));
            format!("from {since} to {} ({length})", clock.time_of_day(ended, now))
        }
    }
}

/// "5 min ago", or "14:11" if that is longer ago than an hour.
pub fn when(at: Moment, clock: &Clock, now: Moment) -> String {
    match now.since(at) < HOUR {
        true => format!("{} ago", in_words(now.since(at))),
        false => clock.time_of_day(at, now),
    }
}

/// The incident's condition, for its words.
pub fn notice(incident: &IncidentRecord) -> ConditionNotice {
    ConditionNotice {
        condition: incident.kind.clone(),
        subject: incident.subject.clone(),
        label: incident.label.clone(),
        value: incident.value,
        threshold: incident.threshold,
        since: incident.since.0,
        uplink: None,
        days: 0,
        existed: false,
    }
}

/// What a notification said, by the name of its event.
pub fn message(event: &str) -> String {
    match event {
        "condition" => "condition began".into(),
        "online" => "back online".into(),
        other => other.replace('_', " "),
    }
}

pub fn channel_name(kind: &str) -> &str {
    ChannelKind::from_name(kind).map_or(kind, |known| known.shown())
}

pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
