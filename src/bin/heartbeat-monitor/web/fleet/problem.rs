//! The sentences about what needs a person: the same words as in the messages that people received.

use super::view::MachineView;
use crate::web::severity::{MachineHealth, severity};
use crate::web::words::{capital, channel_name, notice, when};
use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::duration::in_words;
use heartbeat_daemon::monitor::incidents::list::IncidentRecord;
use heartbeat_daemon::monitor::incidents::table::OFFLINE;
use heartbeat_daemon::monitor::machine::MachineStatus;
use heartbeat_daemon::monitor::notify::condition_notice::ConditionNotice;
use heartbeat_daemon::monitor::notify::deliveries::OpenNotification;
use heartbeat_daemon::monitor::zone::Clock;
use std::collections::HashMap;

/// Recipients that are named; the others are counted.
const MOST_NAMED: usize = 3;

/// What is wrong with one machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub machine: i64,
    pub name: String,
    pub is_bad: bool,
    /// Follows the name: " has been silent for 9 min".
    pub lead: String,
    /// Cause as far as known, and who was notified.
    pub detail: String,
    /// Somebody is on it.
    pub is_acknowledged: bool,
    /// An incident to acknowledge or to comment.
    pub incident: Option<i64>,
}

/// One problem for each machine that needs a person, the worst and oldest first; at most `most`, and the number of the others.
pub fn problems<'a>(
    machines: impl Iterator<Item = &'a MachineView>,
    most: usize,
    notified: &HashMap<i64, Vec<OpenNotification>>,
    clock: &Clock,
    now: Moment,
) -> (Vec<Problem>, usize) {
    let mut machines: Vec<&MachineView> =
        machines.filter(|machine| machine.health().needs_a_person()).collect();
    let begin = |machine: &MachineView| machine.incidents.first().map_or(now, |incident| incident.since);
    machines.sort_by_key(|machine| (std::cmp::Reverse(machine.health()), begin(machine), machine.machine.id));
    let more = machines.len().saturating_sub(most);
    machines.truncate(most);
    (machines.into_iter().map(|machine| problem(machine, notified, clock, now)).collect(), more)
}

fn problem(
    machine: &MachineView,
    notified: &HashMap<i64, Vec<OpenNotification>>,
    clock: &Clock,
    now: Moment,
) -> Problem {
    let is_offline = machine.machine.status == MachineStatus::Offline;
    let main = machine.incidents.iter().filter(|incident| is_offline == (incident.kind == OFFLINE));
    let main: Option<&IncidentRecord> = main.max_by_key(|incident| severity(&incident.kind));
    let (lead, mut details) = match (is_offline, main) {
        (false, Some(main)) => {
            (format!(": {}", since(machine, main, clock, now)), facts(machine, main, clock, now))
        }
        _ => (silence(machine, now), last_beat(machine, clock, now)),
    };
    details.extend(people(machine, main, notified, clock, now));
    Problem {
        machine: machine.machine.id.0,
        name: machine.machine.name.clone(),
        is_bad: machine.health() == MachineHealth::Bad,
        lead,
        detail: details.join(" "),
        is_acknowledged: main.is_some_and(|main| main.acknowledged.is_some()),
        incident: main.map(|main| main.id),
    }
}

/// " has been silent for 9 min"
fn silence(machine: &MachineView, now: Moment) -> String {
    match machine.seen {
        Some(seen) => format!(" has been silent for {}", in_words(now.since(seen))),
        None => " has never been seen".into(),
    }
}

/// "Last seen 14:11 over wlan1."
fn last_beat(machine: &MachineView, clock: &Clock, now: Moment) -> Vec<String> {
    let Some(seen) = machine.seen else { return Vec::new() };
    let over = machine.reported.uplink.as_ref().map_or_else(String::new, |uplink| format!(" over {uplink}"));
    let front = machine.machine.behind.as_ref().map(|front| format!("It is behind {front}."));
    let last = format!("Last seen {}{over}.", clock.time_of_day(seen, now));
    std::iter::once(last).chain(front).collect()
}

/// "camera gate is down since 14:02"
fn since(machine: &MachineView, incident: &IncidentRecord, clock: &Clock, now: Moment) -> String {
    let uplink = machine.reported.uplink.clone();
    let phrase = ConditionNotice { uplink, ..notice(incident) }.phrase(false);
    format!("{phrase} since {}", clock.time_of_day(incident.since, now))
}

/// The other incidents of the machine, and what is fine about it.
fn facts(machine: &MachineView, main: &IncidentRecord, clock: &Clock, now: Moment) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(advice) = notice(main).advice() {
        sentences.push(format!("{}.", capital(advice)));
    }
    let others: Vec<String> = machine
        .incidents
        .iter()
        .filter(|incident| incident.id != main.id)
        .map(|incident| since(machine, incident, clock, now))
        .collect();
    if !others.is_empty() {
        sentences.push(format!("Also: {}.", others.join("; ")));
    }
    let uplink = machine.current().and_then(|(_, reported)| reported.uplink.as_ref());
    if let Some(uplink) = uplink.filter(|_| main.kind == "camera") {
        sentences.push(format!("The device is fine, on {uplink}."));
    }
    sentences
}

/// Who was notified, and who is on it.
fn people(
    machine: &MachineView,
    main: Option<&IncidentRecord>,
    notified: &HashMap<i64, Vec<OpenNotification>>,
    clock: &Clock,
    now: Moment,
) -> Option<String> {
    let main = main?;
    if let Some((at, by)) = &main.acknowledged {
        return Some(format!("{} has been on it since {}.", capital(by), clock.time_of_day(*at, now)));
    }
    let of_machine = || machine.incidents.iter().filter_map(|incident| notified.get(&incident.id)).flatten();
    let mut names: Vec<String> = Vec::new();
    for notification in of_machine() {
        let text = match notification.delivered {
            Some(at) => format!(
                "{} notified {} by {}",
                capital(&notification.recipient),
                when(at, clock, now),
                channel_name(&notification.channel)
            ),
            None => format!(
                "{} not reached yet by {}",
                capital(&notification.recipient),
                channel_name(&notification.channel)
            ),
        };
        if !names.contains(&text) {
            names.push(text);
        }
    }
    if names.is_empty() {
        return Some(if main.notified.is_none() {
            "Not announced.".into()
        } else {
            "Nobody was notified.".into()
        });
    }
    let more = names.len().saturating_sub(MOST_NAMED);
    names.truncate(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{}{more}; nobody is on it yet.", names.join(", ")))
}
