//! The wall clock of a database server, which all monitors of a database follow: a monitor whose own clock is an hour off
//! must not find every machine an hour late.
//!
//! Between two readings it runs with this machine's boot clock, which no one sets, so steps of the own clock change nothing.
//! Times are milliseconds since 1970.

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// The followed clock minus the boot clock. [`OWN`]: no clock is followed.
static AHEAD_OF_BOOT: AtomicI64 = AtomicI64::new(OWN);
const OWN: i64 = i64::MIN;

/// A smaller difference than this is left alone.
const TOLERANCE: i64 = 2;

/// A question to a server for its time.
#[derive(Debug, Clone, Copy)]
pub struct ClockQuery {
    /// By the boot clock.
    sent: i64,
}

impl ClockQuery {
    pub fn send() -> ClockQuery {
        ClockQuery { sent: boot_clock() }
    }

    /// Follows a server whose clock says `time`. It was read at some moment since the query was sent, so a difference that
    /// this explains is none.
    pub fn receive(self, time: i64) {
        let half = boot_clock().saturating_sub(self.sent) / 2;
        let ahead = time.saturating_sub(self.sent + half);
        if is_another(AHEAD_OF_BOOT.load(Ordering::Relaxed), ahead, half) {
            AHEAD_OF_BOOT.store(ahead, Ordering::Relaxed);
        }
    }
}

fn is_another(known: i64, ahead: i64, uncertainty: i64) -> bool {
    known == OWN || known.abs_diff(ahead) > (uncertainty + TOLERANCE).unsigned_abs()
}

/// `None`: no clock is followed.
pub fn now() -> Option<i64> {
    match AHEAD_OF_BOOT.load(Ordering::Relaxed) {
        OWN => None,
        ahead => Some(boot_clock().saturating_add(ahead)),
    }
}

/// This machine's own clock minus the followed one. Zero: no clock is followed.
pub fn own_difference() -> i64 {
    let own = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let own = i64::try_from(own.as_millis()).unwrap_or(i64::MAX);
    now().map_or(0, |followed| own.saturating_sub(followed))
}

fn boot_clock() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_that_the_way_to_the_server_explains_is_none() {
        for (known, ahead, uncertainty, is_new) in [
            (OWN, 5, 1_000, true),
            (1_000, 1_002, 0, false),
            (1_000, 1_003, 0, true),
            (1_000, 997, 0, true),
            (1_000, 2_002, 1_000, false),
            (1_000, 2_003, 1_000, true),
            (1_000, 3_600_000, 1_000, true),
        ] {
            assert_eq!(is_another(known, ahead, uncertainty), is_new, "{known} {ahead} {uncertainty}");
        }
    }
}
