//! What becomes of a message that was not delivered.

use super::Dispatcher;
use crate::clock::Now;
use crate::duration::go_seconds_up;
use crate::monitor::notify::batch::Flight;
use crate::monitor::notify::channel::Channel;
use crate::monitor::notify::message::DeliveryError;
use crate::monitor::notify::outbox::{DeliveryOutcome, LeasedRow, UNKNOWN_HOLD};
use crate::monitor::notify::pace::Setback;
use log::warn;
use std::time::Duration;

/// Time between the refusal of a grouped message and the messages per machine.
const APART_AFTER: Duration = Duration::from_secs(1);

impl Dispatcher {
    pub(super) fn failed(
        &mut self,
        flight: &Flight,
        error: DeliveryError,
        now: Now,
    ) -> Vec<(i64, DeliveryOutcome)> {
        match error {
            // Aborted before the message was handed over.
            DeliveryError::Later { .. } if self.is_stopping => flight.each(&DeliveryOutcome::Untouched),
            // One machine may be the reason; the others must not lose their message.
            DeliveryError::Never { why } if flight.rows.len() > 1 => self.take_apart(flight, why, now),
            DeliveryError::Never { why } => self.abandon(flight, why, now),
            DeliveryError::Unknown { why } => self.hold_uncertain(flight, why, now),
            DeliveryError::Later { why, after, limits_us } => {
                // Rows of one message stay together.
                let attempts = flight.rows.iter().map(|row| row.attempts).min().unwrap_or(0) + 1;
                let setback = Setback { attempts, retry_after: after, limits_us };
                self.retry(flight, &why, setback, now)
            }
        }
    }

    /// Each row becomes a message of its own.
    fn take_apart(&mut self, flight: &Flight, why: String, now: Now) -> Vec<(i64, DeliveryOutcome)> {
        let Channel { id, kind, .. } = *flight.channel;
        self.counters.failed(kind);
        self.channels.entry(id).or_default().alone.extend(flight.ids());
        let (name, title) = (flight.channel.name(), &flight.title);
        warn!("{name}: {title} was refused, sending one message per machine instead: {why}");
        flight.each(&DeliveryOutcome::Failed { why, again: now.wall.plus(APART_AFTER) })
    }

    /// The receiver works; it refuses only this message.
    fn abandon(&mut self, flight: &Flight, why: String, now: Now) -> Vec<(i64, DeliveryOutcome)> {
        let Channel { id, kind, .. } = *flight.channel;
        self.counters.failed(kind);
        self.counters.abandoned(kind, flight.rows.len());
        self.counters.channel_works(id);
        self.freed.extend(self.channels.entry(id).or_default().pace.succeeded(now.monotonic));
        warn!("{}: abandoned: {}: {why}", flight.channel.name(), flight.title);
        flight.each(&DeliveryOutcome::Dead { why })
    }

    fn hold_uncertain(&mut self, flight: &Flight, why: String, now: Now) -> Vec<(i64, DeliveryOutcome)> {
        let (name, title) = (flight.channel.name(), &flight.title);
        warn!("{name}: {title} may have arrived, next attempt in 30 min: {why}");
        self.counters.failed(flight.channel.kind);
        self.counters.channel_failed(&flight.channel, &why, now.monotonic);
        flight.each(&DeliveryOutcome::Unknown { why, again: now.wall.plus(UNKNOWN_HOLD) })
    }

    fn retry(
        &mut self,
        flight: &Flight,
        why: &str,
        setback: Setback,
        now: Now,
    ) -> Vec<(i64, DeliveryOutcome)> {
        let Channel { id, kind, .. } = *flight.channel;
        let state = self.channels.entry(id).or_default();
        let delay = state.pace.failed(&flight.ids(), setback, now.monotonic, fastrand::f64());
        let may_end_early = flight.rows.first().is_some_and(|row| state.pace.may_end_early(row.id));
        let when = if may_end_early { "within" } else { "in" };
        let (name, title, delay_in_words) = (flight.channel.name(), &flight.title, go_seconds_up(delay));
        let sentence = format!("{name}: {title}: {why}; next attempt {when} {delay_in_words}");
        state.log_failure(why, &sentence, now.monotonic);
        self.counters.channel_failed(&flight.channel, why, now.monotonic);
        self.counters.failed(kind);
        let again = now.wall.plus(delay);
        let outcome = |row: &LeasedRow| match again < row.expires {
            true => (row.id, DeliveryOutcome::Failed { why: why.to_owned(), again }),
            false => {
                self.counters.abandoned(kind, 1);
                warn!("{name}: abandoned after a day: {}: {why}", row.notice.title());
                (row.id, DeliveryOutcome::Dead { why: why.to_owned() })
            }
        };
        flight.rows.iter().map(outcome).collect()
    }
}
