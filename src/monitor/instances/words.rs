//! What the command line and the page say of a monitor.

use super::table::Instance;
use crate::clock::Moment;
use crate::duration::{ago, go};
use std::time::Duration;

/// Clocks are never more exact than this.
const SAME_TIME: Duration = Duration::from_millis(100);

pub const HEADINGS: [&str; 6] = ["HOST", "VERSION", "STATE", "STARTED", "CLOCK", "HEARTBEATS/S"];

/// A row below [`HEADINGS`].
pub fn row(instance: &Instance, now: Moment) -> [String; 6] {
    [
        instance.host.clone(),
        instance.version.clone(),
        state(instance, now),
        ago(Some(instance.started), now),
        clock(instance.clock_difference),
        format!("{:.1}", instance.heartbeats),
    ]
}

fn state(instance: &Instance, now: Moment) -> String {
    match instance.dead {
        _ if instance.is_alive(now) => "alive".into(),
        Some(dead) => format!("gone {}", ago(Some(dead), now)),
        None => format!("silent, last seen {}", ago(Some(instance.alive), now)),
    }
}

/// A monitor's own clock, compared with the database's.
fn clock(difference: i64) -> String {
    let off = Duration::from_millis(difference.unsigned_abs());
    match off {
        off if off < SAME_TIME => "right".into(),
        off if difference > 0 => format!("{} ahead", go(off)),
        off => format!("{} behind", go(off)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_right_ahead_or_behind() {
        for (difference, said) in
            [(0, "right"), (-99, "right"), (100, "100ms ahead"), (-3_600_000, "1h0m0s behind")]
        {
            assert_eq!(clock(difference), said);
        }
    }

    #[test]
    fn a_monitor_is_alive_silent_or_gone() {
        let now = Moment(1_769_005_800_000);
        let ago = |seconds| now.minus(Duration::from_secs(seconds));
        let of = |alive, dead| Instance {
            process: 1,
            host: "a".into(),
            version: "1".into(),
            started: ago(600),
            alive,
            dead,
            clock_difference: 0,
            heartbeats: 0.0,
        };
        assert_eq!(state(&of(ago(14), None), now), "alive");
        assert_eq!(state(&of(ago(15), None), now), "silent, last seen 15s ago");
        assert_eq!(state(&of(ago(30), Some(ago(10))), now), "gone 10s ago");
    }
}
