//! What a simulation has seen, for its report.

/// What a simulation has seen.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub heartbeats: u64,
    pub transitions: u64,
    /// Conditions that began.
    pub conditions: u64,
    pub messages: u64,
    pub reminders: u64,
    pub escalations: u64,
    pub acknowledgements: u64,
    pub repeated: u64,
    pub crashes: u64,
    pub milliseconds: u64,
}

impl Counts {
    pub fn add(&mut self, other: Counts) {
        self.heartbeats += other.heartbeats;
        self.transitions += other.transitions;
        self.conditions += other.conditions;
        self.messages += other.messages;
        self.reminders += other.reminders;
        self.escalations += other.escalations;
        self.acknowledgements += other.acknowledgements;
        self.repeated += other.repeated;
        self.crashes += other.crashes;
        self.milliseconds += other.milliseconds;
    }
}
