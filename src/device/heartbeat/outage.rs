//! Log lines for failures: the first one, then nothing, then the recovery with count and length.

use super::outcome::Outcome;
use crate::duration::span;
use std::time::Instant;

/// Kinds of failure that need different reactions: each is logged once per outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    Unreachable,
    Refused,
    Rejected,
    Foreign,
    Busy,
}

/// The current outage: since when, how many attempts, and which kinds were logged.
#[derive(Debug, Default)]
pub struct Outage {
    since: Option<Instant>,
    attempts: u64,
    said: Vec<FailureKind>,
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
pub enum LogLine {
    Error(String),
    Warning(String),
    Info(String),
}

impl Outage {
    /// The log line for `outcome`, if it needs one. `server` is its name for people.
    pub fn update(&mut self, server: &str, outcome: &Outcome, now: Instant) -> Option<LogLine> {
        let (trouble, line) = match outcome {
            Outcome::Accepted { .. } => return self.end(server, now),
            Outcome::Cut => return None,
            Outcome::Failed { problem } => (
                FailureKind::Unreachable,
                LogLine::Warning(format!("heartbeat to {server} failed: {problem}")),
            ),
            Outcome::Refused { status, with_token } => {
                (FailureKind::Refused, LogLine::Error(refused(server, *status, *with_token)))
            }
            Outcome::Rejected { status, hint } => (
                FailureKind::Rejected,
                LogLine::Error(format!(
                    "{server} rejects our heartbeats with status {status}: {}",
                    hint.as_deref().unwrap_or("check url, method and format in [heartbeat]")
                )),
            ),
            Outcome::Foreign { problem } => (
                FailureKind::Foreign,
                LogLine::Error(format!("heartbeat to {server} was not delivered: {problem}")),
            ),
            Outcome::Busy { hold } => (
                FailureKind::Busy,
                LogLine::Warning(format!("{server} requires a pause of {}; obeying it", span(*hold))),
            ),
        };
        self.since.get_or_insert(now);
        self.attempts += 1;
        if self.said.contains(&trouble) {
            return None;
        }
        self.said.push(trouble);
        Some(line)
    }

    fn end(&mut self, server: &str, now: Instant) -> Option<LogLine> {
        let Outage { since, attempts, .. } = std::mem::take(self);
        let gap = now.saturating_duration_since(since?);
        let heartbeats = if attempts == 1 { "heartbeat" } else { "heartbeats" };
        Some(LogLine::Info(format!(
            "heartbeat to {server} works again after {attempts} failed {heartbeats} in {}",
            span(gap)
        )))
    }
}

impl LogLine {
    pub fn log(self) {
        match self {
            LogLine::Error(text) => log::error!("{text}"),
            LogLine::Warning(text) => log::warn!("{text}"),
            LogLine::Info(text) => log::info!("{text}"),
        }
    }
}

fn refused(server: &str, status: u16, with_token: bool) -> String {
    match with_token {
        true => format!(
            "{server} refuses our token with status {status}: put the right one into token_file \
             (or the systemd credential heartbeat-token), then reload; heartbeats continue"
        ),
        false => format!(
            "{server} refuses heartbeats without a token with status {status}: put the token into a file and name it in \
             token_file (or use the systemd credential heartbeat-token), then reload; heartbeats continue"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ACCEPTED: Outcome = Outcome::Accepted { status: 200, monitor: true };

    fn failed() -> Outcome {
        Outcome::Failed { problem: "connection refused".into() }
    }

    #[test]
    fn the_first_failure_is_logged_and_then_only_the_recovery_with_count_and_gap() {
        let begin = Instant::now();
        let mut outage = Outage::default();
        assert_eq!(outage.update("example.org", &ACCEPTED, begin), None);
        let first = outage.update("example.org", &failed(), begin);
        assert_eq!(
            first,
            Some(LogLine::Warning("heartbeat to example.org failed: connection refused".into()))
        );
        for second in 1..=11 {
            assert_eq!(outage.update("example.org", &failed(), begin + Duration::from_secs(second)), None);
        }
        let end = outage.update("example.org", &ACCEPTED, begin + Duration::from_secs(61));
        assert_eq!(
            end,
            Some(LogLine::Info(
                "heartbeat to example.org works again after 12 failed heartbeats in 1m 1s".into()
            ))
        );
        assert_eq!(outage.update("example.org", &ACCEPTED, begin + Duration::from_secs(66)), None);
    }

    #[test]
    fn a_refused_token_is_logged_once_even_during_another_outage() {
        let now = Instant::now();
        let mut outage = Outage::default();
        outage.update("example.org", &failed(), now);
        for (outcome, said) in [
            (Outcome::Refused { status: 401, with_token: true }, true),
            (failed(), false),
            (Outcome::Refused { status: 401, with_token: true }, false),
        ] {
            assert_eq!(outage.update("example.org", &outcome, now).is_some(), said, "{outcome:?}");
        }
    }

    #[test]
    fn a_connection_that_we_cut_ourselves_is_no_outage() {
        let mut outage = Outage::default();
        assert_eq!(outage.update("example.org", &Outcome::Cut, Instant::now()), None);
        assert_eq!(outage.update("example.org", &ACCEPTED, Instant::now()), None, "nothing to recover from");
    }
}
