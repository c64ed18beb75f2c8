//! The time that the charts of a machine show.

use super::chart::TimeLine;
use crate::web::form::Form;
use heartbeat_daemon::clock::Moment;
use std::time::Duration;

const HOUR: u64 = 3600;
/// Name in the address, what people read, length, step. At most 720 points each.
const SPANS: [(&str, &str, u64, u64); 6] = [
    ("6h", "6 hours", 6 * HOUR, 60),
    ("24h", "24 hours", 24 * HOUR, 2 * 60),
    ("48h", "2 days", 48 * HOUR, 4 * 60),
    ("7d", "7 days", 7 * 24 * HOUR, 900),
    ("30d", "30 days", 30 * 24 * HOUR, HOUR),
    ("1y", "a year", 365 * 24 * HOUR, 13 * HOUR),
];
/// The day that was just spent.
const DEFAULT: usize = 1;

/// One of the offered lengths of time, which ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChartTime {
    chosen: usize,
    now: Moment,
}

impl ChartTime {
    /// Reads `span`; anything unknown is the default.
    pub fn read(query: &Form, now: Moment) -> ChartTime {
        let found = SPANS.iter().position(|(name, ..)| *name == query.text("span"));
        ChartTime { chosen: found.unwrap_or(DEFAULT), now }
    }

    pub fn step(&self) -> Duration {
        Duration::from_secs(SPANS[self.chosen].3)
    }

    pub fn line(&self) -> TimeLine {
        let from = self.now.minus(Duration::from_secs(SPANS[self.chosen].2));
        TimeLine { from, to: self.now, step: i64::try_from(self.step().as_millis()).unwrap_or(i64::MAX) }
    }

    /// Name in the address, what people read, chosen.
    pub fn choices(&self) -> Vec<(&'static str, &'static str, bool)> {
        let choice = |(number, (name, label, ..)): (usize, &(&'static str, &'static str, u64, u64))| {
            (*name, *label, number == self.chosen)
        };
        SPANS.iter().enumerate().map(choice).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_has_more_than_720_points() {
        for (name, _, length, step) in SPANS {
            assert!(length / step <= 720, "{name}");
            assert_eq!(step % 60, 0, "{name}");
        }
    }
}
