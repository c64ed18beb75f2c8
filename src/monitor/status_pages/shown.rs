//! The machines of a group as its page shows them: under a label, worst first.

use crate::clock::Moment;
use crate::monitor::machine::{MachineId, MachineStatus};

/// A machine of a group, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMachine {
    pub id: MachineId,
    /// `None`: the group and its number.
    pub label: Option<String>,
    pub status: MachineStatus,
    /// `false`: disabled.
    pub watched: bool,
    pub is_paused: bool,
    pub last_seen: Option<Moment>,
    /// When this status began.
    pub since: Moment,
    pub created_at: Moment,
}

/// What the page says about a machine; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShownState {
    /// Since its last heartbeat.
    Down(Moment),
    Up,
    /// Stopped on purpose, or a person has set a pause.
    Maintenance,
    /// Never seen, or disabled.
    Unknown,
}

/// A machine as its page shows it: label, state and uptime. The rest is for reading its records, and is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownMachine {
    pub id: MachineId,
    pub label: String,
    pub state: ShownState,
    /// Its records count from here on.
    pub from: Moment,
    /// And end here; `None`: they go on.
    pub until: Option<Moment>,
    pub last_seen: Option<Moment>,
}

/// How many machines are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateCounts {
    pub down: usize,
    pub up: usize,
    pub maintenance: usize,
    pub unknown: usize,
}

/// The machines of `group`, those that are down first; `machines` are sorted by number.
pub fn shown(group: &str, machines: &[GroupMachine]) -> Vec<ShownMachine> {
    let mut shown: Vec<ShownMachine> =
        machines.iter().zip(1..).map(|(machine, number)| machine.shown(group, number)).collect();
    // Stable: people find a machine where it was the last time.
    shown.sort_by_key(|machine| !matches!(machine.state, ShownState::Down(_)));
    shown
}

impl GroupMachine {
    fn shown(&self, group: &str, number: usize) -> ShownMachine {
        let is_watched = self.watched && self.status != MachineStatus::New;
        ShownMachine {
            id: self.id,
            label: self.label.clone().unwrap_or_else(|| default_label(group, number)),
            state: self.state(),
            from: self.created_at,
            until: (!is_watched).then_some(self.since),
            last_seen: self.last_seen,
        }
    }

    fn state(&self) -> ShownState {
        match self.status {
            _ if !self.watched => ShownState::Unknown,
            MachineStatus::New | MachineStatus::Standby => ShownState::Unknown,
            MachineStatus::Stopped => ShownState::Maintenance,
            _ if self.is_paused => ShownState::Maintenance,
            MachineStatus::Offline => ShownState::Down(self.last_seen.unwrap_or(self.since)),
            MachineStatus::Online => ShownState::Up,
        }
    }
}

/// An enrolled machine's name is its host name, so it is never shown without a person's choice.
pub fn default_label(group: &str, number: usize) -> String {
    format!("{group} {number}")
}

impl StateCounts {
    pub fn of(states: impl Iterator<Item = ShownState>) -> StateCounts {
        let mut counts = StateCounts::default();
        for state in states {
            let count = match state {
                ShownState::Down(_) => &mut counts.down,
                ShownState::Up => &mut counts.up,
                ShownState::Maintenance => &mut counts.maintenance,
                ShownState::Unknown => &mut counts.unknown,
            };
            *count += 1;
        }
        counts
    }

    pub fn machines(self) -> usize {
        self.down + self.up + self.maintenance + self.unknown
    }

    /// "All 24 are up", "2 of 24 are down".
    pub fn sentence(self) -> String {
        let all = self.machines();
        match self {
            _ if all == 0 => "Nothing to show yet".into(),
            StateCounts { down: 1.., .. } if all == 1 => "Down".into(),
            StateCounts { down: 1.., .. } => format!("{} of {all} {} down", self.down, are(self.down)),
            _ if self.up == all && all == 1 => "Up".into(),
            _ if self.up == all => format!("All {all} are up"),
            StateCounts { up: 1.., .. } => format!("{} of {all} {} up", self.up, are(self.up)),
            _ => self.brief(),
        }
    }

    /// "Up", "2 down", for a badge.
    pub fn brief(self) -> String {
        match self {
            StateCounts { down: 1.., .. } if self.machines() == 1 => "Down".into(),
            StateCounts { down: 1.., .. } => format!("{} down", self.down),
            StateCounts { up: 1.., .. } => "Up".into(),
            StateCounts { maintenance: 1.., .. } => "Maintenance".into(),
            _ => "Unknown".into(),
        }
    }
}

fn are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(id: i64, status: MachineStatus) -> GroupMachine {
        GroupMachine {
            id: MachineId(id),
            label: None,
            status,
            watched: true,
            is_paused: false,
            last_seen: Some(Moment(7)),
            since: Moment(9),
            created_at: Moment(1),
        }
    }

    #[test]
    fn a_machine_has_the_groups_name_and_its_number_and_those_that_are_down_come_first() {
        let gate = GroupMachine { label: Some("Gate".into()), ..machine(9, MachineStatus::Online) };
        let machines = [machine(4, MachineStatus::Online), gate, machine(12, MachineStatus::Offline)];
        let shown = shown("barn", &machines);
        let labels: Vec<_> = shown.iter().map(|machine| machine.label.as_str()).collect();
        assert_eq!(labels, ["barn 3", "barn 1", "Gate"]);
        assert_eq!(shown[0].state, ShownState::Down(Moment(7)));
    }

    #[test]
    fn the_state_is_what_the_monitor_knows_and_a_pause_is_a_maintenance() {
        use MachineStatus::{New, Offline, Online, Stopped};
        use ShownState::{Down, Maintenance, Unknown, Up};
        for (status, watched, is_paused, expected) in [
            (Online, true, false, Up),
            (Online, true, true, Maintenance),
            (Offline, true, false, Down(Moment(7))),
            (Offline, true, true, Maintenance),
            (Stopped, true, false, Maintenance),
            (New, true, false, Unknown),
            (New, true, true, Unknown),
            (New, false, false, Unknown),
            (Online, false, false, Unknown),
        ] {
            let machine = GroupMachine { watched, is_paused, ..machine(1, status) };
            assert_eq!(machine.state(), expected, "{status:?} {watched} {is_paused}");
            let ends = shown("barn", &[machine])[0].until;
            assert_eq!(ends.is_some(), expected == Unknown, "{status:?} {watched}");
        }
    }

    #[test]
    fn the_sentence_counts_what_is_down() {
        let counts = |down, up, maintenance, unknown| StateCounts { down, up, maintenance, unknown };
        for (counts, sentence, brief) in [
            (counts(0, 0, 0, 0), "Nothing to show yet", "Unknown"),
            (counts(0, 24, 0, 0), "All 24 are up", "Up"),
            (counts(0, 1, 0, 0), "Up", "Up"),
            (counts(1, 0, 0, 0), "Down", "Down"),
            (counts(1, 23, 0, 0), "1 of 24 is down", "1 down"),
            (counts(2, 20, 1, 1), "2 of 24 are down", "2 down"),
            (counts(0, 22, 1, 1), "22 of 24 are up", "Up"),
            (counts(0, 0, 2, 1), "Maintenance", "Maintenance"),
            (counts(0, 0, 0, 3), "Unknown", "Unknown"),
        ] {
            assert_eq!((counts.sentence().as_str(), counts.brief().as_str()), (sentence, brief));
        }
        let states =
            [ShownState::Up, ShownState::Down(Moment(1)), ShownState::Unknown, ShownState::Maintenance];
        assert_eq!(StateCounts::of(states.into_iter()), counts(1, 1, 1, 1));
    }
}
