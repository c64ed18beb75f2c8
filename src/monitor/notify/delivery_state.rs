//! The states of a delivery.

/// What stands in `outbox.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    Waiting = 0,
    /// A courier has it, until `leased_until`.
    Leased = 1,
    Delivered = 2,
    /// Given up: expired, or refused for good.
    Dead = 3,
    /// Overtaken: an outage shorter than the recipient wants to hear of, a channel that was switched off.
    Skipped = 4,
}

impl DeliveryState {
    /// States as people see them; a leased row counts as waiting.
    pub const NAMES: [(&str, DeliveryState); 4] = [
        ("waiting", DeliveryState::Waiting),
        ("delivered", DeliveryState::Delivered),
        ("dead", DeliveryState::Dead),
        ("skipped", DeliveryState::Skipped),
    ];
}
