//! A change of a machine's status, and its log line.

use crate::clock::Moment;
use crate::duration::go_seconds;
use crate::monitor::machine::MachineId;
use crate::monitor::notify::notice::EventKind;

/// A machine whose status has changed, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    pub machine: MachineId,
    pub name: String,
    pub kind: TransitionKind,
    /// It begins to flap.
    pub flaps: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransitionKind {
    Offline {
        last_seen: Moment,
    },
    Online,
    FirstSeen,
    Stopped,
    /// Its heartbeats go to another monitor.
    Standby,
    /// The reason for which its outage was not announced when it began is over.
    StillOffline {
        last_seen: Moment,
    },
    Steady {
        state: EventKind,
    },
    ConditionBegan {
        text: String,
    },
    ConditionEnded {
        text: String,
    },
}

impl Transition {
    /// The log line; for offline and online in the words of the original system.
    pub fn line(&self, now: Moment) -> String {
        let machine = format!("Machine {} ({})", self.machine.0, self.name);
        let ago = |since: Moment| go_seconds(now.since(since));
        let mut line = match &self.kind {
            TransitionKind::Offline { last_seen } => {
                format!("{machine} went offline (last seen: {} ago)", ago(*last_seen))
            }
            TransitionKind::Online => format!("{machine} came back online"),
            TransitionKind::FirstSeen => format!("{machine} sent its first heartbeat"),
            TransitionKind::Standby => {
                format!("{machine} sends its heartbeats to another monitor; this one is its backup")
            }
            TransitionKind::Stopped => format!("{machine} was stopped on purpose"),
            TransitionKind::StillOffline { last_seen } => {
                format!(
                    "{machine} is still offline, which is announced now (last seen: {} ago)",
                    ago(*last_seen)
                )
            }
            TransitionKind::ConditionBegan { text } | TransitionKind::ConditionEnded { text } => {
                format!("{machine}: {text}")
            }
            TransitionKind::Steady { state } => format!("{machine} is steady again: {}", state.name()),
        };
        if self.flaps {
            line.push_str("; it is flapping, so nothing more is announced until it holds one state");
        }
        line
    }
}
