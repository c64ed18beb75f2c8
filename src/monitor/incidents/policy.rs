//! The rules by which incidents begin and are announced: pure.

use crate::clock::Moment;
use std::time::Duration;

/// This many machines at once are one message to a person. If they are half of those that were online, a second check
/// must confirm them: the monitor's own network may be at fault.
pub const MASS_OUTAGE: usize = 5;

/// More transitions of one machine than this within [`FLAPPING_WINDOW`] are flapping.
pub const MOST_TRANSITIONS: u32 = 4;
pub const FLAPPING_WINDOW: Duration = Duration::from_secs(3600);

/// A flapping machine counts as steady after this long in one state (3600 s / 4 transitions).
pub const FLAPPING_HOLD: Duration = Duration::from_secs(15 * 60);

/// The announcement of a transition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// The transition itself.
    Transition,
    /// The machine begins to flap; its transitions are not announced until it holds one state.
    Flapping,
    /// Nothing: it flaps already.
    Nothing,
}

/// A machine and the one in front of it that were last seen within this time of each other probably died together: each sends
/// every few seconds.
pub const SAME_DEATH: Duration = Duration::from_secs(15);

/// An outage that began while the machine in front was silent, but not late, waits this long for a decision: three checks.
pub const FRONT_UNDECIDED: Duration = Duration::from_secs(90);

/// After the machine in front has returned, those behind it have this long to return, too.
pub const AFTER_FRONT: Duration = Duration::from_secs(120);

/// After this monitor was isolated, its machines have this long to return before their silence is announced: a device asks a
/// monitor that failed every 15 to 22 s whether it works again.
pub const AFTER_ISOLATION: Duration = Duration::from_secs(120);

/// `transitions` counts those within [`FLAPPING_WINDOW`], the current one included.
pub fn announcement(is_flapping: bool, transitions: u32) -> Announcement {
    if is_flapping {
        Announcement::Nothing
    } else if transitions > MOST_TRANSITIONS {
        Announcement::Flapping
    } else {
        Announcement::Transition
    }
}

/// A machine without its own threshold is late if its last heartbeat is older than this. `None`: no machine is late,
/// because the monitor itself has not listened for the whole threshold.
pub fn late_before(now: Moment, listening_since: Moment, threshold: Duration) -> Option<Moment> {
    let limit = now.minus(threshold);
    (listening_since < limit).then_some(limit)
}

/// Whether this many late machines are too many to be believed at once: [`MASS_OUTAGE`] or more, and at least as many
/// as are still online.
pub fn is_doubtful(late: usize, still_online: usize) -> bool {
    late >= MASS_OUTAGE && still_online <= late
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_fifth_transition_within_an_hour_is_flapping_and_later_ones_are_not_announced() {
        for (is_flapping, transitions, expected) in [
            (false, 1, Announcement::Transition),
            (false, 4, Announcement::Transition),
            (false, 5, Announcement::Flapping),
            (false, 6, Announcement::Flapping),
            (true, 1, Announcement::Nothing),
            (true, 5, Announcement::Nothing),
        ] {
            assert_eq!(announcement(is_flapping, transitions), expected, "{is_flapping} {transitions}");
        }
    }

    #[test]
    fn late_is_silent_for_longer_than_the_threshold_while_the_monitor_listened() {
        let now = Moment(1_000_000);
        for (listened_s, expected) in
            [(119, None), (120, None), (121, Some(Moment(880_000))), (900, Some(Moment(880_000)))]
        {
            let since = now.minus(SECOND * listened_s);
            assert_eq!(late_before(now, since, SECOND * 120), expected, "listened for {listened_s} s");
        }
    }

    #[test]
    fn five_machines_that_are_half_of_the_fleet_are_doubted() {
        for (late, still_online, expected) in [
            (4, 0, false),
            (4, 4, false),
            (5, 0, true),
            (5, 4, true),
            (5, 5, true),
            (5, 6, false),
            (500, 500, true),
            (500, 501, false),
        ] {
            assert_eq!(is_doubtful(late, still_online), expected, "{late} late, {still_online} online");
        }
    }
}
