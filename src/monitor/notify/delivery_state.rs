//! The states of a delivery.

/// Values of the column `outbox.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryState {
    Waiting = 0,
    /// A courier has it until `leased_until`.
    Leased = 1,
    Delivered = 2,
    /// Abandoned: expired, or permanently refused.
    Dead = 3,
    /// Not to be sent: the outage was shorter than the recipient's minimum, or the channel was disabled.
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

    /// The word for a value of the column.
    pub fn word(column: i64) -> &'static str {
        let state = DeliveryState::NAMES.iter().find(|(_, state)| *state as i64 == column);
        state.map_or("waiting", |(word, _)| word)
    }
}

/// `outbox.state` of a row that no courier has.
pub const WAITING: i64 = DeliveryState::Waiting as i64;
/// `outbox.state` of a row that a courier has.
pub const LEASED: i64 = DeliveryState::Leased as i64;

/// The condition that a row is still to be delivered. The partial indexes `outbox_due` and `outbox_unsent` contain only
/// these rows, and SQLite uses a partial index only for a statement that repeats its condition word for word. So a
/// statement about one of the two states has this condition, too.
pub const UNDELIVERED: &str = "state IN (0, 1)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_of_the_indexes_names_the_two_states() {
        assert_eq!(UNDELIVERED, format!("state IN ({WAITING}, {LEASED})"));
    }
}
