//! The flight recorder: heartbeats that could not be delivered, for replay.
//!
//! It lives in memory, because the steady path writes to no SD card. One heartbeat a minute and every
//! transition; bounded, the oldest dropped and counted.

use crate::wire::{CameraStatus, Heartbeat, Reason};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Four hours at one a minute; 1 to 1.5 KiB each.
const CAPACITY: usize = 240;

/// One heartbeat of each minute.
const EVERY: Duration = Duration::from_secs(60);

/// Together under the 64 KiB that a monitor accepts, with room to spare.
const BATCH: usize = 32;
const BATCH_BYTES: usize = 56 * 1024;

/// Cameras in a sample whose reason is a camera; other samples have none. The next heartbeat has their current state.
const CAMERAS: usize = 8;

/// Undelivered heartbeats.
#[derive(Debug, Default)]
pub struct Recorder {
    kept: VecDeque<(Instant, Heartbeat)>,
    dropped: u64,
}

impl Recorder {
    /// Keeps `heartbeat` if it is a transition or a minute has passed since the last one kept.
    pub fn keep(&mut self, mut heartbeat: Heartbeat, now: Instant) {
        let due = match self.kept.back() {
            None => true,
            Some((taken, last)) => now.duration_since(*taken) >= EVERY || is_transition(last, &heartbeat),
        };
        if !due {
            return;
        }
        if heartbeat.reason != Reason::Camera {
            heartbeat.cameras.clear();
        }
        // It may be replayed to another server.
        heartbeat.server = None;
        // A replay never leads to an alert, so it leaves out the values that only alerts use.
        (heartbeat.file_systems, heartbeat.expected_activity) = (Vec::new(), Vec::new());
        heartbeat.cameras.sort_by_key(|camera| camera.status == CameraStatus::Connected);
        heartbeat.cameras.truncate(CAMERAS);
        heartbeat.cameras.shrink_to_fit();
        if self.kept.len() == CAPACITY {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back((now, heartbeat));
    }

    /// The oldest ones, each marked with its age, as many as one request may carry.
    pub fn batch(&self, now: Instant) -> Vec<Heartbeat> {
        let marked = |(taken, heartbeat): &(Instant, Heartbeat)| Heartbeat {
            replay_age_s: Some(now.duration_since(*taken).as_secs()),
            ..heartbeat.clone()
        };
        let mut room = BATCH_BYTES;
        let fits = |heartbeat: &Heartbeat| {
            let length = serde_json::to_vec(heartbeat).map_or(0, |body| body.len() + 1);
            room.checked_sub(length).map(|less| room = less).is_some()
        };
        self.kept.iter().take(BATCH).map(marked).take_while(fits).collect()
    }

    /// Removes the first `count`: stored by the monitor, or refused for good.
    pub fn forget(&mut self, count: usize) {
        self.kept.drain(..count.min(self.kept.len()));
    }

    /// Returns and resets the number of dropped samples.
    pub fn drain_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Whether `next` differs from the last sample in more than its metrics.
fn is_transition(last: &Heartbeat, next: &Heartbeat) -> bool {
    let has_reason = !matches!(next.reason, Reason::Scheduled) && next.reason != last.reason;
    has_reason
        || next.connection.active != last.connection.active
        || next.connection.state != last.connection.state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SAMPLE;

    fn heartbeat(reason: Reason) -> Heartbeat {
        Heartbeat { reason, ..serde_json::from_str(SAMPLE).expect("the sample") }
    }

    #[test]
    fn one_a_minute_and_every_transition_is_kept() {
        let begin = Instant::now();
        let mut recorder = Recorder::default();
        for second in (0..180).step_by(5) {
            recorder.keep(heartbeat(Reason::Scheduled), begin + Duration::from_secs(second));
        }
        assert_eq!(recorder.batch(begin + Duration::from_secs(180)).len(), 3);
        recorder.keep(heartbeat(Reason::Failover), begin + Duration::from_secs(181));
        recorder.keep(heartbeat(Reason::Failover), begin + Duration::from_secs(182));
        let mut moved = heartbeat(Reason::Scheduled);
        moved.connection.active = Some("eth0".into());
        recorder.keep(moved, begin + Duration::from_secs(183));
        assert_eq!(recorder.batch(begin + Duration::from_secs(183)).len(), 5);
    }

    #[test]
    fn replays_are_marked_with_their_age_and_leave_oldest_first() {
        let begin = Instant::now();
        let mut recorder = Recorder::default();
        for minute in 0..40 {
            recorder.keep(heartbeat(Reason::Scheduled), begin + EVERY * minute);
        }
        let now = begin + EVERY * 40;
        let batch = recorder.batch(now);
        assert_eq!((batch.len(), batch[0].replay_age_s), (BATCH, Some(40 * 60)));
        recorder.forget(batch.len());
        assert_eq!(recorder.batch(now).len(), 8);
        recorder.forget(1000);
        assert!(recorder.is_empty());
    }

    #[test]
    fn a_week_offline_keeps_the_newest_four_hours_and_counts_the_rest() {
        let begin = Instant::now();
        let mut recorder = Recorder::default();
        for minute in 0..7 * 24 * 60 {
            recorder.keep(heartbeat(Reason::Scheduled), begin + EVERY * minute);
        }
        assert_eq!(recorder.kept.len(), CAPACITY);
        assert_eq!(recorder.drain_dropped(), 7 * 24 * 60 - CAPACITY as u64);
        assert_eq!(recorder.drain_dropped(), 0);
    }

    #[test]
    fn a_batch_is_smaller_than_what_a_monitor_accepts() {
        let begin = Instant::now();
        let mut recorder = Recorder::default();
        (0..BATCH as u32).for_each(|minute| recorder.keep(heartbeat(Reason::Camera), begin + EVERY * minute));
        let batch = recorder.batch(begin);
        assert_eq!(batch.len(), BATCH);
        let length = serde_json::to_vec(&batch).expect("serializable").len();
        assert!(length < crate::wire::MAX_BODY * 3 / 4, "{length}");
    }
}
