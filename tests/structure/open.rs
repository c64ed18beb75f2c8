//! What does not keep the rules yet. These lists may only shrink.

/// `from -> to`: an import that is part of a cycle.
pub const CYCLES: &[&str] = &[];

/// Names of more than two types.
pub const TYPE_NAMES: &[&str] =
    &["Activity", "Disk", "File", "Heartbeat", "Machine", "Message", "Metrics", "Network", "Rig", "Value"];

/// Files of more than 400 lines.
pub const LONG_FILES: &[&str] = &["src/monitor/fleet.rs", "src/monitor/recorder.rs"];
