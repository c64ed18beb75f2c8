//! A loop's schedule: on the monotonic clock in the daemon, by hand in a test.

use crossbeam_channel::{Receiver, at};
use std::time::{Duration, Instant};

/// A beat that neither drifts nor catches up: after a pause (a slow sample, a suspended machine) the missed
/// beats are skipped, and the next one falls where it always would have.
#[derive(Debug)]
pub struct Ticker(Beat);

#[derive(Debug)]
enum Beat {
    Every { next: Instant, interval: Duration },
    ByHand(Receiver<Instant>),
}

impl Ticker {
    /// `interval` must not be zero.
    pub fn every(interval: Duration, first: Instant) -> Ticker {
        Ticker(Beat::Every { next: first, interval })
    }

    /// Due whenever the other end sends; it needs no [`Ticker::advance`].
    pub fn by_hand(beats: Receiver<Instant>) -> Ticker {
        Ticker(Beat::ByHand(beats))
    }

    /// Receives once the next beat is due.
    pub fn due(&self) -> Receiver<Instant> {
        match &self.0 {
            Beat::Every { next, .. } => at(*next),
            Beat::ByHand(beats) => beats.clone(),
        }
    }

    /// Called after a beat was received: the next one is the first that lies after `now`.
    pub fn advance(&mut self, now: Instant) {
        if let Beat::Every { next, interval } = &mut self.0 {
            *next = following(*next, *interval, now);
        }
    }
}

/// The first of `beat + k * interval` that lies after `now`.
fn following(beat: Instant, interval: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(beat);
    let missed = late.as_nanos() / interval.as_nanos().max(1);
    let skipped = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
    beat + interval * skipped
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_punctual_beat_is_followed_by_the_next_one() {
        let beat = Instant::now();
        assert_eq!(following(beat, SECOND, beat), beat + SECOND);
        assert_eq!(following(beat, SECOND, beat + SECOND / 2), beat + SECOND);
    }

    #[test]
    fn missed_beats_are_skipped_without_a_burst_and_without_drift() {
        let beat = Instant::now();
        assert_eq!(following(beat, SECOND, beat + SECOND * 7 / 2), beat + SECOND * 4);
        let a_year = SECOND * 86_400 * 365;
        assert_eq!(following(beat, SECOND, beat + a_year), beat + a_year + SECOND);
    }
}
