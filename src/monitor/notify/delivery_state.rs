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
