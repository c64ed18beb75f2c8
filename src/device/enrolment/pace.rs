//! When to ask again, and what is worth a line in the log.

use super::client::EnrolmentAnswer;
use crate::backoff;
use std::time::Duration;

/// A person waits for a device that is booted for the first time.
const FIRST: Duration = Duration::from_secs(2);
/// A fresh card is to be monitored a minute after the network works; 50 devices are two requests a second at most.
const LONGEST: Duration = Duration::from_secs(30);
/// After a refusal: only a person can change that, and the monitor limits failed requests.
const REFUSED: Duration = Duration::from_secs(3600);

/// The answers so far.
#[derive(Debug, Default)]
pub struct EnrolmentPace {
    unanswered: u32,
    /// The last line, without its digits: a clock or a counter is not news.
    last: String,
}

impl EnrolmentPace {
    /// Time until the next request after this answer; `jitter` from 0 to 1 keeps devices apart that were started together.
    /// At least as long as the server wants, and an hour at most.
    pub fn delay(&mut self, answer: &EnrolmentAnswer, jitter: f64) -> Duration {
        self.unanswered = self.unanswered.saturating_add(1);
        let delay = backoff::delay(FIRST, LONGEST, self.unanswered, jitter);
        match answer {
            EnrolmentAnswer::Refused(_) => REFUSED,
            EnrolmentAnswer::Failed { hold: Some(hold), .. } => delay.max(*hold).min(REFUSED),
            _ => delay,
        }
    }

    /// Whether the line differs from the last one.
    pub fn is_news(&mut self, line: &str) -> bool {
        let shape: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
        std::mem::replace(&mut self.last, shape) != self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(hold: Option<u64>) -> EnrolmentAnswer {
        EnrolmentAnswer::Failed { problem: "connection refused".into(), hold: hold.map(Duration::from_secs) }
    }

    #[test]
    fn delays_grow_to_half_a_minute_and_the_server_may_lengthen_them() {
        let mut pace = EnrolmentPace::default();
        let mut seconds = |answer: &EnrolmentAnswer| pace.delay(answer, 0.0).as_secs();
        let waiting = EnrolmentAnswer::Waiting("its key asks for approval".into());
        assert_eq!([(); 3].map(|()| seconds(&failed(None))), [2, 4, 8]);
        assert_eq!([(); 3].map(|()| seconds(&waiting)), [16, 30, 30]);
        assert_eq!(seconds(&failed(Some(10))), 30, "never shorter than ours");
        assert_eq!(seconds(&failed(Some(120))), 120);
        assert_eq!(seconds(&failed(Some(1_000_000))), 3600);
        assert_eq!(seconds(&EnrolmentAnswer::Refused("used".into())), 3600);
    }

    #[test]
    fn a_line_is_news_once_and_a_clock_in_it_is_not() {
        let mut pace = EnrolmentPace::default();
        let lines = [
            "not valid yet: 1970-01-01T00:00:05Z",
            "not valid yet: 1970-01-01T00:00:09Z",
            "refused",
            "refused",
        ];
        assert_eq!(lines.map(|line| pace.is_news(line)), [true, false, true, false]);
    }
}
