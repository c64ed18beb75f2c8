//! The limits by which incidents are judged.

use std::time::Duration;

/// This many machines at once are one message to a person. If they are half of those that were online, a second check
/// must confirm them: the monitor's own network may be at fault.
pub const MASS_OUTAGE: usize = 5;

/// More transitions of one machine than this within [`FLAPPING_WINDOW`] are flapping.
pub const MOST_TRANSITIONS: u32 = 4;
pub const FLAPPING_WINDOW: Duration = Duration::from_secs(3600);

/// A flapping machine counts as steady after this long in one state (3600 s / 4 transitions).
pub const FLAPPING_HOLD: Duration = Duration::from_secs(15 * 60);
