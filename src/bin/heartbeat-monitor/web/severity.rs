//! How bad something is: its colour, its place in a list.

use heartbeat_daemon::monitor::conditions::words::is_minor;

/// What a person has to know about a machine first; the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineHealth {
    /// Disabled, paused or stopped on purpose.
    Quiet,
    /// Never seen.
    New,
    Fine,
    Degraded,
    Bad,
}

impl MachineHealth {
    pub fn needs_a_person(self) -> bool {
        self >= MachineHealth::Degraded
    }

    /// As a class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            MachineHealth::Quiet => "quiet",
            MachineHealth::New => "new",
            MachineHealth::Fine => "fine",
            MachineHealth::Degraded => "warn",
            MachineHealth::Bad => "bad",
        }
    }
}

/// How bad an incident is. Red: something does not work, or will stop soon. Amber: it works, and a person should look.
pub fn severity(kind: &str) -> MachineHealth {
    if is_minor(kind) { MachineHealth::Degraded } else { MachineHealth::Bad }
}
