//! Log lines about a channel that fails: the first failure at once, then few, however its messages alternate.

use log::{debug, warn};
use std::time::{Duration, Instant};

/// Between two lines about the same failure, and about two different ones.
const SAME: Duration = Duration::from_secs(3600);
const OTHER: Duration = Duration::from_secs(60);

/// One channel's.
#[derive(Debug, Default)]
pub struct Complaints {
    /// The failure that was last logged.
    last: Option<(Instant, String)>,
    /// It has delivered nothing since.
    is_pending: bool,
}

impl Complaints {
    /// Logs `sentence`, at level debug if the log is full enough of it; `why` is the part of it that tells failures apart.
    pub fn failed(&mut self, why: &str, sentence: String, now: Instant) {
        if !self.is_news(why, now) {
            debug!("{sentence}");
            return;
        }
        warn!("{sentence}");
        self.last = Some((now, why.to_owned()));
        self.is_pending = true;
    }

    fn is_news(&self, why: &str, now: Instant) -> bool {
        let Some((at, last)) = &self.last else { return true };
        let pause = if kind(last) == kind(why) { SAME } else { OTHER };
        *at + pause <= now
    }

    /// True if it is news that the channel works.
    pub fn worked(&mut self) -> bool {
        std::mem::take(&mut self.is_pending)
    }

    /// Whether a line would be too much now.
    pub fn is_recent(&self, now: Instant) -> bool {
        self.last.as_ref().is_some_and(|(at, _)| *at + SAME > now)
    }
}

/// A failure without the receiver's own words, which may differ each time.
fn kind(why: &str) -> &str {
    why.split_once("; it says: ").map_or(why, |(kind, _)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn failures_and_deliveries_that_alternate_make_two_lines_an_hour() {
        let (start, mut complaints) = (Instant::now(), Complaints::default());
        let mut lines = 0;
        for second in 0..3600 {
            let (now, why) = (start + SECOND * second, format!("500; it says: request {second}"));
            lines += usize::from(complaints.is_news(&why, now));
            complaints.failed(&why, why.clone(), now);
            lines += usize::from(complaints.worked());
        }
        assert_eq!(lines, 2);
    }

    #[test]
    fn another_failure_is_logged_after_a_minute() {
        let (start, mut complaints) = (Instant::now(), Complaints::default());
        complaints.failed("500", String::new(), start);
        assert!(!complaints.is_news("503", start + SECOND * 59));
        assert!(complaints.is_news("503", start + SECOND * 60));
        assert!(!complaints.is_news("500", start + SECOND * 3599));
        assert!(complaints.is_recent(start + SECOND * 3599));
    }
}
